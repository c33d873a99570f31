"""Opens a delta media set, and reads what it carries; every byte handed out is verified: :class:`DeltaSet`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from installer.bundle import seekable
from installer.bundle.delta import DELTA_NAME, DELTA_SUFFIX, Delta
from installer.bundle.dense import ZSTD
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, InputError, IntegrityError
from installer.bundle.index import MAXIMUM_BYTES, BundleIndex
from installer.bundle.layout import INDEX_NAME, Member
from installer.bundle.ordered import ordered_map
from installer.bundle.strict import Problems
from installer.bundle.sums import INSTALL_NAME, SUMS_NAME, demand_listed, incomplete, read_sums

_COPY_AGAIN = "copy the delta again; if this stays, make it again"
_READ_AHEAD_JOBS = 2


class DeltaSet:
    """An open delta: ``folder``, its document ``delta``, and ``index`` of the bundle that it makes."""

    def __init__(self, stream: BinaryIO, path: Path, delta: Delta, index: BundleIndex, raw: bytes) -> None:
        self._stream = stream
        self.path = path
        self.folder = path.parent
        self.delta = delta
        self.index = index
        self.identity = Digest.of(raw)
        self._layout = delta.layout()
        self._members = {member.name: member for member in self._layout.members}
        size_bytes = path.stat().st_size
        self._frames = seekable.parse_table(stream, size_bytes, str(path))
        got = [frame.length_bytes for frame in self._frames]
        if self._layout.frames != len(got) or list(self._layout.frame_sizes()) != got or self.read(DELTA_NAME) != raw:
            raise FormatError(
                "the delta's tarball is not the one of its document",
                where=str(path),
                wanted=f"the members that {DELTA_NAME} lists",
                got=f"{size_bytes} bytes in {len(got)} frames",
                next_step=_COPY_AGAIN,
            )

    def __enter__(self) -> DeltaSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's content piece by piece; :class:`IntegrityError` naming it where it is damaged."""
        member = self._members[name]
        digest = hashlib.sha256()
        for piece in self._content(member):
            digest.update(piece)
            yield piece
        if (got := f"sha256:{digest.hexdigest()}") != member.digest:
            raise IntegrityError(
                "the delta is damaged",
                where=f"{self.path}, {name}",
                wanted=member.digest,
                got=got,
                next_step=_COPY_AGAIN,
            )

    def read(self, name: str) -> bytes:
        """A member that is small enough for memory."""
        return b"".join(self.chunks(name))

    def demand_zstd(self) -> None:
        """Raises :class:`InputError` where this library may compress to other bytes than the builder's."""
        if self.delta.zstd != ZSTD:
            raise InputError(
                "the delta cannot be made whole by this program",
                where=str(self.folder),
                wanted=f"zstd {self.delta.zstd}, whose bytes the builder proved",
                got=f"zstd {ZSTD}",
                next_step="run the install that came with the delta",
            )

    def _content(self, member: Member) -> Iterator[bytes]:
        start_bytes, length_bytes = member.content_offset_bytes, member.size_bytes

        def content(frame: seekable.Frame) -> bytes:
            data = seekable.read_at(self._stream, frame.offset_bytes, frame.compressed_bytes, str(self.path))
            try:
                return seekable.decompress(data, frame.length_bytes)
            except IntegrityError as error:
                last_byte = frame.offset_bytes + frame.compressed_bytes - 1
                raise IntegrityError(
                    "the delta is damaged",
                    where=f"{self.path}, bytes {frame.offset_bytes} to {last_byte}\n{member.name}",
                    wanted=member.digest,
                    got=error.got,
                    next_step=_COPY_AGAIN,
                ) from None

        frames = tuple(seekable.frames_of(self._frames, start_bytes, length_bytes))
        for frame, piece in zip(frames, ordered_map(content, frames, jobs=_READ_AHEAD_JOBS), strict=True):
            yield bytes(seekable.cut(piece, frame, start_bytes, length_bytes))


def is_delta(folder: Path) -> bool:
    """Whether ``folder`` is a delta and not a whole media set."""
    return (folder / DELTA_NAME).is_file()


def open_delta(folder: Path) -> DeltaSet:
    """The delta in ``folder``, whose names, document and index are proven; the caller closes it."""
    if not is_delta(folder):
        raise InputError(
            "not a delta",
            where=str(folder),
            wanted=f"a folder with {DELTA_NAME}, as bundle delta writes it",
            got="a folder without it" if folder.is_dir() else "no folder",
            next_step="name the delta's folder with --media DIR, or run the install in it",
        )
    raw = _read(folder, DELTA_NAME)
    delta = Delta.from_bytes(raw, where=str(folder / DELTA_NAME))
    sums = read_sums(folder)
    tarball = delta.name + DELTA_SUFFIX
    demand_listed(sums, (DELTA_NAME, INDEX_NAME, INSTALL_NAME, tarball), folder)
    if missing := sorted(set(sums) - {entry.name for entry in folder.iterdir()}):
        raise incomplete(folder, missing)
    _demand(folder, DELTA_NAME, sums[DELTA_NAME], raw)
    index = _index(folder, delta, sums[INDEX_NAME])
    path = folder / tarball
    stream = _opened(path)
    try:
        return DeltaSet(stream, path, delta, index, raw)
    except BaseException:
        stream.close()
        raise


def _index(folder: Path, delta: Delta, listed: Digest) -> BundleIndex:
    raw = _read(folder, INDEX_NAME)
    _demand(folder, INDEX_NAME, listed, raw)
    _demand(folder, INDEX_NAME, delta.bundle.identity, raw)
    index = BundleIndex.from_bytes(raw, where=str(folder / INDEX_NAME))
    problems = Problems(delta.problems_with(index))
    if index.name != delta.bundle.name:
        problems.append(f"bundle: {delta.bundle.name} is named {index.name} by {INDEX_NAME}")
    problems.check(f"{DELTA_NAME} does not fit {INDEX_NAME}", FormatError, where=str(folder), next_step=_COPY_AGAIN)
    return index


def _read(folder: Path, name: str) -> bytes:
    with _opened(folder / name) as stream:
        return stream.read(MAXIMUM_BYTES + 1)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise incomplete(path.parent, [path.name]) from None
    except OSError as error:
        raise IntegrityError(
            "the delta cannot be read", where=str(path), got=error.strerror or str(error), next_step=_COPY_AGAIN
        ) from None


def _demand(folder: Path, name: str, wanted: Digest, data: bytes) -> None:
    if (got := Digest.of(data)) != wanted:
        where = f"{folder / name}, by {SUMS_NAME}"
        raise IntegrityError(f"{name} is damaged", where=where, wanted=wanted, got=got, next_step=_COPY_AGAIN)
