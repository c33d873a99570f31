"""What makes a file or a name outlast a power cut, and modes where a file system has any."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def set_mode(path: Path, mode: int) -> None:
    """Sets a file's mode; FAT and exFAT have none, and refuse: there every file has the mode of the mount."""
    with contextlib.suppress(PermissionError):
        path.chmod(mode)
