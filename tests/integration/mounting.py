"""Small disks for real: file systems of a few pages in memory, or on a loop device, mounted for the time of a test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.slowmedium import forget

Mounts = Callable[..., Path]
"""Mounts an empty file system in memory, of so many KiB and with these options, at a folder of the test's."""


def command(*argv: str | Path) -> str:
    """Runs a program; the test is skipped where the kernel does not let it."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"not possible here: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def mounts_below(folder: Path) -> Iterator[Mounts]:
    """Mounts what it is told to, and unmounts all of it in the end."""
    mounted: list[Path] = []

    def mount(name: str, size_kib: int, options: str = "rw") -> Path:
        place = folder / name
        place.mkdir()
        command("mount", "-t", "tmpfs", "-o", f"size={size_kib}k,{options}", "tmpfs", place)
        mounted.append(place)
        return place

    try:
        yield mount
    finally:
        for place in mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    """Gives a mounted file system other options."""
    command("mount", "-o", f"remount,{options}", place)


@dataclass(frozen=True)
class LoopDisk:
    """An ext4 file system on a loop device: where it is mounted, its device, and the file behind it."""

    folder: Path
    device: str
    file: Path

    def pull_out(self) -> None:
        """From now on nothing is read from it any more: the file behind it ends at its beginning."""
        command("sync", "-f", self.folder)
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        with self.file.open("r+b") as stream:
            stream.truncate(4096)
        for path in files:
            forget(path)
        command("blockdev", "--flushbufs", self.device)


@contextmanager
def loop_disk(place: Path, size_kib: int, content: Path | None = None) -> Iterator[LoopDisk]:
    """An ext4 of so many KiB, holding ``content``, mounted at ``place``."""
    file = place.with_suffix(".img")
    place.mkdir(parents=True)
    with file.open("wb") as stream:
        stream.truncate(size_kib * 1024)
    command("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", *(("-d", content) if content else ()), file)
    device = command("losetup", "-f", "--show", file)
    try:
        command("mount", device, place)
        try:
            yield LoopDisk(place, device, file)
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=False)
        file.unlink()


@contextmanager
def slow_writes(device: str, bytes_per_second: int) -> Iterator[None]:
    """Meanwhile the device takes so many bytes a second from anybody, and no more."""
    limits = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")
    if not limits.exists():
        pytest.skip("nothing here slows a disk down: no blkio cgroup of version 1")
    number = Path(f"/sys/block/{Path(device).name}/dev").read_text(encoding="ascii").strip()
    limits.write_text(f"{number} {bytes_per_second}", encoding="ascii")
    try:
        yield
    finally:
        limits.write_text(f"{number} 0", encoding="ascii")
