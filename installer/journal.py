"""The journal: what one run did to this machine, each change with what was there before.

One run is one append-only file of JSON lines under :data:`FOLDER`; every line is on disk before the change it
announces. Replaced files are kept beside it (0600). A run that is cut off leaves at most a torn last line, which
reading leaves out. Resuming is running again; the journal serves ``status``, ``reset`` and going back.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.errors import OperatorError
from installer.localfiles import Counted, discard
from installer.nodelock import node_lock
from installer.room import write_error

FOLDER = Path("/var/lib/airgap-bundle/journal")


@dataclass(frozen=True)
class Run:
    """One run as its file tells it: its name, its records in order, and whether it came to its end."""

    name: str
    records: tuple[dict[str, Any], ...]

    @property
    def verb(self) -> str:
        """What was asked for: ``install``, ``reset``, ``undo``, ``join-file``."""
        return str(self.records[0].get("verb", "")) if self.records else ""

    @property
    def undoes(self) -> str:
        """The name of the run that an ``undo`` takes back; ``""`` for any other verb."""
        return str(self.records[0].get("undoes", "")) if self.records else ""

    @property
    def outcome(self) -> str:
        """``done``, ``failed``, or ``cut off`` when the run never wrote its end."""
        last = self.records[-1] if self.records else {}
        return str(last.get("outcome", "cut off")) if last.get("what") == "end" else "cut off"

    def of(self, what: str) -> Iterator[dict[str, Any]]:
        """The records of one kind."""
        return (record for record in self.records if record.get("what") == what)


class Journal:
    """The journal of a run that is under way; made by :func:`open_journal`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder
        self._kept = 0
        self._step = ""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._path = folder / f"{name}.jsonl"
        with _writing(self._path):
            self._handle = os.open(self._path, flags, 0o600)
            os.fchmod(self._handle, 0o600)

    def record(self, what: str, **fields: Any) -> None:
        """Appends one record, named with the step under way, and waits until it is on disk."""
        named = {"step": self._step} if self._step else {}
        line = json.dumps({"what": what, "at_seconds": round(time.time(), 3)} | named | fields, sort_keys=True)
        data = line.encode() + b"\n"
        size_bytes = len(data)
        with _writing(self._path, lambda: size_bytes):
            before_bytes = os.fstat(self._handle).st_size
            try:
                while data:
                    data = data[os.write(self._handle, data) :]
                os.fsync(self._handle)
            except OSError:
                # Half a line in front of the next one would make both unreadable.
                os.ftruncate(self._handle, before_bytes)
                raise

    def enter(self, step_id: str) -> None:
        """Names the step that the records from now on belong to; ``""`` for none."""
        self._step = step_id

    def keep(self, chunks: Iterable[bytes]) -> str:
        """Keeps the content of a file about to be replaced; returns its name for :meth:`read_kept`."""
        folder = self._folder / f"{self.name}.kept"
        self._kept += 1
        path, counted = folder / f"{self._kept:04d}", Counted(chunks)
        with _writing(path, counted.total_bytes, lambda: discard(path)):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                os.fchmod(stream.fileno(), 0o600)
                for chunk in counted:
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
        return f"{folder.name}/{path.name}"

    def close(self) -> None:
        """Closes the file."""
        os.close(self._handle)


@contextmanager
def _writing(
    path: Path, needed_bytes: Callable[[], int | None] = lambda: None, tidy: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Tells a disk that refuses as an error of the journal at ``path``, once it is tidied up."""
    try:
        yield
    except OSError as error:
        tidy()
        raise write_error("cannot write the journal", str(path), path, error, needed_bytes()) from error


@contextmanager
def open_journal(folder: Path, verb: str, **fields: Any) -> Iterator[Journal]:
    """A journal for one run, from its ``run`` record to its ``end`` record; only one run at a time (``node_lock``).

    The end says ``done``, or ``failed`` with the error; a run that is killed has no end.
    """
    with node_lock(folder, verb):
        name = _fresh_name(folder)
        journal = Journal(folder, name)
        try:
            journal.record("run", verb=verb, **fields)
            yield journal
        except BaseException as error:
            told = error.to_dict() if isinstance(error, OperatorError) else {"error": type(error).__name__}
            with suppress(OperatorError):  # where no room is left for the journal, either: the first error is the one
                journal.record("end", outcome="failed", error=told)
            raise
        else:
            journal.record("end", outcome="done")
        finally:
            journal.close()


def _fresh_name(folder: Path) -> str:
    stem = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = sum(1 for path in folder.glob(f"{stem}-*.jsonl"))
    return f"{stem}-{number:02d}"


def read_runs(folder: Path) -> tuple[Run, ...]:
    """Every run, oldest first; empty where there is no journal."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".jsonl"))  # noqa: PTH208 - glob hides errors
        return tuple(Run(name.removesuffix(".jsonl"), tuple(_records(folder / name))) for name in names)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise OperatorError(
            "cannot read the journal", where=str(folder), got=error.strerror, next_step="the same command with sudo"
        ) from error


def _records(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            if number == len(lines):  # no newline behind it: the machine stopped while it was written
                return
            raise OperatorError("the journal is damaged", where=f"{path}, line {number}") from None
        yield record


def read_kept(folder: Path, name: str) -> bytes:
    """The content of a file that :meth:`Journal.keep` kept."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise OperatorError("the journal lost a file it kept", where=str(folder / name), got=error.strerror) from error
