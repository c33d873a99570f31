"""Room on the disks of this machine: how much there is, and what is said when a disk does not take what is written.

A disk refuses for one of four reasons: it is full, a quota allows no more, it is mounted read-only, or it fails.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from installer.errors import CommandError, OperatorError, StepError
from installer.node import DiskSpace, NodeView
from installer.wording import size

_MOUNTS = Path("/proc/self/mountinfo")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FAILED = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.EUCLEAN, errno.ESTALE)
AGAIN = "run the same command again; finished steps are skipped"
_SAID = re.compile(
    r"(?P<path>/[^\s:'\"]+)?[^/\n]*?(?P<why>no space left on device|disk quota exceeded|read-only file system)",
    re.IGNORECASE,
)


def disk_space(place: Path) -> DiskSpace:
    """The file system that ``place`` is on, or would be; :class:`OSError` where it cannot be asked."""
    place = nearest(place.resolve())
    numbers = os.statvfs(place)
    mount, device = _mounted(place)
    block_bytes = numbers.f_frsize
    return DiskSpace(
        mount,
        numbers.f_blocks * block_bytes,
        numbers.f_bfree * block_bytes,
        numbers.f_ffree if numbers.f_files else None,
        device=device,
        read_only=bool(numbers.f_flag & os.ST_RDONLY),
    )


def nearest(place: Path) -> Path:
    """``place``, or the nearest folder above it that is there."""
    while not os.path.exists(place) and place != place.parent:  # noqa: PTH110 - Path.exists raises where a disk fails
        place = place.parent
    return place


def write_error(what: str, path: str, place: Path, error: OSError, needed_bytes: int | None = None) -> OperatorError:
    """The error for a write to ``path`` (at ``place`` on this machine) that failed, of ``needed_bytes`` in all."""
    reason = error.strerror or str(error)
    try:
        disk = disk_space(place)
    except OSError:
        return OperatorError(what, where=path, got=reason, next_step="look at  dmesg")
    wanted = None if needed_bytes is None else f"room for {size(needed_bytes)} on {disk.mount}"
    if error.errno in _FULL:
        return OperatorError(
            what, where=path, wanted=wanted, got=f"{reason}; {free(disk)}", next_step=make_room(disk, reason)
        )
    if error.errno == errno.EROFS:
        wanted = f"{disk.mount} mounted for writing"
        return OperatorError(what, where=path, wanted=wanted, got=reason, next_step=f"mount it so, and {AGAIN}")
    if error.errno in _FAILED:
        next_step = f"the disk of {disk.mount} fails: look at  dmesg"
        return OperatorError(what, where=path, wanted=wanted, got=reason, next_step=next_step)
    return OperatorError(what, where=path, got=reason)


def explained(error: CommandError, view: NodeView, path: str = "/", needed_bytes: int | None = None) -> OperatorError:
    """A program's failure as a step's, if the program says that a disk refused: with the room there is.

    The disk is that of the path the program names, and else that of ``path``.
    """
    said = _SAID.search(error.got or "")
    if said is None:
        return error
    disk = view.disk_space(said["path"] or path)
    reason = said["why"]
    if "read-only" in reason.lower():
        wanted, got = f"{disk.mount} mounted for writing", error.got
        next_step = f"mount it so, and {AGAIN}"
    else:
        wanted = f"room on {disk.mount}" if needed_bytes is None else f"room for {size(needed_bytes)} on {disk.mount}"
        got = f"{free(disk)}\n{error.got}"
        next_step = make_room(disk, reason)
    return StepError(
        f"a disk refused what {error.argv[0]} writes", where=error.where, wanted=wanted, got=got, next_step=next_step
    )


def free(disk: DiskSpace) -> str:
    """``12.0 MB free on /usr``."""
    inodes = ", and no inode" if disk.free_inodes == 0 else ""
    return f"{size(disk.free_bytes)} free on {disk.mount}{inodes}"


def make_room(disk: DiskSpace, reason: str) -> str:
    """What to do about a full disk, or a quota."""
    if "quota" in reason.lower():
        return f"raise the quota on {disk.mount}, and {AGAIN}"
    return f"make room on {disk.mount}, and {AGAIN}"


def _mounted(place: Path) -> tuple[str, str]:
    """The mount point that ``place`` is below, and the number of its file system, which bind mounts have in common."""
    found = ("/", str(place.stat().st_dev))
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return found
    longest = -1
    for line in lines:
        number, _root, point = line.split()[2:5]
        mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)
        if len(mount) >= longest and place.is_relative_to(mount):
            found, longest = (mount, number), len(mount)
    return found
