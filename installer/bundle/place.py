"""The files of a bundle as they land on a node: plain ones, and members streamed out of an archive.

An archive is an outsider's word: what is not asked for is never written, a name that leaves the archive or a wanted
member that is not a regular file stops everything, and targets lie under a few fixed folders (see :mod:`.placement`).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.index import BundledFile
from installer.bundle.placement import FILE_NAME
from installer.bundle.tarstream import entries

_MOST_FILES = 1000
"""Far more than any release archive has; each takes an inode of the node's disk, whatever its size."""
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class PlacedFile:
    """One file to write: ``chunks`` yields its content once, and must be read before the next file is asked for.

    ``digest`` is known beforehand for a plain file only; a member's bytes are covered by its archive's digest, which
    is proven when the last file has been asked for.
    """

    target: str
    mode: int
    size_bytes: int
    chunks: Iterator[bytes]
    digest: Digest | None = None


def files_in(chunks: Iterator[bytes], item: BundledFile, blob: Descriptor, where: str) -> Iterator[PlacedFile]:
    """The files that ``item`` puts on a node, in the archive's order, from the ``chunks`` of its ``blob``.

    :class:`FormatError`, which says ``where``, for a hostile archive.
    """
    placement = item.placement
    if placement.target is not None:
        yield PlacedFile(placement.target, placement.mode, blob.size_bytes, chunks, digest=item.blob)
        return
    yield from _from_archive(chunks, item, blob.unpacked_size_bytes or 0, where)


def _from_archive(chunks: Iterator[bytes], item: BundledFile, unpacked_bytes: int, where: str) -> Iterator[PlacedFile]:
    wanted = dict(item.placement.members)
    used: set[str] = set()
    placed: set[str] = set()
    stream = _Unpacked(chunks, unpacked_bytes, where)
    with _readable(where):
        for entry, content in entries(stream.read):
            name = _plain_name(entry.name, where)
            key, target = _target(name, wanted)
            if key is None or entry.kind == "folder":
                continue
            if entry.kind != "file" or target in placed:
                seen = f"a second {name}" if entry.kind == "file" else f"a {entry.kind} at {name}"
                raise _hostile(where, f"{name} once, a regular file", seen)
            if not FILE_NAME.fullmatch(name.rpartition("/")[2]) or len(placed) == _MOST_FILES:
                raise _hostile(where, f"at most {_MOST_FILES} files of plain names", f"{name!r}")
            used.add(key)
            placed.add(target)
            yield PlacedFile(target, item.placement.mode, entry.size_bytes, _readable_parts(content, where))
        stream.finish()
    if missing := sorted(set(wanted) - used):
        raise FormatError("an archive lacks what it should hold", where=where, wanted=", ".join(missing), got="none")


def _readable_parts(content: Iterator[bytes], where: str) -> Iterator[bytes]:
    with _readable(where):
        yield from content


@contextlib.contextmanager
def _readable(where: str) -> Iterator[None]:
    """Turns what tar and gzip say about a bad archive into an error that names it."""
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _hostile(where, "a tar archive in gzip", str(error)) from None


def _target(name: str, wanted: dict[str, str]) -> tuple[str | None, str]:
    """The key that asks for a member and the path it goes to; ``None`` when nobody asks for it."""
    if name in wanted:
        return name, wanted[name]
    folder, _, base = name.rpartition("/")
    key = f"{folder}/"
    if key in wanted:
        return key, str(PurePosixPath(wanted[key]) / base)
    return None, ""


def _plain_name(name: str, where: str) -> str:
    """A member's name without a leading ``./``; names that lead out of the archive are refused."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise _hostile(where, "names inside the archive", name)
    return "/".join(part for part in parts if part not in ("", "."))


def _hostile(where: str, wanted: str, got: str) -> FormatError:
    return FormatError(
        "an archive does not have the form it should",
        where=where,
        wanted=wanted,
        got=got[:200],
        next_step="nothing of it is used; build the media set again from upstream's archive",
    )


class _Unpacked(io.RawIOBase):
    """The gzip stream in ``chunks`` unpacked, never more than ``most_bytes`` of it."""

    def __init__(self, chunks: Iterator[bytes], most_bytes: int, where: str) -> None:
        self._chunks = chunks
        self._gzip = gzip.GzipFile(fileobj=io.BufferedReader(_Joined(chunks)))
        self._left_bytes = most_bytes
        self._where = where

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` unpacked bytes."""
        data = self._gzip.read(size)
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise _hostile(self._where, "the unpacked size that bundle.json states", "more")
        return data

    def finish(self) -> None:
        """Reads what is left, so that the archive's digest is proven."""
        while self.read(_CHUNK_BYTES):
            pass
        for _ in self._chunks:
            pass


class _Joined(io.RawIOBase):
    """Chunks as one stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fills ``buffer`` with what is there; 0 at the end."""
        while not self._pending:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._pending = memoryview(chunk)
        taken = self._pending[: len(buffer)]
        buffer[: len(taken)] = taken
        self._pending = self._pending[len(taken) :]
        return len(taken)
