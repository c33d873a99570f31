"""A slow medium: a read-only file system on a loop device that the kernel lets a process read so fast and no faster.

It is the block layer's own throttle (cgroups, version 1 or 2), so reading ahead, the page cache and everything above
are the real thing, and the device counts what was truly read from it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import LabError

_VERSION_1 = Path("/sys/fs/cgroup/blkio")
_VERSION_2 = Path("/sys/fs/cgroup")
_SECTOR_BYTES = 512
_SPARE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class SlowMedium:
    """What is mounted at ``folder``; a process in ``cgroup`` feels its slowness."""

    folder: Path
    device: str
    cgroup: Path

    @contextmanager
    def felt(self) -> Iterator[None]:
        """Meanwhile this process reads the medium at its rate."""
        here = str(os.getpid())
        (self.cgroup / "cgroup.procs").write_text(here)
        try:
            yield
        finally:
            (self.cgroup.parent / "cgroup.procs").write_text(here)

    @property
    def read_bytes(self) -> int:
        """What the device was read so far, since it was set up."""
        stat = Path(f"/sys/block/{Path(self.device).name}/stat").read_text().split()
        return int(stat[2]) * _SECTOR_BYTES


@contextmanager
def slow_medium(content: Path, folder: Path, bytes_per_second: int) -> Iterator[SlowMedium]:
    """The files of ``content`` on a medium that gives ``bytes_per_second``, mounted below ``folder`` for the time.

    :class:`LabError` where this machine has no loop devices, no such cgroups, or no right to them.
    """
    if os.geteuid() != 0:
        raise LabError("a slow medium is mounted", wanted="root", got=f"user {os.geteuid()}")
    image, mount = folder / "medium.img", folder / "medium"
    mount.mkdir(parents=True)
    size_bytes = sum(path.stat().st_size for path in content.rglob("*")) * 11 // 10 + _SPARE_BYTES
    with image.open("wb") as stream:
        stream.truncate(size_bytes)
    _run("mkfs.ext4", "-q", "-O", "^has_journal", "-d", str(content), str(image))
    device = _run("losetup", "-f", "--show", "-r", str(image)).strip()
    try:
        _run("mount", "-o", "ro", device, str(mount))
        try:
            with _throttled(device, bytes_per_second) as cgroup:
                yield SlowMedium(mount, device, cgroup)
        finally:
            _run("umount", str(mount))
    finally:
        _run("losetup", "-d", device)
        image.unlink()


def forget(path: Path) -> None:
    """Takes a file out of the page cache, as if it had been long ago that it was read."""
    with path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _throttled(device: str, bytes_per_second: int) -> Iterator[Path]:
    number = Path(f"/sys/block/{Path(device).name}/dev").read_text().strip()
    is_first = (_VERSION_1 / "blkio.throttle.read_bps_device").exists()
    cgroup = (_VERSION_1 if is_first else _VERSION_2) / f"airgap-slow-{os.getpid()}"
    try:
        cgroup.mkdir()
        if is_first:
            (cgroup / "blkio.throttle.read_bps_device").write_text(f"{number} {bytes_per_second}")
        else:
            (_VERSION_2 / "cgroup.subtree_control").write_text("+io")
            (cgroup / "io.max").write_text(f"{number} rbps={bytes_per_second}")
    except OSError as error:
        raise LabError(
            "reading cannot be slowed down here", where=str(cgroup), wanted="cgroups that throttle", got=str(error)
        ) from None
    try:
        yield cgroup
    finally:
        cgroup.rmdir()


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError("a command of the slow medium failed", where=" ".join(argv), got=done.stderr.strip())
    return done.stdout
