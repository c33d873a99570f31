"""The spool: what a slow medium gave is kept as far as there is room, served once, and given back."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import pytest

from installer.bundle.spool import FILE_BYTES, GRACE_SECONDS, Spool

PIECE = 4096


class Medium:
    """A medium of patterned bytes; ``seconds`` pass with each read, by the clock that the spool looks at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.seconds = seconds
        self.reads: list[int] = []
        self._now = 0.0
        monkeypatch.setattr("time.perf_counter", lambda: self._now)

    def at(self, offset_bytes: int, length_bytes: int = PIECE) -> Callable[[], bytes]:
        """What reads there."""

        def read() -> bytes:
            self.reads.append(offset_bytes)
            self._now += self.seconds
            return content(offset_bytes, length_bytes)

        return read


def content(offset_bytes: int, length_bytes: int = PIECE) -> bytes:
    return (offset_bytes // PIECE).to_bytes(4, "big") * (length_bytes // 4)


def unnamed(folder: Path) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", TemporaryFile(dir=folder, buffering=0))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Medium:
    return Medium(monkeypatch, 1.0)


def filled(spool: Spool, medium: Medium, pieces: int) -> Spool:
    for offset in range(0, pieces * PIECE, PIECE):
        assert spool.read(offset, PIECE, medium.at(offset)) == content(offset)
    spool.filled()
    medium.reads.clear()
    return spool


def test_what_came_slowly_is_served_without_the_medium(slow: Medium, tmp_path: Path) -> None:
    spool = filled(Spool(10**9, unnamed(tmp_path)), slow, 5)
    assert (spool.slow_bytes, spool.kept_bytes, spool.held_bytes) == (5 * PIECE, 5 * PIECE, 5 * PIECE)
    for offset in (3 * PIECE, 0, 4 * PIECE):
        assert spool.read(offset, PIECE, slow.at(offset)) == content(offset)
    assert slow.reads == []
    assert list(tmp_path.iterdir()) == [], "a spooled file has a name"


def test_a_fast_medium_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    medium = Medium(monkeypatch, GRACE_SECONDS)

    def never() -> BinaryIO:
        raise AssertionError("a file was made")

    spool = filled(Spool(10**9, never), medium, 3)
    assert spool.read(0, PIECE, medium.at(0)) == content(0)
    assert (medium.reads, spool.slow_bytes, spool.kept_bytes) == ([0], 0, 0)
    assert spool.medium_seconds == pytest.approx(3 * GRACE_SECONDS)


def test_what_the_kernel_had_read_ahead_of_a_slow_medium_is_kept_too(slow: Medium, tmp_path: Path) -> None:
    spool = Spool(10**9, unnamed(tmp_path))
    spool.read(0, PIECE, slow.at(0))
    slow.seconds = 0.0
    spool.read(PIECE, PIECE, slow.at(PIECE))
    assert spool.kept_bytes == 2 * PIECE


def test_a_piece_that_was_taken_gives_its_room_back_and_is_the_medium_s_again(slow: Medium, tmp_path: Path) -> None:
    spool = filled(Spool(10**9, unnamed(tmp_path)), slow, 3)
    for number in range(3):
        assert spool.held_bytes == 3 * PIECE
        spool.taken(number * PIECE, PIECE)
    assert spool.held_bytes == 0
    assert spool.read(PIECE, PIECE, slow.at(PIECE)) == content(PIECE)
    assert slow.reads == [PIECE]
    spool.taken(PIECE, PIECE)  # not kept: nothing happens


def test_a_part_of_the_medium_is_given_back_in_whatever_pieces_it_came(slow: Medium, tmp_path: Path) -> None:
    spool = filled(Spool(10**9, unnamed(tmp_path)), slow, 6)
    spool.taken(PIECE, 3 * PIECE)
    for number in range(6):
        spool.read(number * PIECE, PIECE, slow.at(number * PIECE))
    assert slow.reads == [PIECE, 2 * PIECE, 3 * PIECE]


def test_files_are_bounded_and_each_is_closed_by_itself(slow: Medium, tmp_path: Path) -> None:
    made: list[BinaryIO] = []

    def make() -> BinaryIO:
        made.append(unnamed(tmp_path)())
        return made[-1]

    spool = Spool(10**9, make)
    size_bytes = FILE_BYTES // 2
    offsets = range(0, 4 * size_bytes, size_bytes)
    for offset in offsets:
        spool.read(offset, size_bytes, slow.at(offset, size_bytes))
    spool.filled()
    assert len(made) == 2
    spool.taken(0, size_bytes)
    spool.taken(size_bytes, size_bytes)
    assert [file.closed for file in made] == [True, False]
    assert spool.held_bytes == FILE_BYTES
    spool.close()
    assert all(file.closed for file in made)


def test_without_room_the_rest_is_read_again(slow: Medium, tmp_path: Path) -> None:
    spool = filled(Spool(2 * PIECE + 1, unnamed(tmp_path)), slow, 4)
    assert (spool.slow_bytes, spool.kept_bytes) == (4 * PIECE, 2 * PIECE)
    for number in range(4):
        assert spool.read(number * PIECE, PIECE, slow.at(number * PIECE)) == content(number * PIECE)
    assert slow.reads == [2 * PIECE, 3 * PIECE]


@pytest.mark.parametrize("call", ["make", "write"])
def test_a_disk_that_is_full_after_all_only_means_reading_twice(
    slow: Medium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        monkeypatch.setattr("os.pwrite", full)
    spool = filled(Spool(10**9, unnamed(tmp_path) if call == "write" else full), slow, 2)  # type: ignore[arg-type]
    assert (spool.slow_bytes, spool.kept_bytes) == (2 * PIECE, 0)
    assert spool.read(0, PIECE, slow.at(0)) == content(0)
    assert slow.reads == [0]


def test_a_disk_that_gets_full_is_given_back_what_the_spool_took(
    slow: Medium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota, or another program: the room is the install's, and reading twice costs only time."""
    made: list[BinaryIO] = []
    spool = Spool(10**9, lambda: made.append(unnamed(tmp_path)()) or made[-1])  # type: ignore[func-returns-value]
    for number in range(3):
        spool.read(number * PIECE, PIECE, slow.at(number * PIECE))
    assert spool.held_bytes == 3 * PIECE

    def full(*_args: object) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("os.pwrite", full)
    filled(spool, slow, 5)
    assert (spool.kept_bytes, spool.held_bytes, [file.closed for file in made]) == (0, 0, [True])
    assert spool.read(PIECE, PIECE, slow.at(PIECE)) == content(PIECE)
    assert slow.reads == [PIECE]


def test_a_spool_that_cannot_be_read_leaves_it_to_the_medium(
    slow: Medium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = filled(Spool(10**9, unnamed(tmp_path)), slow, 1)

    def broken(*_args: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.pread", broken)
    assert spool.read(0, PIECE, slow.at(0)) == content(0)
    assert slow.reads == [0]


def test_a_dry_run_only_counts(slow: Medium) -> None:
    spool = filled(Spool(3 * PIECE), slow, 4)
    assert (spool.slow_bytes, spool.kept_bytes, spool.held_bytes) == (4 * PIECE, 3 * PIECE, 0)
    assert spool.read(0, PIECE, slow.at(0)) == content(0)
    assert slow.reads == [0]
