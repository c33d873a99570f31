"""A copy is proven, goes on after an interruption, takes one disc after another, and has its name only when whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from installer.bundle.copying import Copied, copy_media_set
from installer.bundle.errors import InputError, IntegrityError, OperatorError
from installer.bundle.reader import open_media_set
from installer.bundle.repair import repair
from installer.bundle.verify import verify
from tests.fakes.splits import BLOCK_BYTES, Discs, small_blocks, split, whole_set


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_set(tmp_path_factory.mktemp("made"))


@pytest.fixture
def discs(source: Path, tmp_path: Path) -> Discs:
    return Discs.copied(split(source, tmp_path / "cut", 200_000, 40), tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class PulledError(Exception):
    """The medium was pulled out."""


def after(most_bytes: int) -> Callable[[int], Callable[[int], object]]:
    """Progress that ends the run when so many bytes went by."""
    gone = 0

    def advance(size_bytes: int) -> None:
        nonlocal gone
        gone += size_bytes
        if gone > most_bytes:
            raise PulledError

    return lambda _total: advance


def test_a_whole_set_is_copied(source: Path, tmp_path: Path) -> None:
    (source / "SHA256SUMS.sig").write_bytes(b"a signature")
    (source / "join.yaml").write_bytes(b"not of the set")
    try:
        copied = copy_media_set(source, tmp_path / "srv" / "copy")
        wanted = contents(source)
    finally:
        (source / "SHA256SUMS.sig").unlink()
        (source / "join.yaml").unlink()
    del wanted["join.yaml"]
    assert contents(copied.folder) == wanted
    assert (copied.folder / "install").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in (tmp_path / "srv").iterdir()) == ["copy"]
    with open_media_set(copied.folder) as bundle:
        assert verify(bundle).unexpected == ()


def test_an_interrupted_copy_goes_on(source: Path, tmp_path: Path) -> None:
    """Cut off at many places: what was copied is not copied again, and the end is the same."""
    total_bytes = sum(path.stat().st_size for path in source.iterdir() if path.name != "SHA256SUMS")
    for number, most_bytes in enumerate(range(10_000, total_bytes, 35_000)):
        to = tmp_path / f"copy{number}"
        with pytest.raises(PulledError):
            copy_media_set(source, to, progress=after(most_bytes))
        assert not to.exists()
        copied = copy_media_set(source, to)
        assert contents(to) == contents(source)
        assert copied.kept_bytes + copied.copied_bytes == total_bytes
        assert copied.kept_bytes > most_bytes - 3 * BLOCK_BYTES


def test_a_partial_file_that_went_bad_is_copied_from_there(source: Path, tmp_path: Path) -> None:
    to = tmp_path / "copy"
    with pytest.raises(PulledError):
        copy_media_set(source, to, progress=after(120_000))
    (partial,) = (tmp_path / ".copy.copying").glob("*.partial")
    with partial.open("r+b") as stream:
        stream.seek(BLOCK_BYTES * 3 + 1)
        stream.write(b"\x00\x01\x02")
    copy_media_set(source, to)
    assert contents(to) == contents(source)


def test_a_finished_file_that_went_bad_is_copied_again(source: Path, tmp_path: Path) -> None:
    to = tmp_path / "copy"
    with pytest.raises(PulledError):
        copy_media_set(source, to, progress=after(120_000))
    (tmp_path / ".copy.copying" / "bundle.json").write_bytes(b"{}")
    copy_media_set(source, to)
    assert contents(to) == contents(source)


def test_one_disc_after_another(discs: Discs, tmp_path: Path) -> None:
    """With one drive: each run says which disc is wanted next, and the last one gives the folder its name."""
    to = tmp_path / "srv"
    order = list(enumerate(discs.folders, start=1))
    for number, folder in order[1:]:
        with pytest.raises(IntegrityError, match="not complete yet") as caught:
            copy_media_set(folder, to)
        missing = [other for other, _ in order if other == 1 or other > number]
        assert caught.value.wanted == f"disc {', '.join(map(str, missing))} of {len(order)}"
        assert f"mount disc 1 and run there:  ./install copy {to}" in str(caught.value.next_step)
        assert not to.exists()
    copy_media_set(discs.folders[0], to)
    with open_media_set(to) as bundle:
        assert verify(bundle).unexpected == ()


def test_all_discs_at_once(discs: Discs, tmp_path: Path) -> None:
    copied = copy_media_set(discs.folders[1], tmp_path / "srv", (discs.folders[0], *discs.folders[2:]))
    with open_media_set(copied.folder) as bundle:
        assert verify(bundle).unexpected == ()


def test_scratched_discs_are_repaired_at_the_end(discs: Discs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that cannot be read, and bytes that are wrong, one disc after another: parity makes them whole."""
    real = os.pread
    bad = discs.path(1).stat().st_ino

    def pread(handle: int, size: int, at: int) -> bytes:
        if os.fstat(handle).st_ino == bad and at <= 20_000 < at + size:
            raise OSError(5, "Input/output error")
        return real(handle, size, at)

    monkeypatch.setattr("installer.bundle.copying.os.pread", pread)
    discs.flip(3, 10)
    to = tmp_path / "srv"
    copied: Copied | None = None
    for folder in discs.folders:
        try:
            copied = copy_media_set(folder, to)
        except IntegrityError as error:
            assert "repaired at the end" in str(error.got)
    assert copied is not None
    assert copied.repaired == (discs.cut.file_name(1), discs.cut.file_name(3))
    with open_media_set(to) as bundle:
        assert verify(bundle).unexpected == ()


def test_a_damaged_file_is_named_and_another_copy_goes_on(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(source, broken)
    (whole,) = broken.glob("*.tar.zst")
    content = bytearray(whole.read_bytes())
    content[70_000] ^= 1
    whole.write_bytes(content)
    to = tmp_path / "srv"
    with pytest.raises(IntegrityError, match=r"\.tar\.zst cannot be copied whole") as caught:
        copy_media_set(broken, to)
    assert caught.value.where == str(whole)
    assert not to.exists()
    copied = copy_media_set(source, to)
    assert copied.kept_bytes
    assert contents(to) == contents(source)


def test_nothing_is_overwritten(source: Path, discs: Discs, tmp_path: Path) -> None:
    to = tmp_path / "srv"
    copy_media_set(source, to)
    assert copy_media_set(source, to).copied_bytes == 0
    before = contents(to)
    with pytest.raises(InputError, match="something else is there"):
        copy_media_set(discs.folders[0], to)
    assert contents(to) == before
    (to / "install").write_bytes(b"damaged")
    with pytest.raises(IntegrityError, match="the copy that is there is damaged") as caught:
        copy_media_set(source, to)
    assert caught.value.got == "all but install"
    with pytest.raises(InputError, match="no media set"):
        copy_media_set(tmp_path / "nowhere", to)


def test_a_copy_of_another_set_is_not_mixed_in(source: Path, discs: Discs, tmp_path: Path) -> None:
    to = tmp_path / "srv"
    with pytest.raises(PulledError):
        copy_media_set(source, to, progress=after(50_000))
    with pytest.raises(InputError, match="a copy of another media set was begun there"):
        copy_media_set(discs.folders[0], to)


def test_a_full_disk_is_said_before_and_while(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = tmp_path / "srv"

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("installer.bundle.copying.os.fsync", full)
        with pytest.raises(OperatorError, match="cannot be copied") as caught:
            copy_media_set(source, to)
    assert "goes on from here" in str(caught.value.next_step)
    with monkeypatch.context() as patch:
        patch.setattr("installer.bundle.copying.shutil.disk_usage", lambda _path: SimpleNamespace(free=0))
        with pytest.raises(InputError, match="not enough room"):
            copy_media_set(source, to)
    copy_media_set(source, to)
    assert contents(to) == contents(source)


def test_a_stick_without_modes_takes_a_copy(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT refuses every mode but its mount's."""

    def refused(_path: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    assert contents(copy_media_set(source, tmp_path / "stick").folder) == contents(source)


def test_a_copy_is_finished_without_a_lost_disc(discs: Discs, tmp_path: Path) -> None:
    """What the refusal says is done: the parts of the lost disc are made again, and the same command ends the copy."""
    to = tmp_path / "srv"
    assert discs.cut.on_disc <= discs.cut.parity
    for folder in discs.folders[1:]:
        with pytest.raises(IntegrityError, match="not complete yet") as caught:
            copy_media_set(folder, to)
    work = tmp_path / ".srv.copying"
    assert f"if it is lost:  ./install repair {work}\nand the same command again" in str(caught.value.next_step)
    for left in (".partial", ".repairing"):
        (work / f"{discs.cut.file_name(1)}{left}").write_bytes(discs.path(1).read_bytes()[:9000])
    repair(work, (), None)
    copied = copy_media_set(discs.folders[1], to)
    assert copied.copied_bytes == 0
    with open_media_set(to) as bundle:
        assert verify(bundle).unexpected == ()


def test_a_damaged_part_of_a_begun_copy_is_repaired_under_its_name(discs: Discs, tmp_path: Path) -> None:
    to = tmp_path / "srv"
    discs.flip(2, 3)
    last = discs.folders[-1]
    for folder in discs.folders[:-1]:
        with pytest.raises(IntegrityError, match="not complete yet"):
            copy_media_set(folder, to)
    work = tmp_path / ".srv.copying"
    name = discs.cut.file_name(2)
    assert (work / f"{name}.damaged").exists()
    repair(work, (last,), None)
    assert (work / name).exists() and not (work / f"{name}.damaged").exists()
    copy_media_set(last, to)
    with open_media_set(to) as bundle:
        assert verify(bundle).unexpected == ()
