"""Files on this machine, written so that a reader or a crash sees the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat as stat_bits
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from installer.bundle.digest import Digest
from installer.errors import IntegrityError, OperatorError
from installer.node import FileKind


@dataclass(frozen=True)
class Wanted:
    """How a new file is to be: its mode, its owner, and (if known) the digest of its content."""

    mode: int
    digest: Digest | None = None
    uid: int = 0
    gid: int = 0


class Counted:
    """Chunks on their way to a disk, and how many bytes they are."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._bytes += len(chunk)
            yield chunk

    def total_bytes(self) -> int | None:
        """How many they are in all, once those that were not written are read; ``None`` if they cannot be."""
        try:
            for _ in self:
                pass
        except OperatorError:
            return None
        return self._bytes


def kind_of(mode: int) -> FileKind:
    """The kind for the mode bits of a ``stat``."""
    if stat_bits.S_ISREG(mode):
        return "file"
    if stat_bits.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat_bits.S_ISLNK(mode) else "other"


def beside(place: Path) -> Path:
    """The temporary name; always the same one, so that what a crash leaves is overwritten by the next run."""
    return place.with_name(f".{place.name}.airgap-new")


def discard(fresh: Path) -> None:
    """Removes what is left under the temporary name, if anything is."""
    with contextlib.suppress(OSError):  # a disk that refuses has taken nothing, and its error is told already
        fresh.unlink()


def make_parents(place: Path) -> None:
    """Makes missing parents 0755 whatever the umask: a hardened 0077 would lock everyone else out of them."""
    missing = [parent for parent in place.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        parent.chmod(0o755)


def write_through(fresh: Path, chunks: Iterable[bytes], want: Wanted, where: str) -> Digest:
    """Writes all chunks to a new file nobody else can read yet, proves the digest, then sets owner and mode.

    Returns the digest of what was written.
    """
    hasher = hashlib.sha256()
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as stream:
        for chunk in chunks:
            hasher.update(chunk)
            stream.write(chunk)
        got = Digest.from_hex(hasher.hexdigest())
        if want.digest is not None and got != want.digest:
            raise IntegrityError("wrong bytes for a file", where=where, wanted=want.digest, got=got)
        if os.geteuid() == 0:  # nobody else can give files away; the preflight demands root
            os.fchown(stream.fileno(), want.uid, want.gid)
        os.fchmod(stream.fileno(), want.mode)
        stream.flush()
        os.fsync(stream.fileno())
    return got


def append_through(place: Path, data: bytes, mode: int) -> None:
    """Adds ``data`` to the end of ``place``, which is made with ``mode`` whatever the umask if it is not there.

    Missing parents are made. A last line that a crash left without its end is ended first, so that it spoils no other.
    """
    make_parents(place)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    is_new = not place.exists()
    handle = os.open(place, flags, mode)
    try:
        if is_new:
            os.fchmod(handle, mode)
        size_bytes = os.fstat(handle).st_size
        if size_bytes and os.pread(handle, 1, size_bytes - 1) != b"\n":
            data = b"\n" + data
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Makes a rename in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_below(place: Path, device: int, path: str) -> None:
    """Removes all in ``place``; a mount point inside stops it, as that is somebody's data."""
    if place.lstat().st_dev != device:
        raise OperatorError(
            "a folder to remove holds a mount point",
            where=f"{place} (under {path})",
            wanted="no other file system inside",
            got="a mounted one",
            next_step=f"umount {place}",
        )
    for entry in sorted(place.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            remove_below(entry, device, path)
            entry.rmdir()
        else:
            entry.unlink()


def os_error(what: str, path: str, error: OSError) -> OperatorError:
    """An error of the operating system in the words of this tool."""
    return OperatorError(what, where=path, got=error.strerror or str(error))
