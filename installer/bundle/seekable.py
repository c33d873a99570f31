"""The zstd seekable format: independent frames, and a seek table in a skippable frame at the end.

Seek table, little endian: magic ``0x184D2A5E``, length of the rest; per frame the compressed and the uncompressed size
(4 bytes each); then the number of frames (4), a zero byte (no checksums: each frame has its own), magic
``0x8F92EAB1``. Everything read here is an outsider's word until it agrees with the file's length and the index.

A frame is either small, and decompressed whole (:func:`decompress`), or long, and read through (:class:`LongFrame`).
"""

from __future__ import annotations

import io
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

import zstandard

from installer.bundle.errors import FormatError, IntegrityError, MediumError

FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
TABLE_MAGIC = b"\x5e\x2a\x4d\x18"
FOOTER_MAGIC = b"\xb1\xea\x92\x8f"
MAXIMUM_FRAME_BYTES = 1024 * 1024 * 1024
MAXIMUM_SMALL_BYTES = 16 * 1024 * 1024
MAXIMUM_WINDOW_BYTES = 128 * 1024 * 1024
"""What any zstd decompresses without being told to; it is the memory that a long frame costs."""
MAXIMUM_FRAMES = 1_000_000
_ENTRY_BYTES = 8
_FOOTER_BYTES = 9
_HEADER_BYTES = 8
_LEAST_BYTES = 1024
_READ_BYTES = 1024 * 1024
FRAME_HEADER_BYTES = 18
_COPY_AGAIN = "copy the media set again"


@dataclass(frozen=True)
class Frame:
    """One frame: its place in the file, and what it holds of the uncompressed stream."""

    offset_bytes: int
    compressed_bytes: int
    start_bytes: int
    length_bytes: int

    @property
    def end_bytes(self) -> int:
        """Where its part of the uncompressed stream ends."""
        return self.start_bytes + self.length_bytes

    @property
    def is_long(self) -> bool:
        """Whether it is read through instead of decompressed whole."""
        return self.length_bytes > MAXIMUM_SMALL_BYTES

    def overlaps(self, start_bytes: int, length_bytes: int) -> bool:
        """Whether it holds a part of these ``length_bytes`` of the uncompressed stream."""
        return self.start_bytes < start_bytes + length_bytes and start_bytes < self.end_bytes


def table_bytes(sizes: Sequence[tuple[int, int]]) -> bytes:
    """The seek table for frames of (compressed, uncompressed) sizes."""
    entries = b"".join(struct.pack("<II", compressed, length) for compressed, length in sizes)
    footer = struct.pack("<IB", len(sizes), 0) + FOOTER_MAGIC
    return TABLE_MAGIC + struct.pack("<I", len(entries) + len(footer)) + entries + footer


def table_size_bytes(frames: int) -> int:
    """How long the seek table of so many frames is."""
    return _HEADER_BYTES + _ENTRY_BYTES * frames + _FOOTER_BYTES


def parse_table(stream: BinaryIO, size_bytes: int, where: str) -> tuple[Frame, ...]:
    """The frames of a file of ``size_bytes``; :class:`FormatError` unless table and file agree to the byte."""

    def damaged(wanted: str, got: str) -> FormatError:
        return damaged_table(where, wanted, got)

    footer = read_at(stream, max(0, size_bytes - _FOOTER_BYTES), min(size_bytes, _FOOTER_BYTES), where)
    if len(footer) < _FOOTER_BYTES or footer[5:] != FOOTER_MAGIC:
        raise damaged(f"{FOOTER_MAGIC.hex()} as the last four bytes", footer[-4:].hex() or "an empty file")
    (count, flags) = struct.unpack("<IB", footer[:5])
    length_bytes = table_size_bytes(count)
    if flags or not 0 < count <= MAXIMUM_FRAMES or length_bytes > size_bytes:
        raise damaged(f"1 to {MAXIMUM_FRAMES} frames that fit the file, no flags", f"{count} frames, flags {flags}")
    table = read_at(stream, size_bytes - length_bytes, length_bytes, where)
    header = TABLE_MAGIC + struct.pack("<I", length_bytes - _HEADER_BYTES)
    if table[:_HEADER_BYTES] != header:
        raise damaged(header.hex(), table[:_HEADER_BYTES].hex())
    frames = []
    offset_bytes = start_bytes = 0
    for compressed, length in struct.iter_unpack("<II", table[_HEADER_BYTES:-_FOOTER_BYTES]):
        if not 0 < length <= MAXIMUM_FRAME_BYTES or not 0 < compressed <= 2 * length + _LEAST_BYTES:
            raise damaged(f"frames of 1 to {MAXIMUM_FRAME_BYTES} bytes", f"{length} bytes from {compressed}")
        frames.append(Frame(offset_bytes, compressed, start_bytes, length))
        offset_bytes += compressed
        start_bytes += length
    if offset_bytes + length_bytes != size_bytes:
        raise damaged(f"{size_bytes} bytes of frames and table", f"{offset_bytes + length_bytes} bytes")
    return tuple(frames)


def damaged_table(where: str, wanted: str, got: str) -> FormatError:
    """The error for a seek table that cannot be right."""
    message = "the seek table at the end of the tarball is damaged"
    return FormatError(message, where=where, wanted=wanted, got=got, next_step=_COPY_AGAIN)


def decompress(data: bytes, length_bytes: int) -> bytes:
    """One frame's content; :class:`IntegrityError` unless it is exactly one whole frame of ``length_bytes``.

    The size a frame declares is compared before anything is allocated, so memory is bounded by the seek table.
    """
    try:
        _demand_declared(data, length_bytes)
        content = zstandard.ZstdDecompressor().decompress(data, max_output_size=length_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError("unreadable", got=f"bytes that do not decompress ({error})") from None
    if len(content) != length_bytes:
        raise IntegrityError("wrong frame size", wanted=f"{length_bytes} bytes", got=f"{len(content)} bytes")
    return content


def _demand_declared(head: bytes, length_bytes: int) -> None:
    """The frame that begins with ``head`` must say that it has ``length_bytes``, and no larger window than allowed."""
    declared = zstandard.get_frame_parameters(head)
    if declared.content_size != length_bytes:
        raise IntegrityError("wrong frame size", wanted=f"{length_bytes} bytes", got=f"{declared.content_size} bytes")
    if declared.window_size > max(MAXIMUM_WINDOW_BYTES, length_bytes):
        raise IntegrityError(
            "a frame wants too much memory", wanted=f"{MAXIMUM_WINDOW_BYTES} bytes", got=f"{declared.window_size} bytes"
        )


class LongFrame:
    """A frame decompressed from its beginning, piece by piece and only ahead, within the memory of its window.

    ``read`` gives bytes of the file by offset and length. ``position_bytes`` is where in the uncompressed stream the
    next piece begins. :class:`IntegrityError` where the frame is not exactly one whole frame of its length.
    """

    def __init__(self, frame: Frame, read: Callable[[int, int], bytes]) -> None:
        self.frame = frame
        self.position_bytes = frame.start_bytes
        self._source = _FrameSource(frame, read)
        self._reader: zstandard.ZstdDecompressionReader | None = None

    def read(self, length_bytes: int) -> bytes:
        """The next ``length_bytes``, which must be within the frame."""
        try:
            content = self._started().read(length_bytes)
            self.position_bytes += len(content)
            is_end = self.position_bytes == self.frame.end_bytes
            after = self._started().read(len(_AFTER) + 1) if is_end else _AFTER
        except zstandard.ZstdError as error:
            raise IntegrityError("unreadable", got=f"bytes that do not decompress ({error})") from None
        if len(content) != length_bytes or after != _AFTER:
            wanted = f"{self.frame.length_bytes} bytes from {self.frame.compressed_bytes}"
            raise IntegrityError("wrong frame size", wanted=wanted, got="more or fewer")
        return content

    def _started(self) -> zstandard.ZstdDecompressionReader:
        if self._reader is None:
            _demand_declared(self._source.head(), self.frame.length_bytes)
            decompressor = zstandard.ZstdDecompressor(max_window_size=MAXIMUM_WINDOW_BYTES)
            source = cast("IO[bytes]", self._source)  # it is asked to read, and for nothing else
            self._reader = decompressor.stream_reader(source, read_size=_READ_BYTES, read_across_frames=True)
        return self._reader


_AFTER = b"after"
_AFTER_FRAME = zstandard.ZstdCompressor().compress(_AFTER)


class _FrameSource:
    """A frame's bytes in the file, for a decompressor to read, and a known small frame after them.

    A decompressor does not say whether a frame was whole; only where the known one comes out next, it was.
    """

    def __init__(self, frame: Frame, read: Callable[[int, int], bytes]) -> None:
        self._frame = frame
        self._read = read
        self._left_bytes = frame.compressed_bytes
        self._head = b""
        self._after = io.BytesIO(_AFTER_FRAME)

    def head(self) -> bytes:
        """The bytes that hold the frame's own header; they are read again by what follows, but not from the file."""
        self._head = self.read(FRAME_HEADER_BYTES)
        return self._head

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        if self._head:
            head, self._head = self._head, b""
            return head
        if not self._left_bytes:
            return self._after.read(size)
        length_bytes = min(self._left_bytes, size) if size >= 0 else self._left_bytes
        offset_bytes = self._frame.offset_bytes + self._frame.compressed_bytes - self._left_bytes
        self._left_bytes -= length_bytes
        return self._read(offset_bytes, length_bytes)


class Positioned(io.RawIOBase):
    """A file that is none of the kernel's: it is read at any place by itself, from any thread."""

    def pread(self, length_bytes: int, offset_bytes: int) -> bytes:
        """Up to ``length_bytes`` at ``offset_bytes``; ``b""`` at the end."""
        raise NotImplementedError


def _pread(stream: BinaryIO, length_bytes: int, offset_bytes: int) -> bytes:
    if isinstance(stream, Positioned):
        return stream.pread(length_bytes, offset_bytes)
    return os.pread(stream.fileno(), length_bytes, offset_bytes)


def read_at(stream: BinaryIO, offset_bytes: int, length_bytes: int, where: str) -> bytes:
    """Exactly ``length_bytes`` of an open file; usable from several threads. A short or failed read is named."""
    parts = []
    at_bytes = offset_bytes
    while at_bytes < offset_bytes + length_bytes:
        try:
            part = _pread(stream, offset_bytes + length_bytes - at_bytes, at_bytes)
        except OSError as error:
            place = f"{where}, bytes {at_bytes} to {offset_bytes + length_bytes - 1}"
            raise MediumError.of(place, error) from None
        if not part:
            raise IntegrityError(
                "the file ends too early",
                where=where,
                wanted=f"{offset_bytes + length_bytes} bytes or more",
                got=f"{at_bytes} bytes",
                next_step=_COPY_AGAIN,
            )
        parts.append(part)
        at_bytes += len(part)
    return b"".join(parts)


def frames_of(frames: Sequence[Frame], start_bytes: int, length_bytes: int) -> Iterator[Frame]:
    """The frames that hold a part of the uncompressed stream, in order."""
    end_bytes = start_bytes + length_bytes
    position = bisect_right(frames, start_bytes, key=lambda frame: frame.start_bytes) - 1
    while length_bytes and position < len(frames) and frames[position].start_bytes < end_bytes:
        yield frames[position]
        position += 1


def cut(content: bytes, frame: Frame, start_bytes: int, length_bytes: int) -> memoryview:
    """The part of a frame's ``content`` that lies within ``length_bytes`` from ``start_bytes`` of the stream."""
    low = max(0, start_bytes - frame.start_bytes)
    high = min(frame.length_bytes, start_bytes + length_bytes - frame.start_bytes)
    return memoryview(content)[low:high]
