"""Builds share a store, cleaning has it alone, and whoever finds it unused sweeps what killed builds left."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.records import write_record, write_whole
from bundler.store import Store
from bundler.store_use import StoreUse


def use(root: Path, lines: list[str], *, alone: bool = False, others: StoreUse | None = None) -> tuple[StoreUse, int]:
    """Enters the store; ``others`` leave it at the seventh poll. How often it was waited, too."""
    polls = 0

    def wait(_seconds: float) -> None:
        nonlocal polls
        polls += 1
        if polls == 7:
            assert others is not None
            others.close()

    return StoreUse(root, alone=alone, report=lines.append, wait=wait), polls


def test_builds_share_it(tmp_path: Path) -> None:
    lines: list[str] = []
    _first, _ = use(tmp_path, lines)
    assert use(tmp_path, lines)[1] == 0
    assert lines == []


@pytest.mark.parametrize(
    ("first_alone", "second_alone", "told"),
    [(False, True, "builds are using it"), (True, False, "it is being cleaned"), (True, True, "builds are using it")],
)
def test_cleaning_has_it_alone(tmp_path: Path, first_alone: bool, second_alone: bool, told: str) -> None:
    lines: list[str] = []
    first, _ = use(tmp_path, lines, alone=first_alone)
    _second, polls = use(tmp_path, lines, alone=second_alone, others=first)
    assert polls == 7
    assert lines == [f"store: {told}, waiting until that is done"]


def test_a_store_is_in_use_as_long_as_its_object_lives(tmp_path: Path) -> None:
    lines: list[str] = []
    store = Store(tmp_path)
    first, _ = use(tmp_path, lines)
    first.close()
    with pytest.raises(AssertionError):
        use(tmp_path, lines, alone=True)
    del store
    assert use(tmp_path, lines, alone=True)[1] == 0


LEFT = ["program-x1/kubeadm", ".fetch-rate.77-1", "kept/.ab.77-1", "unpacked-sizes/zstd-1/.cd.77-1", "locks/.ef.77-1"]
STAYING = ["fetch-rate", "kept/ab", "partial/cd", "programs/mine", "unpacked-sizes/zstd-1/cd"]


@pytest.mark.parametrize("used", [False, True])
def test_what_killed_builds_left_is_swept_by_who_finds_the_store_unused(tmp_path: Path, used: bool) -> None:
    other = use(tmp_path, [])[0] if used else None
    for name in (*LEFT, *STAYING):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    use(tmp_path, [])
    assert [name for name in LEFT if (tmp_path / name).exists()] == (LEFT if used else [])
    assert all((tmp_path / name).exists() for name in STAYING)
    assert (tmp_path / "program-x1").exists() == used
    del other


def test_a_sweep_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "program-x").symlink_to(tmp_path / "mine")
    use(tmp_path / "store", [])
    assert not (tmp_path / "store" / "program-x").is_symlink()
    assert (tmp_path / "mine" / "file").exists()


@pytest.mark.parametrize("write", [write_whole, write_record])
def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, write: object, monkeypatch: object) -> None:
    path = tmp_path / "record"
    write_whole(path, b"first")
    assert isinstance(monkeypatch, pytest.MonkeyPatch)

    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    if write is write_whole:
        with pytest.raises(OSError, match="No space"):
            write_whole(path, b"second")
    else:
        write_record(path, b"second")
    assert [item.name for item in tmp_path.iterdir()] == ["record"]
    assert path.read_bytes() == b"first"
