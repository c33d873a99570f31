"""One run changes this machine at a time: the lock that every verb takes which changes something, before it looks.

It is a lock of the kernel (``flock``) on a file in the journal's folder, so it goes when the process ends, however it
ends. What the file says is only for whoever finds it locked: which run has it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from installer.errors import PreflightError
from installer.localfiles import make_parents
from installer.room import write_error

LOCK_NAME = "lock"
_LONGEST_BYTES = 1000
_LOOKS, _LOOK_SECONDS = 10, 0.05
_held: set[Path] = set()


@dataclass(frozen=True)
class Holder:
    """The run that has the lock: its process, its verb, and since when (Unix time)."""

    pid: int
    verb: str
    since_seconds: int

    def told(self) -> str:
        """It in one line."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.since_seconds))
        return f"{self.verb}, process {self.pid}, since {since} UTC"


@contextmanager
def node_lock(folder: Path, verb: str) -> Iterator[None]:
    """Holds the lock in ``folder`` for ``verb`` until the context ends; whoever holds it may take it again.

    :class:`PreflightError` names the run that has it. A run that writes no journal leaves no new folder behind.
    """
    if folder in _held:
        yield
        return
    made = [path for path in (folder, folder.parent) if not path.exists()]
    handle = _taken(folder, verb)
    _held.add(folder)
    try:
        yield
    finally:
        _held.discard(folder)
        _give_up(folder, handle, made)


def _taken(folder: Path, verb: str) -> int:
    try:
        while (handle := _locked(folder)) is None:
            pass  # whoever had it took the file away meanwhile: what was locked is not there any more
    except BlockingIOError:
        raise _in_use(folder / LOCK_NAME) from None
    except OSError as error:
        raise write_error("cannot open the journal", str(folder), folder, error) from error
    holder = Holder(os.getpid(), verb, int(time.time()))
    with contextlib.suppress(OSError):  # of a full disk the preflight has more to say
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(holder)).encode(), 0)
    return handle


def _locked(folder: Path) -> int | None:
    """The locked file, open; ``None`` where it lost its name meanwhile. :class:`BlockingIOError` if another has it."""
    path = folder / LOCK_NAME
    with contextlib.ExitStack() as undo:
        make_parents(path)
        try:
            folder.chmod(0o700)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            undo.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(handle, 0o600)
            if os.fstat(handle).st_ino != path.stat().st_ino:
                return None
        except FileNotFoundError:
            return None
        undo.pop_all()
        return handle


def _give_up(folder: Path, handle: int, made: list[Path]) -> None:
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        if made and os.listdir(folder) == [LOCK_NAME]:  # noqa: PTH208 - names, not paths
            (folder / LOCK_NAME).unlink()
            for path in made:
                path.rmdir()
    os.close(handle)


def _in_use(path: Path) -> PreflightError:
    holder = _holder(path)
    seen = f"; to see it:  ps -fp {holder.pid}" if holder else ""
    return PreflightError(
        "another run is changing this machine",
        where=str(path),
        wanted="one run at a time",
        got=holder.told() if holder else "a run that has just begun",
        next_step=f"wait until it has ended, then run this again{seen}",
    )


def _holder(path: Path) -> Holder | None:
    """Who has the lock. It is taken before its holder is written down, and a killed one's name stays until then."""
    for _ in range(_LOOKS):
        with contextlib.suppress(OSError, ValueError, TypeError):
            holder = Holder(**json.loads(path.read_bytes()[:_LONGEST_BYTES]))
            os.kill(holder.pid, 0)
            return holder
        time.sleep(_LOOK_SECONDS)
    return None
