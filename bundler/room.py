"""Room on the disks: asked for by mount before a build writes anything, and told when one is full all the same."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import InputError, OperatorError
from bundler.progress import format_bytes


@dataclass(frozen=True)
class Need:
    """The bytes that are about to be written below ``path``, which need not be there yet; ``option`` names it."""

    option: str
    path: Path
    size_bytes: int


@dataclass(frozen=True)
class Room:
    """What one mounted file system has to take, and has free for us."""

    paths: tuple[Path, ...]
    options: tuple[str, ...]
    needed_bytes: int
    free_bytes: int

    @property
    def enough(self) -> bool:
        """Whether all of it finds room."""
        return self.needed_bytes <= self.free_bytes


def rooms(needs: Iterable[Need]) -> list[Room]:
    """The needs by the file system that they fall on, in the order in which they are named."""
    mounts: dict[int, list[Need]] = {}
    for need in needs:
        mounts.setdefault(_nearest(need.path).stat().st_dev, []).append(need)
    return [
        Room(
            tuple(need.path for need in there),
            tuple(need.option for need in there),
            sum(need.size_bytes for need in there),
            free_bytes(there[0].path),
        )
        for there in mounts.values()
    ]


def demand_room(needs: Iterable[Need]) -> None:
    """Raises :class:`InputError` unless every file system has room for all that falls on it."""
    small = [room for room in rooms(needs) if not room.enough]
    if small:
        options = sorted({option for room in small for option in room.options})
        raise InputError(
            "not enough room",
            where="\n".join(" and ".join(map(str, room.paths)) for room in small),
            wanted="\n".join(f"{format_bytes(room.needed_bytes)} free, the most that is written" for room in small),
            got="\n".join(f"{format_bytes(room.free_bytes)} free" for room in small),
            next_step=f"make room, or name another place with {' or '.join(f'{option} DIR' for option in options)}",
        )


def demand_writable(option: str, path: Path) -> None:
    """Raises :class:`InputError` unless files can be made below ``path``, which need not be there yet."""
    nearest = _nearest(path)
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return
    got = f"no permission to write in {nearest}"
    if not nearest.is_dir():
        got = f"{nearest} is a file"
    elif os.statvfs(nearest).f_flag & os.ST_RDONLY:
        got = f"{nearest} is on a file system that is mounted read-only"
    raise InputError(
        "the folder cannot be written",
        where=f"{option} {path}",
        wanted="a folder that files can be made in",
        got=got,
        next_step=f"mount it for writing, or name another one with {option} DIR",
    )


def write_error(message: str, error: OSError, path: Path, *, needed_bytes: int | None, next_step: str) -> OperatorError:
    """The error for a write below ``path`` that failed, with the room there is, which may be none."""
    wanted = None if needed_bytes is None else f"room for {format_bytes(needed_bytes)} more"
    got = f"{error.strerror or error}; {format_bytes(free_bytes(path))} free"
    return OperatorError(message, where=str(path), wanted=wanted, got=got, next_step=next_step)


def free_bytes(path: Path) -> int:
    """What is free for us where ``path`` is or would be; 0 where that cannot be told."""
    try:
        state = os.statvfs(_nearest(path))
    except OSError:
        return 0
    return state.f_bavail * state.f_frsize


def _nearest(path: Path) -> Path:
    """``path``, or the nearest folder above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
