"""What a finished tarball looked like when its bytes were last proven, so that the next build need not read them.

One small file for each tarball, named by its path's digest: device, inode, size, times, and the digest its bytes had.
It is compared as a whole with what is there now and never taken apart; where it differs in anything, every byte of the
media set is read. A write to the file, or another file in its place, changes the inode or the time of its last change,
which no program can set back. What the disk does to the bytes by itself shows only when they are read.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from bundler.records import write_record
from bundler.store import look
from installer.bundle.digest import Digest

_CLOCK_STEP_SECONDS = 0.02
"""File systems keep times in the kernel's steps, at most 10 ms apart: what is younger may change without a trace."""
_LONGEST_BYTES = 1000


class KeptRecords:
    """Records in ``folder``, which is made when the first one is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def holds(self, tarball: Path, digest: Digest) -> bool:
        """Whether the file is the one whose bytes had ``digest``, and nothing has written to it since."""
        try:
            return _read(self.path(tarball)) == _record(tarball.stat(), digest)
        except OSError:
            return False

    def keep(self, tarball: Path, digest: Digest, state: os.stat_result) -> None:
        """Records that the bytes of the file, when it was in ``state``, had ``digest``.

        Without a record the next build only takes longer; so where none can be written, there is none.
        """
        time.sleep(max(0.0, min(_CLOCK_STEP_SECONDS, state.st_ctime + _CLOCK_STEP_SECONDS - time.time())))
        write_record(self.path(tarball), _record(state, digest))

    def path(self, tarball: Path) -> Path:
        """Where the record of that file is, if there is one."""
        return self._folder / Digest.of(os.fsencode(tarball.resolve())).hex


def _record(state: os.stat_result, digest: Digest) -> bytes:
    return f"{state.st_dev} {look(state).strip()} {digest}\n".encode("ascii")


def _read(path: Path) -> bytes:
    """A record's bytes; what is not a small file is read as nothing, and waited for by nobody."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return os.read(descriptor, _LONGEST_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        os.close(descriptor)
