"""A set in parts on real media: ISO 9660 images and FAT sticks, each mounted by itself, and with one drive only."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.assemble import assemble
from bundler.cutting import parse_medium
from bundler.measure import UnpackedSizes
from bundler.split import SplitSet, split_media_set
from installer.bundle.copying import copy_media_set
from installer.bundle.errors import IntegrityError, OperatorError
from installer.bundle.parts import HEADER_BYTES
from installer.bundle.reader import open_media_set
from installer.bundle.repair import repair
from installer.bundle.verify import verify
from tests.fakes.images import AMD64, ARM64, small_parts

JOLIET, ROCK_RIDGE, FAT, EXT4 = "joliet", "rock-ridge", "vfat", "ext4"
DISC_BYTES = 4_000_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    parts = small_parts(large_bytes=2_500_000, platforms=(AMD64, ARM64))
    lock = parts.lock((AMD64, ARM64))
    return assemble(lock, parts.store, b"#!/bin/sh\n", root, sizes=UnpackedSizes(root / "sizes"), jobs=2).folder


@pytest.fixture(scope="module")
def made(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> SplitSet:
    """Three discs of 4 MB; any one of them may be lost."""
    out = tmp_path_factory.mktemp("out")
    found = split_media_set(whole, out, parse_medium("4M"), 50, progress=lambda _total: lambda _read: None)
    assert found.cut.discs == 3
    assert found.cut.parity >= found.cut.on_disc
    return found


def run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


def image_of(folder: Path, image: Path, kind: str) -> None:
    """Burns ``folder``; nothing larger than the medium it was cut for may come of it."""
    if kind in (FAT, EXT4):
        with image.open("wb") as stream:
            stream.truncate(DISC_BYTES // 4096 * 4096)
    if kind == FAT:
        run("mkfs.vfat", str(image))
        run("mcopy", "-i", str(image), *map(str, sorted(folder.iterdir())), "::")
    elif kind == EXT4:
        run("mkfs.ext4", "-q", "-O", "^has_journal,^resize_inode", "-m", "0", "-N", "32", "-d", str(folder), str(image))
    else:
        options = ["-J", "-joliet-long"] if kind == JOLIET else ["-R"]
        run("genisoimage", "-quiet", *options, "-o", str(image), str(folder))
    assert image.stat().st_size <= DISC_BYTES


@contextlib.contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """``image`` mounted at ``at``; read out by tools where this kernel does not know its file system."""
    at.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop,ro", str(image), str(at)], capture_output=True, text=True, check=False)
    if done.returncode and "unknown filesystem" not in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    if done.returncode:
        read_out(image, at)
    try:
        yield at
    finally:
        if done.returncode:
            shutil.rmtree(at)
        else:
            run("umount", str(at))


def read_out(image: Path, at: Path) -> None:
    """What is on an image, as files in a folder that nothing can be written to."""
    if "vfat" in image.name:
        run("mcopy", "-n", "-i", str(image), "::*", str(at))
        return
    names = "-J" if JOLIET in image.name else "-R"
    for line in run("isoinfo", "-i", str(image), names, "-f").decode().splitlines():
        (at / line.removeprefix("/")).write_bytes(run("isoinfo", "-i", str(image), names, "-x", line))


@pytest.fixture(params=[ROCK_RIDGE, JOLIET, FAT, EXT4])
def images(request: pytest.FixtureRequest, made: SplitSet, tmp_path: Path) -> list[Path]:
    if os.geteuid() != 0 or not all(map(shutil.which, ("genisoimage", "isoinfo", "mcopy", "mkfs.vfat"))):
        pytest.skip("media are mounted by root, and made by genisoimage, dosfstools and mtools")
    found = []
    for number, (folder, _) in enumerate(made.discs, start=1):
        found.append(tmp_path / f"disc{number}.{request.param}")
        image_of(folder, found[-1], request.param)
    return found


@contextlib.contextmanager
def drives(images: list[Path], at: Path) -> Iterator[list[Path]]:
    """Every medium in a drive of its own, not beside each other."""
    with contextlib.ExitStack() as opened:
        yield [
            opened.enter_context(mounted(image, at / f"drive{number}" / "medium"))
            for number, image in enumerate(images)
        ]


def test_media_are_read_in_place_in_any_order(images: list[Path], tmp_path: Path, whole: Path) -> None:
    with open_media_set(whole) as bundle:
        wanted = verify(bundle)
    with drives(images, tmp_path) as folders:
        for order in (folders, folders[::-1]):
            with open_media_set(order[0], order[1:]) as bundle:
                got = verify(bundle)
                assert (got.identity, got.members) == (wanted.identity, wanted.members)
                assert set(got.unexpected) <= {"lost+found"}
        done = subprocess.run(
            ["sha256sum", "--check", "--ignore-missing", "--quiet", "SHA256SUMS"], cwd=folders[1], check=False
        )
        assert done.returncode == 0
        with pytest.raises(IntegrityError, match="not here"):
            open_media_set(folders[0], folders[2:])


def test_media_beside_each_other_need_no_word(images: list[Path], tmp_path: Path) -> None:
    with contextlib.ExitStack() as opened:
        folders = [opened.enter_context(mounted(image, tmp_path / "run" / image.stem)) for image in images]
        with open_media_set(folders[1]) as bundle:
            assert verify(bundle).members


def test_a_scratch_is_named_and_repaired_elsewhere(images: list[Path], made: SplitSet, tmp_path: Path) -> None:
    cut, (disc, _) = made.cut, made.discs[1]
    number = next(number for number in cut.numbers if cut.disc_of(number) == 2)
    name = cut.file_name(number)
    at_bytes = HEADER_BYTES + cut.length_bytes(number) // 2
    spot = (disc / name).read_bytes()[at_bytes : at_bytes + 512]
    with images[1].open("r+b") as stream:
        stream.seek(images[1].read_bytes().index(spot))
        stream.write(bytes(len(spot)))
    with drives(images, tmp_path) as folders:
        with (
            pytest.raises(OperatorError, match=rf"{cut.words(number)} is damaged at byte") as caught,
            open_media_set(folders[0], folders[1:]) as bundle,
        ):
            verify(bundle)
        assert f"{folders[1]}/{name}" in str(caught.value.where)
        assert "./install repair" in str(caught.value.next_step)
        assert list(repair(folders[0], folders[1:], tmp_path / "fresh").paths) == [number]
        with open_media_set(tmp_path / "fresh", folders) as bundle:
            assert verify(bundle).members


def test_one_drive_is_enough(images: list[Path], whole: Path, made: SplitSet, tmp_path: Path) -> None:
    """Disc after disc in the same drive; and what was copied goes back to the tarball by stock tools."""
    to = tmp_path / "srv" / "bundle"
    for number, image in enumerate(images, start=1):
        with mounted(image, tmp_path / "cdrom") as folder:
            if number < len(images):
                with pytest.raises(IntegrityError, match="not complete yet") as caught:
                    copy_media_set(folder, to)
                assert f"mount disc {number + 1} and run there" in str(caught.value.next_step)
            else:
                copy_media_set(folder, to)
    with open_media_set(to) as bundle:
        assert verify(bundle).unexpected == ()
    script = "sha256sum --check --quiet SHA256SUMS && cat *.tar.zst.0* | zstd -dc | tar -tf -"
    listed = subprocess.run(["sh", "-c", script], cwd=to, capture_output=True, text=True, check=True).stdout
    assert listed.splitlines()[0] == "bundle.json"
    script = "for part in *.tar.zst.0*; do tail -c +8193 $part; done | sha256sum"
    joined = subprocess.run(["sh", "-c", script], cwd=to, capture_output=True, text=True, check=True).stdout
    assert f"sha256:{joined.split()[0]}" == made.cut.tarball_digest


def test_a_lost_disc_is_made_again(images: list[Path], tmp_path: Path) -> None:
    with drives([images[0], images[2]], tmp_path) as folders:
        made_again = repair(folders[0], folders[1:], tmp_path / "fresh")
        assert made_again.paths
        with open_media_set(folders[0], [folders[1], tmp_path / "fresh"]) as bundle:
            assert verify(bundle).members


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """A set of 32 MB in some ten parts is split and repaired within a few slices of each."""
    parts = small_parts(large_bytes=16_000_000, platforms=(AMD64, ARM64))
    sizes = UnpackedSizes(tmp_path / "sizes")
    folder = assemble(parts.lock((AMD64, ARM64)), parts.store, b"#!/bin/sh\n", tmp_path, sizes=sizes, jobs=1).folder
    tracemalloc.start()
    try:
        made = split_media_set(folder, tmp_path, parse_medium("fat32"), 10, progress=lambda _total: lambda _read: None)
        (made.folder / made.cut.file_name(3)).unlink()
        tracemalloc.reset_peak()
        begun_bytes, _ = tracemalloc.get_traced_memory()
        assert repair(made.folder, (), None).blocks == made.cut.blocks
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 5 < made.cut.data <= 10 and made.cut.parity == 1
    assert made.cut.tarball_bytes > 30_000_000
    assert peak_bytes - begun_bytes < 10_000_000
