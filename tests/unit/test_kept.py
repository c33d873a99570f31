"""A media set that is there already: proven from a record without reading it, and read whole where that is in doubt."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import bundler.assemble
from bundler.assemble import MediaSet, assemble
from bundler.kept import KeptRecords
from bundler.measure import UnpackedSizes
from installer.bundle.reader import Bundle
from installer.bundle.verify import Verified, verify
from tests.fakes.images import Parts, small_parts

INSTALL = b"#!/bin/sh\nexit 0\n"


class Desk:
    """A builder's folders, and how often it read a whole media set."""

    def __init__(self, parts: Parts, root: Path) -> None:
        self.parts = parts
        self.root = root
        self.records = root / "store" / "kept"
        self.whole_reads = 0

    def build(self, install: bytes = INSTALL) -> MediaSet:
        """One build with the same lock."""
        sizes, records = UnpackedSizes(self.root / "store" / "sizes"), KeptRecords(self.records)
        out = self.root / "dist"
        return assemble(self.parts.lock(), self.parts.store, install, out, sizes=sizes, records=records, jobs=2)

    def read_whole(self, bundle: Bundle) -> Verified:
        """Counts, and verifies as ever."""
        self.whole_reads += 1
        return verify(bundle)

    @property
    def record(self) -> Path:
        """The one record."""
        (path,) = self.records.iterdir()
        return path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(small_parts(), tmp_path)
    monkeypatch.setattr(bundler.assemble, "verify", made.read_whole)
    return made


def test_what_was_written_here_is_not_read_again(desk: Desk) -> None:
    assert desk.build().kept == ""
    assert desk.build().kept == "untouched"
    assert desk.whole_reads == 0


def test_without_records_every_byte_is_read(desk: Desk, tmp_path: Path) -> None:
    desk.build()
    sizes = UnpackedSizes(tmp_path / "store" / "sizes")
    assert assemble(desk.parts.lock(), desk.parts.store, INSTALL, tmp_path / "dist", sizes=sizes, jobs=2).kept == "read"


def test_a_byte_flipped_in_place_is_noticed_although_size_and_mtime_are_the_same(desk: Desk) -> None:
    media = desk.build()
    before = media.tarball.stat()
    with media.tarball.open("r+b") as stream:
        stream.seek(before.st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(before.st_size // 2)
        stream.write(bytes([byte ^ 1]))
    os.utime(media.tarball, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (media.tarball.stat().st_ino, media.tarball.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert desk.build().kept == ""
    assert desk.whole_reads == 1
    assert desk.build().kept == "untouched"


def test_another_file_in_its_place_is_read_once_and_then_known(desk: Desk) -> None:
    media = desk.build()
    copy = media.tarball.with_name("copy")
    shutil.copy2(media.tarball, copy)
    copy.replace(media.tarball)
    assert [desk.build().kept for _ in range(3)] == ["read", "untouched", "untouched"]
    assert desk.whole_reads == 1


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(b"\xff\x00" * 1000),
        lambda path: path.write_bytes(path.read_bytes().replace(b"sha256:", b"sha256:0")),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        _pipe,
    ],
    ids=["lost", "empty", "cut", "longer", "not text", "another digest", "a folder", "endless", "a pipe"],
)
def test_a_record_that_is_lost_or_damaged_costs_one_whole_read(desk: Desk, damage: Callable[[Path], object]) -> None:
    desk.build()
    damage(desk.record)
    assert desk.build().kept == "read"
    assert desk.whole_reads == 1


@pytest.mark.parametrize("name", ["SHA256SUMS", "sbom.spdx.json", "stray"])
def test_what_lies_beside_the_tarball_is_looked_at_every_time(desk: Desk, name: str) -> None:
    media = desk.build()
    with (media.folder / name).open("a") as stream:
        stream.write(f"{'0' * 64}  other\n")
    assert desk.build().kept == ""


def test_another_installer_makes_it_anew(desk: Desk) -> None:
    desk.build()
    assert desk.build(INSTALL + b"\n").kept == ""


def test_a_signature_does_not_make_it_another_media_set(desk: Desk) -> None:
    media = desk.build()
    (media.folder / "SHA256SUMS.sig").write_text("signed")
    assert desk.build().kept == "untouched"


def test_a_record_that_cannot_be_written_costs_nothing_but_time(desk: Desk) -> None:
    desk.records.parent.mkdir(parents=True)
    desk.records.write_text("a file where the folder should be")
    assert [desk.build().kept for _ in range(2)] == ["", "read"]
