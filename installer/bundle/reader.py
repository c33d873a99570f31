"""Opens a media set and reads single members of its tarball, without unpacking it: :class:`Bundle`.

Opening reads the seek table and ``bundle.json`` only. Every byte handed out is verified: a frame against the seek
table and its own checksum, a member against its digest. :mod:`installer.bundle.verify` reads everything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from installer.bundle import diagnose, seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, InputError, IntegrityError
from installer.bundle.index import BundledImage, BundleIndex
from installer.bundle.layout import (
    BLOCK_BYTES,
    END,
    INDEX_NAME,
    Layout,
    Member,
    blob_name,
    oci_documents,
)
from installer.bundle.ordered import ordered_map
from installer.bundle.platform import Platform
from installer.bundle.seekable import Frame

TARBALL_SUFFIX = ".tar.zst"
_READ_AHEAD_JOBS = 2


class Bundle:
    """An open bundle: ``path`` of its tarball, ``folder`` of the media set (``None`` for a tarball alone),
    ``index``, and ``identity``, the digest of ``bundle.json``. Closes as a context; readable from several threads.
    """

    def __init__(self, stream: BinaryIO, path: Path, folder: Path | None) -> None:
        self._stream = stream
        self.path = path
        self.folder = folder
        self.size_bytes = path.stat().st_size
        try:
            self.frames = seekable.parse_table(stream, self.size_bytes, str(path))
        except IntegrityError as error:
            raise diagnose.better(error, stream, self.size_bytes, str(path)) from None
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
        """Closes the tarball."""
        self._stream.close()

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

    def member(self, digest: Digest) -> Member:
        """The member that holds a blob; :class:`FormatError` when the bundle has no such blob."""
        try:
            return self._members[blob_name(digest)]
        except KeyError:
            raise FormatError("the bundle has no such blob", where=str(self.path), wanted=digest) from None

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """A blob's content piece by piece (at most 4 MiB each); :class:`IntegrityError` at its end if it differs."""
        return self._content(self.member(digest))

    def oci_tar(self, images: Iterable[BundledImage], platforms: tuple[Platform, ...]) -> Iterator[bytes]:
        """An uncompressed OCI layout as a tar stream: only ``images`` and the blobs of ``platforms``, verified.

        Image indexes are passed on as they are, so digests hold; blobs come in the tarball's order, each once.
        """
        chosen = tuple(images)
        wanted = {
            digest
            for image in chosen
            for digest in image.blobs(tuple(platform for platform in platforms if platform in image.platforms))
        }
        yield from oci_documents(chosen, self.index)
        for blob in self.index.blobs:
            if blob.digest in wanted:
                member = self.member(blob.digest)
                yield member.header
                yield from self._content(member)
                yield member.padding
        yield END

    def read_frame(self, frame: Frame) -> bytes:
        """A frame's bytes as they are in the file."""
        return seekable.read_at(self._stream, frame.offset_bytes, frame.compressed_bytes, str(self.path))

    def read_tail(self) -> bytes:
        """The seek table's bytes."""
        length_bytes = seekable.table_size_bytes(len(self.frames))
        return seekable.read_at(self._stream, self.size_bytes - length_bytes, length_bytes, str(self.path))

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

    def _span(self, start_bytes: int, length_bytes: int, where: str) -> Iterator[bytes]:
        """A part of the uncompressed stream, a frame at a time; the next frames are read meanwhile."""

        def content(frame: Frame) -> bytes:
            data = self.read_frame(frame)
            try:
                return seekable.decompress(data, frame.length_bytes)
            except IntegrityError as error:
                raise diagnose.damaged_frame(error, frame, where) from None

        frames = seekable.frames_of(self.frames, start_bytes, length_bytes)
        first = tuple(frames)
        if len(first) == 1:
            yield bytes(seekable.cut(content(first[0]), first[0], start_bytes, length_bytes))
            return
        pieces = ordered_map(content, first, jobs=_READ_AHEAD_JOBS)
        for frame, piece in zip(first, pieces, strict=True):
            yield bytes(seekable.cut(piece, frame, start_bytes, length_bytes))


def open_media_set(path: Path) -> Bundle:
    """Opens a media set (its folder) or a tarball alone; the caller closes it."""
    tarball = _tarball_in(path) if path.is_dir() else path
    try:
        stream = tarball.open("rb")
    except OSError as error:
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


def _numbers(version: str) -> tuple[int, ...]:
    """``1.10.0`` as numbers to compare by; what follows the first other character does not count."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _tarball_in(folder: Path) -> Path:
    found = sorted(entry for entry in folder.iterdir() if entry.name.endswith(TARBALL_SUFFIX))
    if len(found) != 1:
        raise InputError(
            "not a media set",
            where=str(folder),
            wanted=f"exactly one file that ends in {TARBALL_SUFFIX}",
            got=", ".join(entry.name for entry in found) or "none",
            next_step="copy the whole media set again, or name its folder",
        )
    return found[0]
