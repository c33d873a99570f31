"""Bytes of a slow medium, kept from the reading that proves them until they are taken: a medium is read once.

What came slowly is kept, as long as there is room; what came as fast as an image store takes images in costs nothing to
be read again. Kept bytes lie in files without a name, so nothing is left behind however the run ends. They are served
in the pieces in which they were read, and a file is given back once all its pieces were taken.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

SLOW_BYTES_PER_SECOND = 120e6
"""containerd's content store takes images in at this rate: a medium that is faster is not what is waited for."""
GRACE_SECONDS = 0.005
"""What one read may take beyond that, for a fast medium on a busy machine."""
GRACE_IN_ALL_SECONDS = 0.1
"""The same for all reads so far: what the kernel had read ahead of a slow medium came quickly, and would not again."""
FILE_BYTES = 64 * 1024 * 1024
_MOST_FILES = 128

ReadMedium = Callable[[], bytes]


@dataclass
class _File:
    """A nameless file: how much is in it, and how many of its pieces are still to be taken."""

    stream: BinaryIO
    size_bytes: int = 0
    pieces: int = 0


@dataclass(frozen=True)
class _Piece:
    """What was read of the medium at once: where it is kept."""

    file: _File
    at_bytes: int
    length_bytes: int


class Spool:
    """Keeps up to ``room_bytes`` in files that ``make`` opens; with no ``make`` it only counts what it would keep.

    Usable from several threads. ``medium_seconds`` is how long the reads took while filling; of the ``slow_bytes``
    that came slowly, ``kept_bytes`` are kept.
    """

    def __init__(self, room_bytes: int, make: Callable[[], BinaryIO] | None = None) -> None:
        self._room_bytes = room_bytes
        self._make = make
        self._file_bytes = max(FILE_BYTES, room_bytes // _MOST_FILES)
        self._files: list[_File] = []
        self._pieces: dict[int, _Piece] = {}  # by the offset in the medium
        self._offsets: list[int] = []  # all of them, ascending, also of what was taken since
        self._lock = threading.Lock()
        self._is_filling = True
        self._is_full = False
        self._medium_bytes = 0
        self.medium_seconds = 0.0
        self.slow_bytes = 0
        self.kept_bytes = 0

    def read(self, offset_bytes: int, length_bytes: int, medium: ReadMedium) -> bytes:
        """The piece at ``offset_bytes``: kept, or else by ``medium``, which reads it."""
        if not self._is_filling:
            return self._kept(offset_bytes, length_bytes) or medium()
        began = time.perf_counter()
        data = medium()
        seconds = time.perf_counter() - began
        with self._lock:
            self.medium_seconds += seconds
            self._medium_bytes += length_bytes
            if _is_slow(length_bytes, seconds, GRACE_SECONDS) or _is_slow(
                self._medium_bytes, self.medium_seconds, GRACE_IN_ALL_SECONDS
            ):
                self.slow_bytes += length_bytes
                self._keep(offset_bytes, data)
        return data

    def filled(self) -> None:
        """Everything is proven: from now on what is kept is served."""
        self._is_filling = False

    def taken(self, offset_bytes: int, length_bytes: int) -> None:
        """Nothing in this part of the medium is wanted again; its room is given back."""
        with self._lock:
            first = bisect_left(self._offsets, offset_bytes)
            last = bisect_left(self._offsets, offset_bytes + length_bytes)
            for offset in self._offsets[first:last]:
                self._forget(offset)

    @property
    def held_bytes(self) -> int:
        """What lies on the disk now."""
        return sum(file.size_bytes for file in self._files)

    def close(self) -> None:
        """Gives all of it back."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        for file in self._files:
            file.stream.close()
        self._files.clear()
        self._pieces.clear()
        self._offsets.clear()
        self.kept_bytes = 0

    def _keep(self, offset_bytes: int, data: bytes) -> None:
        """Keeps ``data``, if there is room. A disk that is full after all has none, and is given back what it took: it
        is the install's.
        """
        if self._is_full or self.kept_bytes + len(data) > self._room_bytes:
            self._is_full = True
            return
        if self._make is not None and offset_bytes not in self._pieces:
            try:
                file = self._file(self._make)
                _write(file.stream, data, file.size_bytes)
            except OSError:
                self._is_full = True
                self._drop()
                return
            self._pieces[offset_bytes] = _Piece(file, file.size_bytes, len(data))
            insort(self._offsets, offset_bytes)
            file.size_bytes += len(data)
            file.pieces += 1
        self.kept_bytes += len(data)

    def _forget(self, offset_bytes: int) -> None:
        piece = self._pieces.pop(offset_bytes, None)
        if piece is None:
            return
        piece.file.pieces -= 1
        if not piece.file.pieces:
            piece.file.stream.close()
            self._files.remove(piece.file)

    def _file(self, make: Callable[[], BinaryIO]) -> _File:
        if not self._files or self._files[-1].size_bytes >= self._file_bytes:
            self._files.append(_File(make()))
        return self._files[-1]

    def _kept(self, offset_bytes: int, length_bytes: int) -> bytes | None:
        """The piece, or ``None`` if it is not kept, or cannot be read: then the medium still has it."""
        with self._lock:
            piece = self._pieces.get(offset_bytes)
            if piece is None or piece.length_bytes != length_bytes:
                return None
            try:
                data = os.pread(piece.file.stream.fileno(), length_bytes, piece.at_bytes)
            except OSError:
                return None
            return data if len(data) == length_bytes else None


def _is_slow(length_bytes: int, seconds: float, grace_seconds: float) -> bool:
    return seconds > grace_seconds + length_bytes / SLOW_BYTES_PER_SECOND


def _write(stream: BinaryIO, data: bytes, at_bytes: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(stream.fileno(), left, at_bytes)
        at_bytes += written
        left = left[written:]
