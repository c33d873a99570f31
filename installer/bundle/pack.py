"""Writes the tarball: tar members compressed frame by frame in several threads, the same bytes at any ``jobs``.

Each frame is compressed on its own, so which thread does it cannot show in the output; frames are written in order as
they are done, and only a few are in memory. The long frames of a dense bundle are compressed by all threads together,
one after the other, and cost the memory of their window. Blobs are verified while they are read, and the tarball's own
digest is taken while it is written.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import zstandard

from installer.bundle import mediatypes, seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import IntegrityError
from installer.bundle.index import BundleIndex
from installer.bundle.layout import END, FRAME_BYTES, Layout, Member, Section
from installer.bundle.ordered import SideDigest, cut, ordered_map

STORED_LEVEL = -1
"""For what is compressed already: zstd finds nothing at any level, and this one notices at 3.4 GB/s; 1 at 1.6."""
SHRINKING_LEVEL = 5
"""For binaries and text. Of the kubelet, 3 makes 28.4 % at 184 MB/s, 5 27.4 % at 90, 6 26.6 % at 57, 9 26.1 % at 33;
binaries are a part of the whole, and whoever wants it small has dense layers."""
LONG_LEVEL = 9
"""For what is compressed together."""


_LONG_WINDOW_LOG = seekable.MAXIMUM_WINDOW_BYTES.bit_length() - 1
_LONG_JOB_BYTES = 32 * 1024 * 1024
"""What each thread works on at a time in a long frame; it decides the bytes, so it does not follow the threads."""


class VerifiedReader(Protocol):
    """A blob being read; ``read`` raises :class:`IntegrityError` at the end, at the latest, when it is damaged."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes; ``b""`` at the verified end."""


class SupportsWrite(Protocol):
    """Where the tarball goes: a file, or what only hashes it."""

    def write(self, data: bytes, /) -> object:
        """Takes all of ``data``."""


class BlobSource(Protocol):
    """Where blobs come from: the store."""

    def open(self, digest: Digest, /) -> AbstractContextManager[VerifiedReader]:
        """The blob for reading; :class:`IntegrityError` when it is not there."""


@dataclass(frozen=True)
class Packed:
    """The finished tarball's digest and size."""

    digest: Digest
    size_bytes: int


@dataclass(frozen=True)
class Verbatim:
    """A section as a finished tarball has it: the compressed size of each frame, and what reads them all."""

    frame_sizes: tuple[int, ...]
    parts: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class _Piece:
    """Uncompressed bytes of one frame, and the level to compress them with."""

    content: bytes
    level: int


_Parts = Iterable[tuple[bytes, int]]
"""A frame as it comes: compressed bytes, and how many uncompressed ones were taken for them."""


def write_tarball(
    index: BundleIndex,
    blobs: BlobSource,
    out: SupportsWrite,
    *,
    jobs: int,
    verbatim: Mapping[str, Verbatim] = {},
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Packed:
    """Writes the tarball of ``index`` to ``out``. ``progress`` gets the uncompressed bytes done since its last call.

    Sections in ``verbatim``, by the name of their first member, are not compressed here, and their blobs not read.
    """
    stored = {blob.digest for blob in index.blobs if mediatypes.is_compressed(blob.media_type)}
    return write_layout(Layout.of(index), blobs, out, stored=stored, jobs=jobs, verbatim=verbatim, progress=progress)


def write_layout(
    layout: Layout,
    blobs: BlobSource,
    out: SupportsWrite,
    *,
    stored: Collection[Digest],
    jobs: int,
    verbatim: Mapping[str, Verbatim] = {},
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Packed:
    """:func:`write_tarball` for any layout; the members in ``stored`` are compressed already."""
    packing = Packing(layout, blobs, stored, jobs=jobs, verbatim=verbatim)
    with SideDigest() as whole:
        output = _Output(out, whole, progress)
        for frame in packing.frames(layout.sections):
            output.frame(frame)
        output.frame([packing.compress(_Piece(END, STORED_LEVEL))])
        return output.finish()


class Packing:
    """Sections turned into frames; see :func:`write_layout`."""

    def __init__(
        self,
        layout: Layout,
        blobs: BlobSource,
        stored: Collection[Digest],
        *,
        jobs: int,
        verbatim: Mapping[str, Verbatim] = {},
    ) -> None:
        self._layout = layout
        self._blobs = blobs
        self._stored = stored
        self._jobs = _useful(jobs)
        self._verbatim = verbatim
        self._compressors = threading.local()

    def frames(self, sections: Iterable[Section]) -> Iterator[_Parts]:
        """The frames of ``sections``; each must be taken whole before the next one is asked for."""
        for kind, alike in itertools.groupby(sections, key=self._kind):
            if kind == "small":
                pieces = self._small_pieces(alike)
                yield from ([part] for part in ordered_map(self.compress, pieces, jobs=self._jobs))
            else:
                for section in alike:
                    if kind == "long":
                        yield from long_frames(section, self._blobs, threads=self._jobs)
                    else:
                        yield from _verbatim_frames(section, self._verbatim[section.members[0].name])

    def _kind(self, section: Section) -> Literal["verbatim", "long", "small"]:
        if section.members[0].name in self._verbatim:
            return "verbatim"
        return "long" if section.is_long else "small"

    def compress(self, piece: _Piece) -> tuple[bytes, int]:
        """A small frame."""
        return _compressor(self._compressors, piece.level).compress(piece.content), len(piece.content)

    def _small_pieces(self, sections: Iterable[Section]) -> Iterator[_Piece]:
        """The members of ``sections``, one in each, cut into frames."""
        for section in sections:
            (member,) = section.members
            document = self._layout.documents.get(member.name)
            if document is None:
                level = STORED_LEVEL if member.digest in self._stored else SHRINKING_LEVEL
                parts = _member_parts(member, self._blobs)
            else:
                level = SHRINKING_LEVEL
                parts = iter((member.header, document, member.padding))
            for content in cut(parts, FRAME_BYTES):
                yield _Piece(content, level)


def _verbatim_frames(section: Section, held: Verbatim) -> Iterator[_Parts]:
    """The frames of a section that was compressed elsewhere; what reads them proves their digest at the end."""
    pieces = held.parts()
    left = memoryview(b"")

    def frame(compressed_bytes: int, length_bytes: int) -> Iterator[tuple[bytes, int]]:
        nonlocal left
        while compressed_bytes:
            left = left or memoryview(next(pieces))
            part, left = left[:compressed_bytes], left[compressed_bytes:]
            compressed_bytes -= len(part)
            yield bytes(part), 0 if compressed_bytes else length_bytes

    for compressed_bytes, length_bytes in zip(held.frame_sizes, section.frame_sizes(), strict=True):
        yield frame(compressed_bytes, length_bytes)
    for _ in pieces:
        pass


def long_frames(section: Section, blobs: BlobSource, *, threads: int) -> Iterator[_Parts]:
    """Each long frame of ``section`` as the parts that :class:`_Output` takes; the bytes do not depend on ``threads``.

    A frame must be taken whole before the next one is asked for.
    """
    pieces = cut((part for member in section.members for part in _member_parts(member, blobs)), FRAME_BYTES)
    for length_bytes in section.frame_sizes():
        yield _long_frame(itertools.islice(pieces, -(-length_bytes // FRAME_BYTES)), length_bytes, threads)


def _long_frame(pieces: Iterable[bytes], length_bytes: int, threads: int) -> Iterator[tuple[bytes, int]]:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LONG_LEVEL,
        window_log=_LONG_WINDOW_LOG,
        enable_ldm=True,
        threads=_useful(threads),
        job_size=_LONG_JOB_BYTES,
        write_content_size=True,
        write_checksum=True,
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=length_bytes)
    for piece in pieces:
        yield compressor.compress(piece), len(piece)
    yield compressor.flush(), 0


def _useful(jobs: int) -> int:
    """Compressing keeps a processor busy: more threads than those would only take memory."""
    return min(jobs, os.cpu_count() or 1)


def _compressor(compressors: threading.local, level: int) -> zstandard.ZstdCompressor:
    """This thread's compressor for ``level``; making one costs more than compressing a small frame."""
    name = f"level_{level}"
    if not hasattr(compressors, name):
        made = zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=True)
        setattr(compressors, name, made)
    compressor: zstandard.ZstdCompressor = getattr(compressors, name)
    return compressor


def _member_parts(member: Member, blobs: BlobSource) -> Iterator[bytes]:
    yield member.header
    with blobs.open(member.digest) as reader:
        read_bytes = 0
        # With the header the first part fills a frame, so that each one after it is a frame as it is.
        while data := reader.read(FRAME_BYTES - (0 if read_bytes else len(member.header))):
            read_bytes += len(data)
            yield data
    if read_bytes != member.size_bytes:
        raise IntegrityError(
            "a blob has another size", where=member.digest, wanted=f"{member.size_bytes}", got=f"{read_bytes}"
        )
    yield member.padding


class _Output:
    """The file being written: its digest on the side, and its seek table."""

    def __init__(self, out: SupportsWrite, whole: SideDigest, progress: Callable[[int], None]) -> None:
        self._out = out
        self._whole = whole
        self._progress = progress
        self._frames: list[tuple[int, int]] = []

    def frame(self, parts: _Parts) -> None:
        """One frame, as it comes: compressed bytes, and how many uncompressed ones were taken for them."""
        compressed_bytes = length_bytes = 0
        for data, taken_bytes in parts:
            self._write(data)
            compressed_bytes += len(data)
            length_bytes += taken_bytes
            self._progress(taken_bytes)
        self._frames.append((compressed_bytes, length_bytes))

    def finish(self) -> Packed:
        """Writes the seek table."""
        table = seekable.table_bytes(self._frames)
        self._write(table)
        return Packed(self._whole.digest(), sum(compressed for compressed, _ in self._frames) + len(table))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._whole.update(data)
