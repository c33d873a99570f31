"""What a store holds that nothing needs any more, and its removal.

Needed is what a lock in use names (:mod:`bundler.locks_in_use`), and the runtimes made for it. What nothing needs is
kept while it is young: a build that was broken off, or whose lock went elsewhere, then goes on where it stopped.
Records stay with what they tell of. Files that are not the store's are left alone.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import InputError, OperatorError
from bundler.fetch import RATE_NAME, known_rate
from bundler.kept import KeptRecords
from bundler.lockfile import Lock
from bundler.locks_in_use import LockInUse, LocksInUse
from bundler.payloads import KeptPayloads
from bundler.store import Store
from installer.bundle.digest import Digest
from installer.bundle.reader import TARBALL_SUFFIX

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Tally:
    """How many files, and their bytes."""

    count: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Finding:
    """What a store holds: all its blobs; the blobs and unfinished downloads that only their youth keeps; and what is to
    go, by kind, in the order of removal."""

    root: Path
    in_use: tuple[tuple[Path, Tally], ...]
    gone: tuple[Path, ...]
    blobs: Tally
    young: Tally
    removed: dict[str, Tally]
    doomed: tuple[Path, ...]

    @property
    def removed_bytes(self) -> int:
        """How much room its removal makes."""
        return sum(tally.size_bytes for tally in self.removed.values())


def open_store(root: Path, report: Callable[[str], None], *, alone: bool) -> Store:
    """The store that is under ``root`` already; ``alone`` waits until no build is using it."""
    if not (root / "blobs" / "sha256").is_dir():
        raise InputError(
            "there is no store here",
            where=str(root),
            wanted="a folder that builds have kept fetched bytes in",
            got="no blobs/sha256 in it",
            next_step="name it with --store DIR, as for bundle build",
        )
    return Store(root, report, alone=alone)


def look(store: Store, keep_seconds: float) -> Finding:
    """What is to go: nothing needs it, and it is older than ``keep_seconds``."""
    used, gone = LocksInUse(store.root / "locks").read()
    payloads = KeptPayloads(store.root / "payloads", store)
    needs = {item.path: set(_needed(item.lock, payloads)) for item in used}
    oldest_seconds = time.time() - keep_seconds
    blobs = {path.name: path for path in _named(store.root / "blobs" / "sha256")}
    needed = {digest.hex for digests in needs.values() for digest in digests}
    spare = [path for name, path in blobs.items() if name not in needed]
    unfinished = list(_named(store.root / "partial"))
    old = {path for path in (*spare, *unfinished) if _written_seconds(path) < oldest_seconds}
    staying = (blobs.keys() | needed) - {path.name for path in old}
    doomed = {
        "records": [*_dead_records(store, used, payloads, staying), *(item.record for item in gone)],
        "unfinished": [path for path in unfinished if path in old],
        "blobs": [path for path in spare if path in old],
    }
    return Finding(
        root=store.root,
        in_use=tuple((path, _tally(blobs[digest.hex] for digest in digests if digest.hex in blobs))
                     for path, digests in needs.items()),
        gone=tuple(item.path for item in gone),
        blobs=_tally(blobs.values()),
        young=_tally(path for path in (*spare, *unfinished) if path not in old),
        removed={kind: _tally(paths) for kind, paths in doomed.items()},
        doomed=tuple(path for paths in doomed.values() for path in paths),
    )  # fmt: skip


def remove(finding: Finding) -> None:
    """Removes what is to go; broken off anywhere, it leaves a store that is as good."""
    for path in finding.doomed:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OperatorError(
                "the store cannot be cleaned",
                where=str(path),
                wanted="a file that can be removed",
                got=str(error),
                next_step="run it as the owner of the store; what is still there is whole",
            ) from None


def _needed(lock: Lock, payloads: KeptPayloads) -> Iterator[Digest]:
    yield from (blob.digest for blob in lock.blobs)
    for runtime in lock.runtimes:
        yield runtime.digest
        yield from (wheel.digest for wheel in runtime.wheels)
        if (made := payloads.read(payloads.path(runtime))) is not None:
            yield made[0]


def _dead_records(
    store: Store, used: Iterable[LockInUse], payloads: KeptPayloads, staying: Iterable[str]
) -> Iterator[Path]:
    """Records that lead nowhere: what they tell of is not there, or is about to go."""
    staying, root = set(staying), store.root
    for folder in (root / "verified" / "sha256", root / "unpacked-sizes", *root.glob("unpacked-sizes/*/")):
        yield from (path for path in _named(folder) if path.name not in staying)
    for path in _named(root / "payloads"):
        made = payloads.read(path)
        if made is None or made[0].hex not in staying:
            yield path
    records = KeptRecords(root / "kept")
    tarballs = {item.path.parent / item.lock.name / f"{item.lock.name}{TARBALL_SUFFIX}" for item in used}
    live = {records.path(tarball) for tarball in tarballs if tarball.exists()}
    yield from (path for path in _named(root / "kept") if path not in live)
    if (rate := root / RATE_NAME).exists() and known_rate(store) is None:
        yield rate


def _named(folder: Path) -> Iterator[Path]:
    """The files in ``folder`` whose names are digests, in order."""
    with contextlib.suppress(FileNotFoundError):
        yield from sorted(path for path in folder.iterdir() if _HEX.fullmatch(path.name) and path.is_file())


def _written_seconds(path: Path) -> float:
    """When the file was last written to; one that a build has just taken away is as young as can be."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _tally(paths: Iterable[Path]) -> Tally:
    sizes = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return Tally(len(sizes), sum(sizes))
