"""SHA-256 digests in their OCI form, and readers that hash what passes through them."""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO

from installer.bundle.errors import FormatError, IntegrityError

_FORM = re.compile(r"sha256:[0-9a-f]{64}")


class Digest(str):
    """``sha256:<64 hex digits>``; the constructor refuses anything else with :class:`FormatError`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:
        if not _FORM.fullmatch(text):
            raise FormatError("not a SHA-256 digest", wanted="sha256: and 64 hex digits", got=text[:100])
        return super().__new__(cls, text)

    @property
    def hex(self) -> str:
        """The 64 hex digits, as ``sha256sum`` prints them."""
        return self[7:]

    @property
    def short(self) -> str:
        """The first twelve hex digits behind ``sha256:``, for messages only."""
        return self[:19]

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of ``data``."""
        return cls(f"sha256:{hashlib.sha256(data).hexdigest()}")

    @classmethod
    def from_hex(cls, text: str) -> Digest:
        """The digest for 64 hex digits of either case."""
        return cls(f"sha256:{text.strip().lower()}")


class HashingReader:
    """A reader that hashes what it hands out and demands the right size and digest at the end.

    :meth:`read` raises :class:`IntegrityError` as soon as more than ``size_bytes`` arrive, or at the end of the
    stream when size or digest differ; a caller that read to the end therefore holds verified bytes.
    """

    def __init__(self, stream: BinaryIO, digest: Digest, size_bytes: int, where: str) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._digest = digest
        self._size_bytes = size_bytes
        self._where = where
        self.read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; ``b""`` at the verified end."""
        data = self._stream.read(size)
        self._hash.update(data)
        self.read_bytes += len(data)
        if self.read_bytes > self._size_bytes or (not data and size != 0):
            self._demand()
        return data

    def _demand(self) -> None:
        if self.read_bytes != self._size_bytes:
            raise IntegrityError(
                "wrong size",
                where=self._where,
                wanted=f"{self._size_bytes} bytes",
                got=f"{self.read_bytes} bytes" + (" or more" if self.read_bytes > self._size_bytes else ""),
            )
        got = f"sha256:{self._hash.hexdigest()}"
        if got != self._digest:
            raise IntegrityError("wrong bytes", where=self._where, wanted=self._digest, got=got)
