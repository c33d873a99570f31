"""Damaged and lost parts are made again, byte for byte, or it is said how many more are needed; nothing is lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from installer.bundle.errors import InputError, IntegrityError, OperatorError
from installer.bundle.parts import HEADER_BYTES
from installer.bundle.repair import repair
from tests.fakes.splits import BLOCK_BYTES, Discs, small_blocks, split, whole_set


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Discs:
    root = tmp_path_factory.mktemp("made")
    found = Discs.copied(split(whole_set(root), root / "out", 200_000, 40), root / "mounted")
    assert (found.cut.data, found.cut.parity) == (3, 2)
    assert len(found.folders) > 1
    return found


@pytest.fixture
def discs(made: Discs, tmp_path: Path) -> Discs:
    folders = []
    for number, folder in enumerate(made.folders):
        shutil.copytree(folder, tmp_path / f"drive{number}" / "disc")
        folders.append(tmp_path / f"drive{number}" / "disc")
    return Discs(made.cut, tuple(folders))


def repaired(discs: Discs, to: Path | None = None) -> list[int]:
    return sorted(repair(discs.folders[0], discs.folders[1:], to).paths)


@pytest.mark.parametrize("lost", [pair for size in (1, 2) for pair in combinations(range(1, 6), size)])
def test_any_two_of_five_may_be_lost(discs: Discs, made: Discs, lost: tuple[int, ...]) -> None:
    for number in lost:
        discs.path(number).unlink()
    assert repaired(discs) == list(lost)
    for number in discs.cut.numbers:
        where = discs.folders[0] if number in lost else discs.path(number).parent
        assert (where / discs.cut.file_name(number)).read_bytes() == made.path(number).read_bytes()
    assert discs.verified().members


def test_damage_all_over_is_repaired(discs: Discs, made: Discs) -> None:
    """Each part has bad blocks, as long as no more than two are at the same place."""
    for block in range(discs.cut.blocks):
        for number in ((block % 5) + 1, ((block + 2) % 5) + 1):
            if discs.cut.block_bytes(number, block):
                discs.flip(number, block * BLOCK_BYTES)
    # Then no parity part's table is of use unless it lies behind the damage, which it does.
    assert repaired(discs) == list(discs.cut.numbers)
    assert sorted(discs.contents().values()) == sorted(made.contents().values())


def test_a_damaged_header_a_cut_end_and_an_added_byte_are_repaired(discs: Discs, made: Discs) -> None:
    discs.flip(1, -500)
    with discs.path(2).open("r+b") as stream:
        stream.truncate(HEADER_BYTES + 3)
    with discs.path(5).open("ab") as stream:
        stream.write(b"x")
    assert repaired(discs) == [1, 2, 5]
    assert sorted(discs.contents().values()) == sorted(made.contents().values())


def test_swapped_contents_are_seen(discs: Discs, made: Discs) -> None:
    """Parts under each other's names are whole; a block under another header is not."""
    first, second = discs.path(1).read_bytes(), discs.path(2).read_bytes()
    discs.path(1).write_bytes(first[:HEADER_BYTES] + second[HEADER_BYTES:])
    assert repaired(discs) == [1]
    assert discs.path(1).read_bytes() == made.path(1).read_bytes()


def test_without_a_table_whole_parts_count(discs: Discs, made: Discs) -> None:
    for number in (4, 5):
        discs.flip(number, discs.path(number).stat().st_size - HEADER_BYTES - 1)
    assert repaired(discs) == [4, 5]
    assert sorted(discs.contents().values()) == sorted(made.contents().values())


def test_too_much_damage_says_how_much_more_is_needed(discs: Discs) -> None:
    before = discs.contents()
    for number in (1, 2, 4):
        discs.flip(number, BLOCK_BYTES + 1)
    harmed = discs.contents()
    with pytest.raises(IntegrityError, match="too much is damaged to be repaired") as caught:
        repaired(discs)
    error = caught.value
    assert error.wanted == "at most 2 bad parts there, as there are 2 parity parts"
    assert error.got == "3 bad parts: 1 more must be whole"
    assert f"at bytes {HEADER_BYTES + BLOCK_BYTES} to" in str(error.where)
    assert "part 1 of 3" in str(error.where)
    assert discs.contents() == harmed != before


def test_missing_discs_are_asked_for(discs: Discs) -> None:
    for number in (1, 2, 3):
        discs.path(number).unlink()
    with pytest.raises(IntegrityError, match="too much is damaged") as caught:
        repaired(discs)
    assert "part 3 of 3: not here" in str(caught.value.where)
    assert "--media DIR" in str(caught.value.next_step)


def test_a_read_only_medium_is_repaired_to_a_folder(discs: Discs, made: Discs, tmp_path: Path) -> None:
    discs.flip(2, 7)
    before = discs.contents()
    to = tmp_path / "fresh" / "disc"
    assert repaired(discs, to) == [2]
    assert discs.contents() == before
    assert (to / discs.cut.file_name(2)).read_bytes() == made.path(2).read_bytes()
    assert {path.name for path in to.iterdir()} == {
        "install",
        "bundle.json",
        "SHA256SUMS",
        "SHA256SUMS.sig",
        discs.cut.file_name(2),
    }
    assert Discs(discs.cut, (to, *discs.folders)).verified().members
    with pytest.raises(IntegrityError):
        discs.verified()


def test_what_is_not_proven_gets_no_name(discs: Discs, monkeypatch: pytest.MonkeyPatch) -> None:
    discs.flip(2, 7)
    before = discs.contents()
    monkeypatch.setattr("installer.bundle.repair.decoded", lambda *_words: {1: bytes(1500)})
    with pytest.raises(IntegrityError, match="made again and is not the one that SHA256SUMS lists"):
        repaired(discs)
    assert discs.contents() == before


def test_a_full_disk_leaves_everything_as_it_was(discs: Discs, monkeypatch: pytest.MonkeyPatch) -> None:
    discs.flip(2, 7)
    before = discs.contents()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("installer.bundle.repair.os.fsync", full)
    with pytest.raises(OperatorError, match="cannot be written") as caught:
        repaired(discs)
    assert "--to DIR" in str(caught.value.next_step)
    assert discs.contents() == before


def test_whole_sets_and_sets_without_parity(discs: Discs, tmp_path: Path) -> None:
    assert repaired(discs) == []
    whole = whole_set(tmp_path / "whole")
    with pytest.raises(InputError, match="no parts and no parity"):
        repair(whole, (), None)
    plain = Discs.copied(split(whole, tmp_path / "plain", 200_000, 0), tmp_path / "plainly")
    plain.flip(1, 1)
    with pytest.raises(IntegrityError, match="no parity to repair it with"):
        repaired(plain)
    with pytest.raises(InputError, match="no media set"):
        repair(tmp_path / "nowhere", (), None)


def test_parity_of_another_set_repairs_nothing(discs: Discs, tmp_path: Path) -> None:
    other = Discs.copied(split(whole_set(tmp_path / "o"), tmp_path / "o" / "out", 150_000, 40), tmp_path / "om")
    for number in (3, 4, 5):
        discs.path(number).unlink()
    for number in other.cut.numbers:
        shutil.copy(other.path(number), discs.folders[0] / f"foreign{number}")
    with pytest.raises(IntegrityError, match="too much is damaged") as caught:
        repaired(discs)
    assert "not here" in str(caught.value.where)


@pytest.mark.parametrize("seed", range(25))
def test_random_damage_is_repaired_or_refused(discs: Discs, made: Discs, seed: int) -> None:
    """Whatever is done to up to four places: everything is as it was, or nothing was touched and it is said why."""
    rnd = random.Random(seed)  # noqa: S311 (nothing secret)
    for _ in range(rnd.randint(1, 4)):
        number = rnd.randint(1, discs.cut.total)
        size_bytes = discs.path(number).stat().st_size - HEADER_BYTES
        if size_bytes <= 0:
            continue
        kind = rnd.choice(("flip", "flip", "cut", "header"))
        if kind == "flip":
            discs.flip(number, rnd.randrange(size_bytes))
        elif kind == "cut":
            with discs.path(number).open("r+b") as stream:
                stream.truncate(HEADER_BYTES + rnd.randrange(size_bytes))
        else:
            discs.flip(number, -1 - rnd.randrange(HEADER_BYTES))
    harmed = discs.contents()
    try:
        repaired(discs)
    except IntegrityError as error:
        assert error.next_step
        assert discs.contents() == harmed
    else:
        assert sorted(discs.contents().values()) == sorted(made.contents().values())
