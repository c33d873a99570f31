"""Where old blobs come from when a delta is made whole: media sets of the site, or folders of blobs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

from installer.bundle.digest import Digest
from installer.bundle.errors import InputError, IntegrityError
from installer.bundle.reader import Bundle, open_media_set

CONTENT_STORE = "io.containerd.content.v1.content"
"""containerd's folder of blobs, below its root."""
_BLOBS = "blobs/sha256"
_CHUNK_BYTES = 1024 * 1024


class Basis(Protocol):
    """A source of old blobs; ``about`` names it to people."""

    about: str

    def holds(self, digest: Digest, /) -> bool:
        """Whether the blob is there."""

    def chunks(self, digest: Digest, /) -> Iterator[bytes]:
        """The blob piece by piece; :class:`IntegrityError` at its end if it differs."""

    def close(self) -> None:
        """Gives back what is open."""


class MediaBasis:
    """A media set, or a tarball alone."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.about = f"{bundle.index.name}, identity {bundle.identity.short}…"
        self._held = {blob.digest for blob in bundle.index.blobs}

    def holds(self, digest: Digest, /) -> bool:
        """Whether the blob is there."""
        return digest in self._held

    def chunks(self, digest: Digest, /) -> Iterator[bytes]:
        """The blob piece by piece."""
        return self.bundle.chunks(digest)

    def close(self) -> None:
        """Closes the tarball."""
        self.bundle.close()


class FolderBasis:
    """An OCI layout that lies unpacked, or a containerd's content store: files under their digests."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / _BLOBS
        self.about = f"the blobs in {folder}"

    def holds(self, digest: Digest, /) -> bool:
        """Whether the blob is there."""
        return (self._blobs / digest.hex).is_file()

    def chunks(self, digest: Digest, /) -> Iterator[bytes]:
        """The blob piece by piece."""
        path, hashing = self._blobs / digest.hex, hashlib.sha256()
        try:
            with path.open("rb") as stream:
                while data := stream.read(_CHUNK_BYTES):
                    hashing.update(data)
                    yield data
        except OSError as error:
            raise IntegrityError("a blob cannot be read", where=str(path), got=error.strerror or str(error)) from None
        if (got := f"sha256:{hashing.hexdigest()}") != digest:
            raise IntegrityError(
                "a blob is damaged",
                where=str(path),
                wanted=digest,
                got=got,
                next_step="name another place that has it, too: --base DIR",
            )

    def close(self) -> None:
        """Nothing is open."""


class Bases:
    """Several sources, asked in order; closes as a context."""

    def __init__(self, bases: tuple[Basis, ...]) -> None:
        self.bases = bases

    def __enter__(self) -> Bases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all of them."""
        for basis in self.bases:
            basis.close()

    def find(self, digest: Digest) -> Basis | None:
        """The first that has the blob."""
        return next((basis for basis in self.bases if basis.holds(digest)), None)


def open_bases(paths: tuple[Path, ...]) -> Bases:
    """The sources at ``paths``; the caller closes them."""
    opened: list[Basis] = []
    try:
        for path in paths:
            opened.append(_open(path))
    except BaseException:
        Bases(tuple(opened)).close()
        raise
    return Bases(tuple(opened))


def _open(path: Path) -> Basis:
    for folder in (path, path / CONTENT_STORE):
        if (folder / _BLOBS).is_dir():
            return FolderBasis(folder)
    if not path.exists():
        raise InputError(
            "there is no such base",
            where=f"--base {path}",
            wanted="the old media set, its tarball, or a containerd's root",
            got="nothing",
            next_step="mount the medium that has it, or name where it lies",
        )
    return MediaBasis(open_media_set(path))
