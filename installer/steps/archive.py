"""Taking files out of a release archive while it streams by; the archive itself is never written to the disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import IO

from installer.bundle.index import Placement
from installer.errors import IntegrityError

_CHUNK_BYTES = 1024 * 1024


def wanted_members(chunks: Iterator[bytes], placement: Placement, where: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each wanted file as its target path and its bytes, to be read before the next one is asked for.

    The archive is read to its very end, so that ``chunks`` can prove its digest; :class:`IntegrityError` when it is
    not an archive or lacks a member that is wanted by name.
    """
    missing = {name for name in placement.members if not name.endswith("/")}
    source = io.BufferedReader(_ChunkStream(chunks), _CHUNK_BYTES)
    try:
        with tarfile.open(fileobj=source, mode="r|gz") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                target = _target(name, placement.members)
                content = archive.extractfile(member) if target and member.isreg() else None
                if target and content:
                    missing.discard(name)
                    yield target, _pieces(content)
        while source.read(_CHUNK_BYTES):
            pass
    except (tarfile.TarError, EOFError, OSError) as error:
        raise IntegrityError("not a gzip'd tar archive", where=where, got=str(error)[:200]) from None
    if missing:
        raise IntegrityError("the archive lacks a member", where=where, wanted=", ".join(sorted(missing)))


def _target(name: str, members: dict[str, str]) -> str | None:
    """Where the archive's file ``name`` lands; ``None`` for one that is not wanted."""
    if name in members:
        return members[name]
    folder, slash, base = name.rpartition("/")
    target = members.get(f"{folder}/" if slash else "/")
    return f"{target.rstrip('/')}/{base}" if target and base else None


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(_CHUNK_BYTES):
        yield piece


class _ChunkStream(io.RawIOBase):
    """A raw stream over an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fills ``buffer`` with what is there; 0 at the end."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        target = memoryview(buffer)  # type: ignore[arg-type]
        count = min(len(target), len(self._left))
        target[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
