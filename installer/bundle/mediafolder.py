"""The folder of a media set as a whole: written under a hidden name beside the final one, synced, and renamed.

What bears the final name is finished. One writer at a time; what a killed one left is removed by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from installer.bundle.durable import set_mode
from installer.bundle.errors import IntegrityError


def settle(folder: Path, modes: Mapping[str, int], mtime_seconds: int) -> None:
    """Fixed modes and times, and everything on the disk before the folder gets its name."""
    for path in sorted(folder.iterdir()):
        set_mode(path, modes.get(path.name, 0o644))
        os.utime(path, (mtime_seconds, mtime_seconds))
        _sync(path)
    set_mode(folder, 0o755)
    os.utime(folder, (mtime_seconds, mtime_seconds))
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def partial_prefix(name: str) -> str:
    return f".{name}.partial-"


def remove_leftovers(out: Path, name: str) -> None:
    """Removes what killed builds of that name left behind; nobody else may be writing there."""
    for left in out.glob(f"{partial_prefix(name)}*"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


@contextlib.contextmanager
def partial_folder(out: Path, name: str) -> Iterator[Path]:
    """A hidden folder to build in, gone at the end unless renamed."""
    folder = Path(tempfile.mkdtemp(prefix=partial_prefix(name), dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Holds a lock on the folder; another build into it waits, and then finds what this one made."""
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace_folder(folder: Path, finished: Path) -> None:
    """Gives ``finished`` the name of ``folder``; what had it before is put aside first and removed afterwards."""
    if not folder.exists():
        finished.rename(folder)
    else:
        if not folder.is_dir():
            raise IntegrityError(
                "the media set's name is taken by something else", where=str(folder), wanted="a folder"
            )
        aside = folder.with_name(f"{partial_prefix(folder.name)}replaced")
        folder.rename(aside)
        try:
            finished.rename(folder)
        except OSError:
            aside.rename(folder)
            raise
        shutil.rmtree(aside)
    _sync(folder.parent)
