"""Opens what must be a file and nothing else, so that nobody waits for the other end of a named pipe.

Media and options name paths that others made. A pipe would be waited for without end, a device could be set to work.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


class NoRegularFileError(OSError):
    """What is at a path is no file; ``strerror`` says what it is, as for any other error of the system."""


def open_regular(path: Path, *, buffering: int = -1) -> BinaryIO:
    """The file at ``path`` (links followed), open for reading; :class:`OSError` for all else, and never a wait."""
    _demand(path.stat().st_mode, path)  # before it is opened: opening alone moves some devices
    stream = open(path, "rb", buffering=buffering, opener=_without_waiting)  # noqa: SIM115 - Path.open has no opener
    try:
        _demand(os.fstat(stream.fileno()).st_mode, path)  # it may be another by now
    except BaseException:
        stream.close()
        raise
    return stream


def read_regular(path: Path, most_bytes: int = -1) -> bytes:
    """Its content, or the first ``most_bytes`` of it."""
    with open_regular(path) as stream:
        return stream.read(most_bytes)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _demand(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        kind = _OTHERS.get(stat.S_IFMT(mode), "something else")
        raise NoRegularFileError(errno.EINVAL, f"{kind}, where a file is wanted", str(path))
