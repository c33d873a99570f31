"""Reads the tarball of a split media set in place: its parts as one stream, wherever they are, never joined."""

from __future__ import annotations

import contextlib
import io
import os
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from installer.bundle.errors import IntegrityError
from installer.bundle.findparts import PartsHere
from installer.bundle.parts import BLOCK_BYTES, HEADER_BYTES, parse_table, table_bytes
from installer.bundle.seekable import Positioned


class JoinedParts(Positioned):
    """The tarball behind the parts that are ``here``; readable from several threads.

    Reading bytes of a part that is not here raises :class:`IntegrityError` which names the disc that is wanted.
    """

    def __init__(self, here: PartsHere) -> None:
        super().__init__()
        self.here = here
        self.cut = here.set
        self.size_bytes = self.cut.tarball_bytes
        self._at_bytes = 0
        with contextlib.ExitStack() as opened:
            self._files = {number: opened.enter_context(self._open(number)) for number in self._data_here()}
            self._opened = opened.pop_all()

    def _data_here(self) -> Iterator[int]:
        return (number for number in sorted(self.here.paths) if not self.cut.is_parity(number))

    def _open(self, number: int) -> BinaryIO:
        path = self.here.paths[number]
        try:
            return path.open("rb")
        except OSError as error:
            raise IntegrityError(
                f"{self.cut.words(number)} cannot be opened",
                where=str(path),
                got=error.strerror or str(error),
                next_step=self.advice(number),
            ) from None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next :meth:`read` begins."""
        return self._at_bytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Sets where the next :meth:`read` begins."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at_bytes, io.SEEK_END: self.size_bytes}[whence]
        self._at_bytes = max(0, base + offset)
        return self._at_bytes

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fills ``buffer`` as far as one part goes; 0 at the end."""
        data = self.pread(len(buffer), self._at_bytes)
        buffer[: len(data)] = data
        self._at_bytes += len(data)
        return len(data)

    def pread(self, length_bytes: int, offset_bytes: int) -> bytes:
        """Up to ``length_bytes`` of the tarball, as far as one part goes; ``b""`` behind its end."""
        if not 0 <= offset_bytes < self.size_bytes:
            return b""
        number = self.number_at(offset_bytes)
        start = self.cut.start_bytes(number)
        length_bytes = min(length_bytes, start + self.cut.length_bytes(number) - offset_bytes)
        self.here.demand([number])
        at_bytes = HEADER_BYTES + offset_bytes - start
        try:
            data = os.pread(self._files[number].fileno(), length_bytes, at_bytes)
        except OSError as error:
            raise self.damaged(number, at_bytes, length_bytes, got=error.strerror or str(error)) from None
        if length_bytes and not data:
            raise self.cut_short(number)
        return data

    def close(self) -> None:
        """Closes every part."""
        self._opened.close()
        super().close()

    def number_at(self, offset_bytes: int) -> int:
        """The part with this byte of the tarball."""
        return bisect_right(self.cut.starts, offset_bytes)

    def numbers(self, spans: Iterable[tuple[int, int]]) -> list[int]:
        """The parts that hold any of the tarball's bytes in ``spans``, each an offset and a length."""
        found: set[int] = set()
        for offset_bytes, length_bytes in spans:
            found.update(range(self.number_at(offset_bytes), self.number_at(offset_bytes + length_bytes - 1) + 1))
        return sorted(found)

    def demand_size(self, number: int) -> None:
        """Raises :class:`IntegrityError` unless the part's file is as long as its header says."""
        got, wanted = self.here.paths[number].stat().st_size, self.cut.file_bytes(number)
        if got < wanted:
            raise self.cut_short(number)
        if got > wanted:
            raise IntegrityError(
                f"something was added to the end of {self.cut.words(number)}",
                where=str(self.here.paths[number]),
                wanted=f"{wanted} bytes",
                got=f"{got} bytes",
                next_step=self.advice(number),
            )

    def cut_short(self, number: int) -> IntegrityError:
        """The error for a part whose file ends too early."""
        path = self.here.paths[number]
        return IntegrityError(
            f"{self.cut.words(number)} is cut short",
            where=str(path),
            wanted=f"{self.cut.file_bytes(number)} bytes",
            got=f"{path.stat().st_size} bytes",
            next_step=self.advice(number),
        )

    def damaged(
        self,
        number: int,
        at_bytes: int,
        length_bytes: int,
        *,
        inside: str = "",
        wanted: str | None = None,
        got: str | None = None,
    ) -> IntegrityError:
        """The error for damage in a part, within ``length_bytes`` of its file; the table of blocks says closer."""
        first, last = self._closer(number, at_bytes, length_bytes)
        where = f"{self.here.paths[number]}, bytes {first} to {last}"
        return IntegrityError(
            f"{self.cut.words(number)} is damaged at byte {first}",
            where=where + (f"\n{inside}" if inside else ""),
            wanted=wanted,
            got=got,
            next_step=self.advice(number),
        )

    def damaged_span(self, offset_bytes: int, length_bytes: int, inside: str, error: IntegrityError) -> IntegrityError:
        """:meth:`damaged` for a span of the tarball: the first part in it that has a bad block, else the first."""
        spans = list(self._in_parts(offset_bytes, length_bytes))
        bad = [(number, at, length) for number, at, length in spans if self._bad_block(number, at, length) is not None]
        number, at_bytes, length_bytes = (bad or spans)[0]
        return self.damaged(number, at_bytes, length_bytes, inside=inside, wanted=error.wanted, got=error.got)

    def _in_parts(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int, int]]:
        for number in self.numbers([(offset_bytes, length_bytes)]):
            start, length = self.cut.start_bytes(number), self.cut.length_bytes(number)
            low, high = max(offset_bytes, start), min(offset_bytes + length_bytes, start + length)
            yield number, HEADER_BYTES + low - start, high - low

    def advice(self, number: int) -> str:
        """What to do about a damaged part."""
        repair = self.here.repairable([number])
        copy = f"copy {self.cut.words(number)} again"
        return f"{copy}, or\n{repair}" if repair else copy

    def advised(self, error: IntegrityError) -> IntegrityError:
        """``error``, with the repair as the next step where there is parity and nothing was said of it yet."""
        if self.cut.parity and "repair" not in (error.next_step or ""):
            error.next_step = f"copy the parts again, or\n./install repair --to DIR  (parity parts: {self.cut.parity})"
        return error

    def _closer(self, number: int, at_bytes: int, length_bytes: int) -> tuple[int, int]:
        """The first and the last byte of the first bad block there, or of all of it where no table tells."""
        block = self._bad_block(number, at_bytes, length_bytes)
        if block is None:
            return at_bytes, at_bytes + length_bytes - 1
        first = HEADER_BYTES + block * BLOCK_BYTES
        return first, first + self.cut.block_bytes(number, block) - 1

    def _bad_block(self, number: int, at_bytes: int, length_bytes: int) -> int | None:
        checks = self.checks
        if checks is None:
            return None
        low, high = (
            (at_bytes - HEADER_BYTES) // BLOCK_BYTES,
            (at_bytes + length_bytes - 1 - HEADER_BYTES) // BLOCK_BYTES,
        )
        own = checks[(number - 1) * self.cut.blocks : number * self.cut.blocks]
        for block in range(max(low, 0), min(high, self.cut.blocks - 1) + 1):
            size_bytes = self.cut.block_bytes(number, block)
            with contextlib.suppress(OSError), self.here.paths[number].open("rb") as stream:
                data = os.pread(stream.fileno(), size_bytes, HEADER_BYTES + block * BLOCK_BYTES)
                if len(data) == size_bytes and zlib.crc32(data) == own[block]:
                    continue
            return block
        return None

    @cached_property
    def checks(self) -> tuple[int, ...] | None:
        """The checksum of every block of every part, from the first parity part that has them whole."""
        return read_checks(self.here)


def read_checks(here: PartsHere) -> tuple[int, ...] | None:
    """The table of blocks, from the first parity part here that has it whole; ``None`` where none has."""
    cut = here.set
    count = cut.blocks * cut.total
    for number in range(cut.data + 1, cut.total + 1):
        with contextlib.suppress(OSError, IntegrityError, KeyError):
            return parse_table(
                _tail(here.paths[number], HEADER_BYTES + cut.longest_bytes, table_bytes(count)), count, ""
            )
    return None


def _tail(path: Path, at_bytes: int, length_bytes: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(at_bytes)
        return stream.read(length_bytes)
