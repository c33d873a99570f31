"""Opens a media set and reads single members of its tarball, without unpacking it: :class:`Bundle`.

Opening reads the seek table and ``bundle.json`` only. Every byte handed out is verified: a frame against the seek
table and its own checksum, a member against its digest. :mod:`installer.bundle.verify` reads everything.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from installer.bundle import diagnose, seekable
from installer.bundle.delta import DELTA_NAME
from installer.bundle.dense import ZSTD
from installer.bundle.densetar import DenseTar
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, InputError, IntegrityError, MediumError
from installer.bundle.findparts import find_parts, names_parts
from installer.bundle.index import BundledImage, BundleIndex
from installer.bundle.joined import JoinedParts
from installer.bundle.layout import (
    BLOCK_BYTES,
    END,
    INDEX_NAME,
    Layout,
    Member,
    blob_name,
    oci_documents,
    piece_sizes,
)
from installer.bundle.ordered import ordered_map
from installer.bundle.parts import PART_NAME
from installer.bundle.platform import Platform
from installer.bundle.regularfile import NoRegularFileError, open_regular
from installer.bundle.seekable import Frame, LongFrame
from installer.bundle.spool import Spool
from installer.bundle.sums import SUMS_NAME, incomplete, read_sums

TARBALL_SUFFIX = ".tar.zst"
_READ_AHEAD_JOBS = 2
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM)


class Bundle:
    """An open bundle: ``path`` of its tarball, ``folder`` of the media set (``None`` for a tarball alone),
    ``index``, and ``identity``, the digest of ``bundle.json``. Closes as a context; readable from several threads.

    ``joined`` are the parts the tarball is in, if it is; ``path`` is then the name that they would have joined.
    """

    def __init__(self, stream: BinaryIO | JoinedParts, path: Path, folder: Path | None) -> None:
        self.joined = stream if isinstance(stream, JoinedParts) else None
        self._stream = cast("BinaryIO", stream)
        self.path = path
        self.folder = folder
        self.size_bytes = self.joined.size_bytes if self.joined else path.stat().st_size
        self._spool: Spool | None = None
        self._wanted: set[Digest] = set()  # of what is spooled
        self._resting: list[LongFrame] = []  # where the last reading ended; taken out while it is in use
        try:
            self.frames = seekable.parse_table(self._stream, self.size_bytes, str(path))
        except MediumError:
            raise
        except IntegrityError as error:
            raise diagnose.better(error, self._stream, self.size_bytes, str(path)) from None
        raw = self._read_index()
        self.identity = Digest.of(raw)
        self.index = BundleIndex.from_bytes(raw, where=f"{path}, {INDEX_NAME}")
        if self.index.to_bytes() != raw:
            raise FormatError("bundle.json is not in its one encoding", where=str(path), next_step=diagnose.COPY_AGAIN)
        self.layout = Layout.of(self.index)
        self._members = {member.name: member for member in self.layout.members}
        self._demand_layout()

    def _read_index(self) -> bytes:
        """The bytes of ``bundle.json``, whose size only its own tar header tells so far."""
        where = f"{self.path}, {INDEX_NAME}"
        start = self._span(0, BLOCK_BYTES, where)
        size_bytes = diagnose.index_size(b"".join(start), where)
        return b"".join(self._span(BLOCK_BYTES, size_bytes, where))

    def _demand_layout(self) -> None:
        """Frames and the header of ``bundle.json`` must be the ones that follow from the index."""
        first = self.layout.members[0]
        header = b"".join(self._span(0, BLOCK_BYTES, INDEX_NAME))
        # The number first: sizes in a hostile index could mean more frames than there is memory for.
        agree = self.layout.frames == len(self.frames) and all(
            frame.length_bytes == size_bytes
            for frame, size_bytes in zip(self.frames, self.layout.frame_sizes(), strict=True)
        )
        if header != first.header or not agree:
            diagnose.demand_table(self._stream, self.frames, self.layout, str(self.path))
            raise FormatError(
                "the tarball does not have the members that bundle.json lists",
                where=str(self.path),
                wanted=f"{len(self.layout.members)} members, {self.layout.size_bytes} bytes unpacked",
                got=f"{self.frames[-1].end_bytes} bytes unpacked in {len(self.frames)} frames",
                next_step=diagnose.COPY_AGAIN,
            )

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the tarball, and gives back what is spooled."""
        self._stream.close()
        if self._spool is not None:
            self._spool.close()

    def read_through(self, spool: Spool, wanted: Collection[Digest]) -> None:
        """From now on ``spool`` keeps what the medium is slow to give, until the blobs in ``wanted`` were read."""
        self._spool, self._wanted = spool, set(wanted)

    def demand_platform(self, platform: Platform) -> None:
        """Raises :class:`InputError` when the bundle, whole as it is, is for other machines."""
        if platform not in self.index.platforms:
            raise InputError(
                "the bundle is for another platform",
                where=str(self.path),
                wanted=f"a bundle for {platform}, which this machine is",
                got=f"one for {', '.join(self.index.platforms)}",
                next_step=f"build one with --arch {platform.architecture}",
            )

    def demand_installer(self, version: str) -> None:
        """Raises :class:`InputError` when the bundle was made by a newer builder than this ``version`` reads."""
        if _numbers(version) < _numbers(self.index.minimum_installer):
            raise InputError(
                "the bundle was made by a newer builder",
                where=str(self.path),
                wanted=f"installer {self.index.minimum_installer} or newer",
                got=f"installer {version}",
                next_step="run the install that came with the bundle",
            )

    def demand_packing(self) -> None:
        """Raises :class:`InputError` when layers would be packed to other bytes here than the builder said."""
        if self.index.zstd not in (None, ZSTD):
            raise InputError(
                "the bundle's layers would be packed to other bytes here",
                where=str(self.path),
                wanted=f"zstd {self.index.zstd}, which the builder had",
                got=f"zstd {ZSTD}",
                next_step="run the install that came with the bundle",
            )

    def member(self, digest: Digest) -> Member:
        """The member that holds a blob; :class:`FormatError` when the bundle has no such blob."""
        try:
            return self._members[blob_name(digest)]
        except KeyError:
            raise FormatError("the bundle has no such blob", where=str(self.path), wanted=digest) from None

    def chunks(self, digest: Digest, later: Collection[Digest] = ()) -> Iterator[bytes]:
        """A blob's content piece by piece (at most 4 MiB each); :class:`IntegrityError` at its end if it differs.

        What is spooled of it is given back after that, unless it is among the blobs that are wanted ``later``.
        """
        member = self.member(digest)
        yield from self._content(member)
        self._give_back(member, later)

    def oci_tar(
        self, images: Iterable[BundledImage], platforms: tuple[Platform, ...], later: Iterable[BundledImage] = ()
    ) -> Iterator[bytes]:
        """An uncompressed OCI layout as a tar stream: only ``images`` and the blobs of ``platforms``, verified.

        Image indexes are passed on as they are, so digests hold; blobs come in the tarball's order, each once. Of a
        dense bundle a node gets manifests of its own (:mod:`dense`), and no indexes. Images that come ``later`` may
        share blobs with these.
        """
        chosen = tuple(images)
        wanted_later = {digest for image in later for digest in self.index.held(image, platforms)}
        if self.index.layers:
            yield from DenseTar(self, platforms, wanted_later).parts(chosen)
        else:
            yield from self._tar_as_held(chosen, platforms, wanted_later)
        yield END

    def _tar_as_held(
        self, images: tuple[BundledImage, ...], platforms: tuple[Platform, ...], later: Collection[Digest]
    ) -> Iterator[bytes]:
        blobs = self.index.descriptors()
        wanted = {
            digest
            for image in images
            for digest in image.blobs(tuple(platform for platform in platforms if platform in image.platforms))
        }
        named = {name: blobs[image.blob] for image in images for name in image.names()}
        yield from oci_documents(named, self.index.created_seconds)
        for blob in self.index.blobs:
            if blob.digest in wanted:
                member = self.member(blob.digest)
                yield member.header
                yield from self.chunks(blob.digest, later)
                yield member.padding

    def damaged(self, error: IntegrityError, frame: Frame, where: str, wanted: str | None = None) -> IntegrityError:
        """The error for a frame that cannot be decompressed: which bytes of which file, and what they belong to."""
        if self.joined is None:
            return diagnose.damaged_frame(error, frame, where, wanted)
        inside = "\n".join(where.splitlines()[1:])
        if error.where:  # a part could not be read, and it has been said where
            where = f"{error.where}\n{inside}".strip()
            return IntegrityError(error.message, where=where, got=error.got, next_step=error.next_step)
        error.wanted = wanted or error.wanted
        return self.joined.damaged_span(frame.offset_bytes, frame.compressed_bytes, inside, error)

    def read_frame(self, frame: Frame) -> bytes:
        """A frame's bytes as they are in the file."""
        return self._read(frame.offset_bytes, frame.compressed_bytes)

    def read_bytes(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Bytes of the tarball as they are."""
        return seekable.read_at(self._stream, offset_bytes, length_bytes, str(self.path))

    def _read(self, offset_bytes: int, length_bytes: int) -> bytes:
        def medium() -> bytes:
            return self.read_bytes(offset_bytes, length_bytes)

        return medium() if self._spool is None else self._spool.read(offset_bytes, length_bytes, medium)

    def read_tail(self) -> bytes:
        """The seek table's bytes."""
        length_bytes = seekable.table_size_bytes(len(self.frames))
        return self.read_bytes(self.size_bytes - length_bytes, length_bytes)

    def _content(self, member: Member) -> Iterator[bytes]:
        where = diagnose.place(self.index, self.path, member)
        digest = hashlib.sha256()
        for piece in self._span(member.content_offset_bytes, member.size_bytes, where):
            digest.update(piece)
            yield piece
        got = f"sha256:{digest.hexdigest()}"
        if got != member.digest:
            raise IntegrityError(
                "wrong bytes", where=where, wanted=member.digest, got=got, next_step=diagnose.COPY_AGAIN
            )

    def _give_back(self, member: Member, later: Collection[Digest]) -> None:
        """The member is not wanted again, and so none of its frames is in which no other member is."""
        if self._spool is None or member.digest in later:
            return
        self._wanted.discard(member.digest)
        others = [other for other in self.layout.section_of(member).members if other.digest in self._wanted]
        for frame in seekable.frames_of(self.frames, member.offset_bytes, member.stored_bytes):
            if not any(frame.overlaps(other.offset_bytes, other.stored_bytes) for other in others):
                self._spool.taken(frame.offset_bytes, frame.compressed_bytes)

    def _span(self, start_bytes: int, length_bytes: int, where: str) -> Iterator[bytes]:
        """A part of the uncompressed stream, piece by piece; the next pieces are read meanwhile."""
        frames = seekable.frames_of(self.frames, start_bytes, length_bytes)
        for is_long, found in itertools.groupby(frames, key=lambda frame: frame.is_long):
            if is_long:
                for frame in found:
                    yield from self._span_of_long(frame, start_bytes, length_bytes, where)
            else:
                yield from self._span_of_small(tuple(found), start_bytes, length_bytes, where)

    def _span_of_small(
        self, frames: tuple[Frame, ...], start_bytes: int, length_bytes: int, where: str
    ) -> Iterator[bytes]:
        def content(frame: Frame) -> bytes:
            data = self.read_frame(frame)
            try:
                return seekable.decompress(data, frame.length_bytes)
            except IntegrityError as error:
                raise self.damaged(error, frame, where) from None

        if len(frames) == 1:
            yield bytes(seekable.cut(content(frames[0]), frames[0], start_bytes, length_bytes))
            return
        pieces = ordered_map(content, frames, jobs=_READ_AHEAD_JOBS)
        for frame, piece in zip(frames, pieces, strict=True):
            yield bytes(seekable.cut(piece, frame, start_bytes, length_bytes))

    def _span_of_long(self, frame: Frame, start_bytes: int, length_bytes: int, where: str) -> Iterator[bytes]:
        """What comes before it in the frame is decompressed and dropped, unless the last reading ended there."""
        low = max(start_bytes, frame.start_bytes)
        high = min(start_bytes + length_bytes, frame.end_bytes)
        reader = self._resting.pop() if self._resting else None
        if reader is None or reader.frame != frame or reader.position_bytes > low:
            reader = self.long_frame(frame)
        skipped = list(piece_sizes(low - reader.position_bytes))
        try:
            with contextlib.closing(ordered_map(reader.read, [*skipped, *piece_sizes(high - low)], jobs=1)) as pieces:
                for _ in skipped:
                    next(pieces)
                yield from pieces
        except MediumError:
            raise
        except IntegrityError as error:
            raise self.damaged(error, frame, where) from None
        self._resting.append(reader)

    def long_frame(self, frame: Frame, passing: Callable[[bytes], None] = lambda _data: None) -> LongFrame:
        """A long frame from its beginning; ``passing`` gets its bytes in the file as they are read."""

        def read(offset_bytes: int, length_bytes: int) -> bytes:
            data = self._read(offset_bytes, length_bytes)
            passing(data)
            return data

        return LongFrame(frame, read)


def open_media_set(path: Path, further: Sequence[Path] = ()) -> Bundle:
    """Opens a media set (its folder) or a tarball alone; the caller closes it.

    Of a split one the parts are read where they are: in the folder, in ``further`` ones, and in those beside it.
    """
    try:
        if (path / DELTA_NAME).is_file():
            raise InputError(
                "this is a delta, and not a whole media set",
                where=str(path),
                wanted="a media set, or a tarball of one",
                got=f"a folder with {DELTA_NAME}",
                next_step=f"make it whole first:  {path}/install rebuild --base OLD_MEDIA_SET --out DIR",
            )
        if path.is_dir() and (path / SUMS_NAME).is_file() and names_parts(sums := read_sums(path)):
            return _open_parts(path, sums, further)
        tarball = _tarball_in(path) if path.is_dir() else path
    except OSError as error:
        raise MediumError.of(str(path), error) from None
    try:
        stream = open_regular(tarball)
    except OSError as error:
        if error.errno not in _ABSENT and not isinstance(error, NoRegularFileError):
            raise MediumError.of(str(tarball), error) from None
        raise InputError(
            "the bundle cannot be opened",
            where=str(tarball),
            got=error.strerror or str(error),
            next_step="name the media set's folder, or its .tar.zst",
        ) from None
    try:
        return Bundle(stream, tarball, path if path.is_dir() else None)
    except BaseException:
        stream.close()
        raise


def _open_parts(folder: Path, sums: Mapping[str, Digest], further: Sequence[Path]) -> Bundle:
    here = find_parts(folder, sums, further)
    here.demand((1, here.set.data))  # the index is at the beginning of the tarball, the seek table at its end
    joined = JoinedParts(here)
    try:
        return Bundle(joined, folder / (here.set.name + TARBALL_SUFFIX), folder)
    except IntegrityError as error:
        joined.close()
        raise joined.advised(error) from None
    except BaseException:
        joined.close()
        raise


def _numbers(version: str) -> tuple[int, ...]:
    """``1.10.0`` as numbers to compare by; what follows the first other character does not count."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _tarball_in(folder: Path) -> Path:
    found = sorted(entry for entry in folder.iterdir() if entry.name.endswith(TARBALL_SUFFIX))
    if not found and any(PART_NAME.fullmatch(entry.name) for entry in folder.iterdir()):
        raise incomplete(folder, [SUMS_NAME])
    if len(found) != 1 and (folder / SUMS_NAME).exists():
        listed = [name for name in read_sums(folder) if name.endswith(TARBALL_SUFFIX)]
        if missing := [name for name in listed if folder / name not in found]:
            raise incomplete(folder, missing, tuple(entry.name for entry in found))
        found = [entry for entry in found if entry.name in listed]
    if len(found) != 1:
        raise InputError(
            "not a media set",
            where=str(folder),
            wanted=f"exactly one file that ends in {TARBALL_SUFFIX}",
            got=", ".join(entry.name for entry in found) or "none",
            next_step="copy the whole media set again, or name its folder",
        )
    return found[0]
