"""Verifies a media set in one pass over its bytes, all of it or what is needed: sums, index, and each member.

The tarball's own SHA-256 is taken from the same read that feeds the members. A damaged member is named as soon as it is
found; what only the sums can see (a rewritten seek table) is found at the end. Where only a part is read, the sums
still speak for it: they have the index's digest, and the index has each member's.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from installer.bundle import diagnose, seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import IntegrityError, MediumError
from installer.bundle.joined import JoinedParts
from installer.bundle.layout import END, INDEX_NAME, Member, piece_sizes
from installer.bundle.ordered import FileDigests, ordered_map
from installer.bundle.parts import HEADER_BYTES
from installer.bundle.reader import TARBALL_SUFFIX, Bundle
from installer.bundle.regularfile import open_regular
from installer.bundle.seekable import Frame, LongFrame
from installer.bundle.sums import (
    BILLS,
    INSTALL_NAME,
    SUMS_NAME,
    demand_listed,
    incomplete,
    is_signature,
    read_sums,
    unlike,
)

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Verified:
    """What was proven. ``read_bytes`` of the medium were read; ``members`` of the tarball are whole, and so are the
    files in ``summed`` (none for a tarball alone, and not the tarball where only a part of it was read). ``unexpected``
    are names in the folder that ``SHA256SUMS`` does not have: nothing reads them, and an operator may want to know.
    """

    identity: Digest
    read_bytes: int
    members: int
    summed: tuple[str, ...]
    unexpected: tuple[str, ...]


@dataclass(frozen=True)
class Portion:
    """What of a tarball is read: ``members`` and the frames that hold them. ``is_whole`` with the seek table, too."""

    members: tuple[Member, ...]
    frames: tuple[Frame, ...]
    is_whole: bool

    @classmethod
    def of(cls, bundle: Bundle, needed: Collection[Digest] | None) -> Portion:
        """The portion with the blobs in ``needed`` and what is compressed together with them; ``None``: everything."""
        if needed is None:
            return cls(bundle.layout.members, bundle.frames, is_whole=True)
        members: list[Member] = []
        frames: list[Frame] = []
        first = 0
        for section in bundle.layout.sections:
            if any(member.digest in needed for member in section.members):
                members += section.members
                frames += bundle.frames[first : first + section.frames]
            first += section.frames
        return cls(tuple(members), tuple(frames), is_whole=False)

    def read_bytes(self, bundle: Bundle) -> int:
        """How many bytes of the tarball that is."""
        return bundle.size_bytes if self.is_whole else sum(frame.compressed_bytes for frame in self.frames)


def verify(
    bundle: Bundle,
    *,
    needed: Collection[Digest] | None = None,
    jobs: int = 4,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Verified:
    """Reads everything, or of the tarball only the blobs in ``needed``; :class:`IntegrityError` names the first thing
    that is missing or damaged.

    ``progress`` is called with the number of bytes read since its last call.
    """
    try:
        return _verify(bundle, Portion.of(bundle, needed), jobs, progress)
    except IntegrityError as error:
        raise (bundle.joined.advised(error) if bundle.joined else error) from None


def _verify(bundle: Bundle, portion: Portion, jobs: int, progress: Callable[[int], None]) -> Verified:
    sums = read_sums(bundle.folder) if bundle.folder else {}
    unexpected = _compare_names(bundle, bundle.folder, sums) if bundle.folder else ()
    if sums:
        demand_identity(bundle, sums[INDEX_NAME])
    holding = _holding(bundle)
    read_bytes = 0
    for name, digest in sums.items():
        if bundle.folder and name not in holding:
            read_bytes += _verify_file(bundle.folder / name, digest, progress)
    if bundle.joined:
        read_bytes += _verify_parity(bundle.joined, portion, progress)
    got = _verify_tarball(bundle, portion, jobs, progress)
    for name, digest in got.items():
        if digest != (wanted := sums.get(name, digest)):
            raise _unlisted(bundle, name, wanted, digest)
    summed = set(sums) - (set() if portion.is_whole else holding)
    read_bytes += portion.read_bytes(bundle)
    return Verified(bundle.identity, read_bytes, len(portion.members), tuple(sorted(summed)), unexpected)


def _holding(bundle: Bundle) -> set[str]:
    """The names of the files that the tarball is in, and its parity."""
    if bundle.joined is None:
        return {bundle.path.name}
    return {bundle.joined.cut.file_name(number) for number in bundle.joined.cut.numbers}


def _unlisted(bundle: Bundle, name: str, wanted: Digest, got: Digest) -> IntegrityError:
    """The error for a tarball, or a part of it, that is another file although what is in it is whole."""
    path = bundle.path.parent / name
    if bundle.joined is not None:
        path = next(
            path for number, path in bundle.joined.here.paths.items() if bundle.joined.cut.file_name(number) == name
        )
    what = "the tarball" if bundle.joined is None else "the part"
    error = IntegrityError(
        f"{what} is not the one that {SUMS_NAME} lists, although each of its members is whole",
        where=str(path),
        wanted=wanted,
        got=got,
        next_step=diagnose.COPY_AGAIN,
    )
    return unlike(name, wanted, got, error, bundle.path.parent)


def _verify_parity(joined: JoinedParts, portion: Portion, progress: Callable[[int], None]) -> int:
    """Every part that is to be read must be here; of a whole set the parity parts are read now: how many bytes."""
    cut, here = joined.cut, joined.here
    if not portion.is_whole:
        here.demand(joined.numbers((frame.offset_bytes, frame.compressed_bytes) for frame in portion.frames))
        return 0
    here.demand(cut.numbers)
    read_bytes = 0
    for number in cut.numbers:
        joined.demand_size(number)
        if cut.is_parity(number):
            try:
                read_bytes += _verify_file(here.paths[number], here.digest(number), progress)
            except IntegrityError as error:
                if not error.message.startswith(here.paths[number].name):
                    raise
                whole = HEADER_BYTES, cut.longest_bytes
                raise joined.damaged(number, *whole, wanted=error.wanted, got=error.got) from None
    return read_bytes


def bytes_to_read(bundle: Bundle, needed: Collection[Digest] | None = None) -> int:
    """How much :func:`verify` is going to read."""
    portion, beside = Portion.of(bundle, needed), 0
    if bundle.folder:
        names = set(read_sums(bundle.folder)) - _holding(bundle)
        try:
            beside = sum(entry.stat().st_size for entry in bundle.folder.iterdir() if entry.name in names)
        except OSError as error:
            raise MediumError.of(str(bundle.folder), error) from None
    if bundle.joined and portion.is_whole:
        cut = bundle.joined.cut
        beside += sum(cut.file_bytes(number) for number in cut.numbers if cut.is_parity(number))
    return beside + portion.read_bytes(bundle)


def demand_identity(bundle: Bundle, wanted: Digest) -> None:
    """Raises :class:`IntegrityError` unless ``wanted``, which the sums list for ``bundle.json``, is the bundle's."""
    if bundle.identity != wanted:
        error = IntegrityError(
            f"the tarball is of another bundle than the one that {SUMS_NAME} is of",
            where=str(bundle.path),
            wanted=f"identity {wanted}",
            got=bundle.identity,
            next_step=diagnose.COPY_AGAIN,
        )
        raise unlike(INDEX_NAME, wanted, bundle.identity, error, bundle.path.parent)


def _compare_names(bundle: Bundle, folder: Path, sums: dict[str, Digest]) -> tuple[str, ...]:
    tarball = bundle.index.name + TARBALL_SUFFIX
    if bundle.path.name != tarball:
        raise IntegrityError(
            "the tarball has another name than it was built with",
            where=str(bundle.path),
            wanted=tarball,
            got=bundle.path.name,
            next_step="give it that name again",
        )
    demand_listed(sums, (INSTALL_NAME, *sorted(_holding(bundle)), INDEX_NAME), folder)
    try:
        there = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise MediumError.of(str(folder), error) from None
    elsewhere = _holding(bundle) if bundle.joined else set()
    unexpected = tuple(sorted(name for name in there - set(sums) - {SUMS_NAME} if not is_signature(name)))
    demand_listed(sums, tuple(name for name in BILLS if name in there), folder)
    if missing := sorted(set(sums) - there - elsewhere):
        raise incomplete(folder, missing, unexpected)
    return unexpected


def _verify_file(path: Path, wanted: Digest, progress: Callable[[int], None]) -> int:
    """The number of bytes in it."""
    size_bytes = 0
    digest = hashlib.sha256()
    try:
        with open_regular(path) as stream:
            while data := stream.read(_CHUNK_BYTES):
                digest.update(data)
                size_bytes += len(data)
                progress(len(data))
    except OSError as error:
        raise MediumError.of(str(path), error) from None
    got = Digest.from_hex(digest.hexdigest())
    if got != wanted:
        damaged = IntegrityError(
            f"{path.name} is damaged", where=str(path), wanted=wanted, got=got, next_step="copy this file again"
        )
        raise unlike(path.name, wanted, got, damaged, path.parent)
    return size_bytes


def _verify_tarball(
    bundle: Bundle, portion: Portion, jobs: int, progress: Callable[[int], None]
) -> Mapping[str, Digest]:
    """Every header, content and padding byte of ``portion``; the digests of the files that were read whole."""
    with FileDigests(_files_of(bundle) if portion.is_whole else ()) as whole:

        def passing(data: bytes) -> None:
            whole.update(data)
            progress(len(data))

        with contextlib.closing(_pieces(bundle, portion.frames, jobs, passing)) as pieces:
            stream = _Stream(pieces)
            for member in portion.members:
                _verify_member(bundle, member, stream)
            end = _end(bundle, stream)
        if end != (END if portion.is_whole else b""):
            raise IntegrityError(
                "the tarball does not end as it should",
                where=str(bundle.path),
                wanted="two blocks of zeros",
                next_step=diagnose.COPY_AGAIN,
            )
        if portion.is_whole:
            passing(bundle.read_tail())
        return whole.digests()


def _files_of(bundle: Bundle) -> Iterator[tuple[str, bytes, int]]:
    """The files that the tarball is in, in order: name, what is before its bytes there, and how many it has."""
    if bundle.joined is None:
        yield bundle.path.name, b"", bundle.size_bytes
        return
    cut, paths = bundle.joined.cut, bundle.joined.here.paths
    for number in range(1, cut.data + 1):
        with paths[number].open("rb") as stream:
            head = seekable.read_at(stream, 0, HEADER_BYTES, str(paths[number]))
        yield cut.file_name(number), head, cut.length_bytes(number)


class _DamagedFrameError(IntegrityError):
    """``frame`` cannot be decompressed; whose it is, only the one who asked for its bytes knows."""

    def __init__(self, error: IntegrityError, frame: Frame) -> None:
        super().__init__(
            error.message, where=error.where, wanted=error.wanted, got=error.got, next_step=error.next_step
        )
        self.frame = frame


def _pieces(
    bundle: Bundle, frames: Iterable[Frame], jobs: int, passing: Callable[[bytes], None]
) -> Generator[bytes, None, None]:
    """The uncompressed stream of ``frames``. ``passing`` gets every byte of them, in the file's order."""

    def read(frame: Frame) -> tuple[Frame, bytes]:
        data = bundle.read_frame(frame)
        passing(data)
        return frame, data

    for is_long, alike in itertools.groupby(frames, key=lambda frame: frame.is_long):
        if is_long:
            for frame in alike:
                reader = bundle.long_frame(frame, passing)
                yield from ordered_map(functools.partial(_next, reader), piece_sizes(frame.length_bytes), jobs=1)
        else:
            yield from ordered_map(_content, map(read, alike), jobs=jobs)


def _next(reader: LongFrame, length_bytes: int) -> bytes:
    try:
        return reader.read(length_bytes)
    except MediumError:
        raise
    except IntegrityError as error:
        raise _DamagedFrameError(error, reader.frame) from None


def _content(found: tuple[Frame, bytes]) -> bytes:
    frame, data = found
    try:
        return seekable.decompress(data, frame.length_bytes)
    except IntegrityError as error:
        raise _DamagedFrameError(error, frame) from None


def _end(bundle: Bundle, stream: _Stream) -> bytes:
    try:
        return stream.rest()
    except _DamagedFrameError as error:
        raise bundle.damaged(error, error.frame, str(bundle.path)) from None


class _Stream:
    """Takes any number of bytes off pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def take(self, length_bytes: int) -> Iterator[memoryview]:
        """The next ``length_bytes``, in parts."""
        while length_bytes:
            if not self._left:
                self._left = memoryview(next(self._pieces))
            part, self._left = self._left[:length_bytes], self._left[length_bytes:]
            length_bytes -= len(part)
            yield part

    def rest(self) -> bytes:
        """All that is left."""
        return b"".join((self._left, *self._pieces))


def _verify_member(bundle: Bundle, member: Member, stream: _Stream) -> None:
    """Takes the member off ``stream`` and demands its exact header, content and padding."""
    digest = hashlib.sha256()
    try:
        header = b"".join(stream.take(len(member.header)))
        for part in stream.take(member.size_bytes):
            digest.update(part)
        padding = b"".join(stream.take(len(member.padding)))
    except _DamagedFrameError as error:
        where = diagnose.place(bundle.index, bundle.path, member)
        raise bundle.damaged(error, error.frame, where, member.digest) from None
    got = f"sha256:{digest.hexdigest()}"
    if got != member.digest or header != member.header or padding != member.padding:
        bytes_differ = got != member.digest
        raise IntegrityError(
            "a member of the tarball is damaged" if bytes_differ else "a tar header is not the one the index asks for",
            where=diagnose.place(bundle.index, bundle.path, member),
            wanted=member.digest if bytes_differ else f"header {Digest.of(member.header + member.padding).short}",
            got=got if bytes_differ else f"header {Digest.of(header + padding).short}",
            next_step=diagnose.COPY_AGAIN,
        )
