"""Cleaning a store: never what a lock in use needs, nothing young, and every record that leads nowhere."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler import cleaning
from bundler.cleaning import Finding, Tally
from bundler.cli import main
from bundler.errors import InputError, IntegrityError
from bundler.kept import KeptRecords
from bundler.lockfile import Lock, LockedRuntime
from bundler.locks_in_use import LocksInUse
from bundler.payloads import KeptPayloads
from bundler.report import cleaning_lines
from bundler.store import Store
from installer.bundle.digest import Digest
from tests.fakes.images import AMD64, Parts, small_parts
from tests.unit.test_payloads import Desk

DAY_SECONDS = 24 * 3600
SPARE = b"nobody needs this"


class Builder:
    """A store with all that a lock needs, the lock in its file, and a blob that nothing needs."""

    def __init__(self, root: Path) -> None:
        self.parts: Parts = small_parts()
        self.root = root / "store"
        self.store = Store(self.root)
        for data in self.parts.store.blobs.values():
            self.store.add_bytes(data)
        self.runtime = LockedRuntime("host", AMD64, "3.14.7", "here", self.store.add_bytes(b"runtime"), 7)
        self.spare = self.store.path(self.store.add_bytes(SPARE))
        self.lock = root / "dist" / f"{self.parts.lock().name}.lock.json"
        self.lock.parent.mkdir()
        self.made = replace(self.parts.lock(), runtimes=(self.runtime,))
        self.lock.write_bytes(self.made.to_bytes())
        LocksInUse(self.root / "locks").note(self.lock)

    def age(self, days: float = 30) -> None:
        """Everything in the store was written so long ago."""
        then = time.time() - days * DAY_SECONDS
        for path in self.root.rglob("*"):
            os.utime(path, (then, then))

    def clean(self, keep_days: int = 7) -> Finding:
        """What the verb does."""
        finding = cleaning.look(self.store, keep_days * DAY_SECONDS)
        cleaning.remove(finding)
        return finding

    def blobs(self) -> set[str]:
        """The names of all blobs."""
        return {path.name for path in (self.root / "blobs" / "sha256").iterdir()}

    @property
    def wanted(self) -> set[str]:
        """The names of the blobs that the lock needs."""
        return {self.runtime.digest.hex, *(blob.digest.hex for blob in self.made.blobs)}


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def test_what_no_lock_needs_goes_with_its_records(builder: Builder) -> None:
    builder.age()
    sizes = builder.root / "unpacked-sizes"
    for folder in (sizes, sizes / "zstd-1.5.7-3"):
        folder.mkdir()
        (folder / builder.spare.name).write_text("1\n")
        (folder / sorted(builder.wanted)[0]).write_text("1\n")
    finding = builder.clean()
    assert builder.blobs() == builder.wanted
    assert (finding.removed["blobs"], finding.removed["records"].count) == (Tally(1, len(SPARE)), 3)
    assert {path.name for path in (builder.root / "verified" / "sha256").iterdir()} == builder.wanted
    assert len(list(sizes.rglob(sorted(builder.wanted)[0]))) == 2
    assert builder.clean().removed_bytes == 0


def test_what_is_young_stays_whether_needed_or_not(builder: Builder) -> None:
    builder.age(6.9)
    finding = builder.clean()
    assert (finding.removed_bytes, finding.young) == (0, Tally(1, len(SPARE)))
    assert builder.spare.exists()
    builder.clean(keep_days=6)
    assert builder.blobs() == builder.wanted


def test_a_lock_whose_file_is_gone_needs_nothing(builder: Builder) -> None:
    builder.age()
    builder.lock.unlink()
    finding = builder.clean()
    assert finding.gone == (builder.lock,)
    assert builder.blobs() == set()
    assert list((builder.root / "locks").iterdir()) == []


def test_a_blob_that_two_locks_need_stays_until_both_are_gone(builder: Builder, tmp_path: Path) -> None:
    builder.age()
    other = tmp_path / "other.lock.json"
    other.write_bytes(builder.lock.read_bytes())
    LocksInUse(builder.root / "locks").note(other)
    builder.lock.unlink()
    builder.clean()
    assert builder.blobs() == builder.wanted
    other.unlink()
    builder.clean()
    assert builder.blobs() == set()


def test_what_a_lock_says_now_counts(builder: Builder) -> None:
    builder.age()
    document = builder.made.to_dict()
    pause = document["pause"]["reference"]
    document["images"] = [image for image in document["images"] if image["reference"] == pause]
    document["files"] = []
    blobs = json.dumps(document["images"])
    document["blobs"] = [blob for blob in document["blobs"] if blob["digest"] in blobs]
    builder.lock.write_bytes(Lock.from_bytes(json.dumps(document).encode(), where="here").to_bytes())
    builder.clean()
    named = {blob["digest"].removeprefix("sha256:") for blob in document["blobs"]}
    assert builder.blobs() == {builder.runtime.digest.hex} | named < builder.wanted


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "not JSON"), (b'{"schema": 99}', "newer"), (b"{}", "schema"), (None, "a folder, where a file is wanted")],
)
def test_a_lock_that_cannot_be_read_stops_it(builder: Builder, content: bytes | None, told: str) -> None:
    builder.age()
    builder.lock.unlink()
    if content is None:
        builder.lock.mkdir()
    else:
        builder.lock.write_bytes(content)
    with pytest.raises(InputError, match="lock in use cannot be read") as caught:
        builder.clean()
    assert told in str(caught.value.got)
    assert caught.value.where == str(builder.lock)
    assert "nothing was removed" in str(caught.value.next_step)
    assert builder.blobs() > builder.wanted


def test_a_torn_record_of_a_lock_stops_it(builder: Builder) -> None:
    builder.age()
    (record,) = (builder.root / "locks").iterdir()
    record.write_bytes(record.read_bytes()[:-5])
    with pytest.raises(IntegrityError, match="record of a lock in use is damaged") as caught:
        builder.clean()
    assert "nothing was removed" in str(caught.value.next_step)
    assert builder.blobs() > builder.wanted


def test_unfinished_downloads_stay_while_they_are_young(builder: Builder) -> None:
    young, old = (builder.store.partial_path(Digest.of(name)) for name in (b"young", b"old"))
    for path, days in ((young, 2), (old, 8)):
        path.write_bytes(b"half of it")
        os.utime(path, (0, time.time() - days * DAY_SECONDS))
    assert builder.clean().removed["unfinished"] == Tally(1, 10)
    assert (young.exists(), old.exists()) == (True, False)
    builder.clean(keep_days=1)
    assert not young.exists()


def test_records_of_media_sets_that_are_not_there_go(builder: Builder, tmp_path: Path) -> None:
    records = KeptRecords(builder.root / "kept")
    name = builder.parts.lock().name
    here, elsewhere = (tmp_path / folder / name / f"{name}.tar.zst" for folder in ("dist", "elsewhere"))
    for tarball in (here, elsewhere):
        tarball.parent.mkdir(parents=True)
        tarball.write_bytes(b"x")
        records.keep(tarball, Digest.of(b"x"), tarball.stat())
    builder.clean()
    assert (records.holds(here, Digest.of(b"x")), records.path(elsewhere).exists()) == (True, False)
    here.unlink()
    builder.clean()
    assert list((builder.root / "kept").iterdir()) == []


def test_a_runtime_stays_with_the_lock_it_was_made_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    folder = tmp_path / "store" / "payloads"
    made = KeptPayloads(folder, desk.store).payload(desk.locked)
    document = small_parts().lock().to_dict() | {"runtimes": [desk.locked.to_dict()]}
    lock = tmp_path / "x.lock.json"
    lock.write_text(json.dumps(document))
    LocksInUse(tmp_path / "store" / "locks").note(lock)
    cleaning.remove(cleaning.look(desk.store, keep_seconds=-1))
    parts = {desk.locked.digest, Digest.of(made.archive), *(wheel.digest for wheel in desk.locked.wheels)}
    assert {path.name for path in (tmp_path / "store" / "blobs" / "sha256").iterdir()} == {part.hex for part in parts}
    assert len(list(folder.iterdir())) == 1
    lock.unlink()
    cleaning.remove(cleaning.look(desk.store, keep_seconds=-1))
    assert list(folder.iterdir()) == []
    assert not any((tmp_path / "store" / "blobs" / "sha256").iterdir())


def test_a_rate_that_is_none_goes_and_a_file_of_somebody_else_stays(builder: Builder) -> None:
    (builder.root / "fetch-rate").write_text("torn")
    mine = builder.root / "blobs" / "sha256" / "README"
    mine.write_text("mine")
    builder.age()
    builder.clean()
    assert (mine.exists(), (builder.root / "fetch-rate").exists()) == (True, False)
    (builder.root / "fetch-rate").write_text("30000000\n")
    builder.clean()
    assert (builder.root / "fetch-rate").exists()


def run(*args: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["store", "gc", *map(str, args)])
    return done.exit_code, done.output


def test_the_verb_says_what_goes_and_a_plan_removes_nothing(builder: Builder) -> None:
    builder.age()
    root, before = builder.root, builder.blobs()
    del builder.store
    code, said = run("--store", root, "--plan")
    assert (code, builder.blobs()) == (0, before)
    assert "to go     1 blob, <0.1 MB; 1 record, <0.1 MB" in said
    assert str(builder.lock) in said
    code, said = run("--store", root, "--json")
    document = json.loads(said)
    assert (code, document["plan"], document["removed"]["blobs"]) == (0, False, {"count": 1, "size_bytes": len(SPARE)})
    assert builder.blobs() == builder.wanted
    builder.lock.unlink()
    code, said = run("--store", root)
    assert "gone      1 lock; no such file any more" in said
    assert "removed   " in said
    assert builder.blobs() == set()


def test_the_lines_fit_and_show_no_control_characters(builder: Builder) -> None:
    finding = Finding(Path("/s"), ((Path("/a\x1b[2J"), Tally(3, 10**9)),), (Path("/b\n"),), Tally(400, 31 * 10**8),
                      Tally(12, 3 * 10**8), {"records": Tally(14, 900), "unfinished": Tally(1, 35 * 10**6),
                                             "blobs": Tally(210, 14 * 10**8)}, ())  # fmt: skip
    lines = list(cleaning_lines(finding, keep_days=7, plan=False))
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "removed   210 blobs, 1.4 GB; 1 unfinished download, 35.0 MB; 14 records, <0.1 MB"
    assert "\\x1b" in "".join(lines)
    assert "\x1b" not in "".join(lines)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    code, said = run("--store", tmp_path)
    assert (code, "there is no store here" in said) == (2, True)
    assert list(tmp_path.iterdir()) == []
