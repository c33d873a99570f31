"""Which locks a store's builds were made by: a lock is in use as long as its file is where a build saw it.

``locks/<digest of the path>`` in the store holds the path of each. What such a lock needs stays in the store.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import InputError, IntegrityError, OperatorError
from bundler.lockfile import Lock
from bundler.records import write_whole
from bundler.room import write_error
from installer.bundle.digest import Digest
from installer.bundle.regularfile import read_regular

_NOTHING_REMOVED = "nothing was removed"


@dataclass(frozen=True)
class LockInUse:
    """A lock and the file it is in."""

    path: Path
    lock: Lock


@dataclass(frozen=True)
class GoneLock:
    """The record of a lock whose file is not there any more."""

    path: Path
    record: Path


class LocksInUse:
    """The records in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, path: Path) -> None:
        """Records that the lock in the file ``path``, there or about to be, is in use."""
        data = os.fsencode(path.absolute()) + b"\n"
        record = self._folder / Digest.of(data).hex
        if _content(record) == data:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(record, data)
        except OSError as error:
            message = "the store cannot record which lock is in use"
            next_step = "make room, or name another store with --store DIR"
            raise write_error(message, error, record, needed_bytes=len(data), next_step=next_step) from None

    def read(self) -> tuple[list[LockInUse], list[GoneLock]]:
        """The locks in use, and the records of those that are gone.

        Raises an error where that cannot be told for sure: nothing may be removed then.
        """
        used, gone = [], []
        for record in sorted(self._folder.glob("[!.]*")):
            path = _recorded_path(record)
            try:
                data = read_regular(path)
            except (FileNotFoundError, NotADirectoryError):
                gone.append(GoneLock(path, record))
            except OSError as error:
                raise _unreadable(path, str(error)) from None
            else:
                used.append(LockInUse(path, _parsed(path, data)))
        return used, gone


def _content(record: Path) -> bytes:
    try:
        return read_regular(record)
    except OSError:
        return b""


def _recorded_path(record: Path) -> Path:
    data = _content(record)
    if Digest.of(data).hex != record.name:
        raise IntegrityError(
            "the store's record of a lock in use is damaged",
            where=str(record),
            wanted="the path of a lock whose digest is the record's name",
            got=repr(data[:80]),
            next_step=f"{_NOTHING_REMOVED}; delete the record, build once by each lock you still need, and try again",
        )
    return Path(os.fsdecode(data.removesuffix(b"\n")))


def _parsed(path: Path, data: bytes) -> Lock:
    try:
        return Lock.from_bytes(data, where=str(path))
    except OperatorError as error:
        raise _unreadable(path, f"{error.message}: {error.got}") from None


def _unreadable(path: Path, got: str) -> InputError:
    return InputError(
        "a lock in use cannot be read, so what it needs is not known",
        where=str(path),
        wanted="a lock, or no such file",
        got=got,
        next_step=f"{_NOTHING_REMOVED}; mend the file, or delete it if nothing is to be built by it any more",
    )
