"""Who uses a store now: builds share it, cleaning has it alone.

A lock on the file ``in-use`` in the store says so; it goes when the process ends, however it ends. Whoever finds the
store unused sweeps what killed builds left: programs put there to be run, and records that did not get their names.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAM_PREFIX = "program-"
"""Folders in the store in which a program of the release is run, and nothing else."""
RECORDS = ("kept", "payloads", "unpacked-sizes", "locks")
"""The folders of small files beside the blobs."""
_POLL_SECONDS = 0.1
_SILENT_POLLS = 5
"""Whoever sweeps is done by then, and nobody need be told of it."""


class StoreUse:
    """Holds the store under ``root`` until it is closed or forgotten: alone, or shared with everybody else.

    Waits by calling ``wait`` while others hold it otherwise, and tells ``report`` once.
    """

    def __init__(
        self, root: Path, *, alone: bool, report: Callable[[str], None], wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._descriptor = os.open(root / "in-use", os.O_RDWR | os.O_CREAT, 0o644)
        self.close = weakref.finalize(self, os.close, self._descriptor)
        if self._lock(fcntl.LOCK_EX):
            _sweep(root)
        polls = 0
        while not self._lock(fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            polls += 1
            if polls == _SILENT_POLLS:
                others = "builds are using it" if alone else "it is being cleaned"
                report(f"store: {others}, waiting until that is done")
            wait(_POLL_SECONDS)

    def _lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _sweep(root: Path) -> None:
    for path in _leftovers(root):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _leftovers(root: Path) -> Iterator[Path]:
    yield from root.glob(f"{PROGRAM_PREFIX}*")
    yield from root.glob(".fetch-rate.*")
    for name in RECORDS:
        yield from (root / name).glob("**/.*")
