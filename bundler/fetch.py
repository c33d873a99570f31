"""What a lock needs and the store lacks, fetched in parallel; everything is asked for by digest."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bundler.errors import IntegrityError, OperatorError, SourceError
from bundler.lockfile import Lock, LockedRuntime
from bundler.progress import Progress, Task
from bundler.records import write_record
from bundler.room import Need, demand_room
from bundler.sources.download import Download, Opening, Wanted
from bundler.sources.http import Cancelled
from bundler.sources.upstreams import Upstreams
from bundler.sources.wheels import fetch_wheels
from bundler.store import Store
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.reference import Reference

_JOIN_SECONDS = 0.2
RATE_NAME = "fetch-rate"
_RATE = re.compile(rb"[1-9][0-9]{0,11}\n")
_TELLING_BYTES, _TELLING_SECONDS = 10_000_000, 0.5
"""A fetch of less, or in less time, says nothing about the network."""


_WHEELS_BYTES = 8_000_000
"""About what the wheels of one runtime take; a lock does not know it."""
_RECORDS_BYTES = 3 * 4096
"""The blocks of the records of one blob, and the rest of its own last one."""


@dataclass(frozen=True)
class NeededBlob:
    """One blob of the lock and where it comes from: the ``url`` of a file, or an image's ``reference``.

    ``first_seen``: upstream publishes no checksum for it; what it must be is what it was when it was locked.
    """

    blob: Descriptor
    what: str
    url: str | None = None
    reference: Reference | None = None
    first_seen: bool = False


@dataclass(frozen=True)
class FetchPlan:
    """What is to be fetched, biggest first, and what is in the store. Wheels count when asked for, without size."""

    missing: tuple[NeededBlob, ...]
    missing_wheels: tuple[LockedRuntime, ...]
    missing_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class FetchStats:
    """What a fetch did."""

    fetched: int
    fetched_bytes: int
    stored_bytes: int
    seconds: float


def needed(lock: Lock) -> Iterator[NeededBlob]:
    """Every blob of the lock that is fetched, once, wheels excepted."""
    descriptors = {blob.digest: blob for blob in lock.blobs}
    seen: set[Digest] = set()
    for blob in _named(lock, descriptors):
        if blob.blob.digest not in seen:
            seen.add(blob.blob.digest)
            yield blob


def _named(lock: Lock, descriptors: dict[Digest, Descriptor]) -> Iterator[NeededBlob]:
    for item in lock.files:
        what = f"{item.component} {item.version} {item.platform}"
        yield NeededBlob(descriptors[item.blob], what, url=item.source.origin)
    for runtime in lock.runtimes:
        if runtime.kind == "catalogue":
            blob = Descriptor(runtime.digest, runtime.size_bytes, "application/gzip")
            yield NeededBlob(blob, f"CPython {runtime.python} {runtime.platform}", url=runtime.origin)
    for addon in lock.addons:
        if is_made_here(addon):
            continue
        first_seen = addon.source.trust == "first-seen"
        what = f"chart {addon.name} {addon.version}"
        yield NeededBlob(descriptors[addon.chart], what, url=addon.source.origin, first_seen=first_seen)
    for image in lock.images:
        for digest in image.blobs():
            yield NeededBlob(descriptors[digest], f"{image.reference} {digest.short}", reference=image.reference)


def is_made_here(addon: BundledAddon) -> bool:
    """Whether the builder makes the add-on's chart of objects; then it is to be had nowhere else."""
    return "://" not in addon.source.origin


def plan_fetch(lock: Lock, store: Store) -> FetchPlan:
    """What :func:`fetch` would do."""
    missing, stored_bytes = [], 0
    for blob in needed(lock):
        if store.has(blob.blob.digest, blob.blob.size_bytes):
            stored_bytes += blob.blob.size_bytes
        else:
            missing.append(blob)
    missing.sort(key=lambda item: (-item.blob.size_bytes, item.blob.digest))
    wheels = tuple(runtime for runtime in lock.runtimes if any(not store.has(wheel.digest) for wheel in runtime.wheels))
    return FetchPlan(tuple(missing), wheels, sum(item.blob.size_bytes for item in missing), stored_bytes)


def fetch(
    lock: Lock,
    store: Store,
    upstreams: Upstreams,
    jobs: int,
    progress: Progress,
    *,
    arrived: Callable[[Descriptor], object] = lambda _blob: None,
) -> FetchStats:
    """Brings everything the lock needs into the store, ``jobs`` downloads at a time.

    The first failure ends the other downloads where they are, resumable; the error raised names every failure.
    So does Ctrl-C. ``arrived`` is called with each blob once it is in the store, while others are still on their way.
    """
    started_seconds = time.monotonic()
    plan = plan_fetch(lock, store)
    demand_room([store_need(plan, store)])
    for runtime in plan.missing_wheels:
        fetch_wheels(runtime, store, upstreams.http.settings.ca_file)
    if plan.missing:
        with progress.task("fetch", plan.missing_bytes) as task:
            _Workers(plan.missing, store, upstreams, task, arrived).run(jobs)
    seconds = time.monotonic() - started_seconds
    _keep_rate(store, plan.missing_bytes, seconds)
    return FetchStats(len(plan.missing) + len(plan.missing_wheels), plan.missing_bytes, plan.stored_bytes, seconds)


def known_rate(store: Store) -> float | None:
    """Bytes per second of the last fetch into this store that was large enough to tell; ``None`` without one."""
    try:
        with (store.root / RATE_NAME).open("rb") as stream:
            found = stream.read(20)
    except OSError:
        return None
    return float(found) if _RATE.fullmatch(found) else None


def _keep_rate(store: Store, size_bytes: int, seconds: float) -> None:
    if size_bytes < _TELLING_BYTES or seconds < _TELLING_SECONDS:
        return
    # Without it the next plan has no time for the network, and nothing else.
    write_record(store.root / RATE_NAME, f"{max(1, round(size_bytes / seconds))}\n".encode("ascii"))


def store_need(plan: FetchPlan, store: Store) -> Need:
    """The room that the rest of the missing blobs takes in the store, with the records of each."""
    wheels_bytes = _WHEELS_BYTES * len(plan.missing_wheels)
    begun_bytes = sum(store.begun_bytes(item.blob.digest, item.blob.size_bytes) for item in plan.missing)
    records_bytes = _RECORDS_BYTES * len(plan.missing)
    return Need("--store", store.root, plan.missing_bytes - begun_bytes + records_bytes + wheels_bytes)


class _Workers:
    """Threads that take blobs off one queue until it is empty or something fails."""

    def __init__(
        self,
        blobs: Sequence[NeededBlob],
        store: Store,
        upstreams: Upstreams,
        task: Task,
        arrived: Callable[[Descriptor], object],
    ) -> None:
        self._queue: queue.SimpleQueue[NeededBlob] = queue.SimpleQueue()
        for blob in blobs:
            self._queue.put(blob)
        self._upstreams = upstreams
        self._task = task
        self._arrived = arrived
        self._download = Download(upstreams.http, store, task.advance, task.note)
        self._failures: list[BaseException] = []

    def run(self, jobs: int) -> None:
        """Fetches all; raises what went wrong once every thread has stopped."""
        # Daemons: after Ctrl-C a read that hangs in the kernel must not hold the program until it times out.
        threads: list[threading.Thread] = []
        try:
            for _ in range(max(1, jobs)):
                thread = threading.Thread(target=self._work, daemon=True)
                thread.start()
                threads.append(thread)
            for thread in threads:
                while thread.is_alive():
                    thread.join(_JOIN_SECONDS)
        except BaseException:
            self._upstreams.cancel.set()
            for thread in threads:
                thread.join(_JOIN_SECONDS)
            raise
        if self._failures:
            raise _combined(self._failures)

    def _work(self) -> None:
        while not self._upstreams.cancel.is_set():
            try:
                blob = self._queue.get_nowait()
            except queue.Empty:
                return
            try:
                wanted = Wanted(blob.blob.digest, blob.blob.size_bytes, blob.what, blob.first_seen)
                self._download.run(wanted, self._openings(blob))
                self._task.item(blob.what, blob.blob.size_bytes)
                self._arrived(blob.blob)
            except Cancelled:
                return
            except BaseException as error:
                self._failures.append(error)
                self._upstreams.cancel.set()

    def _openings(self, blob: NeededBlob) -> list[Opening]:
        if blob.reference is not None:
            return self._upstreams.blob_openings(blob.reference, blob.blob)
        return self._upstreams.file_openings(blob.url or "")


def _combined(failures: Sequence[BaseException]) -> BaseException:
    """One error for all: the only one as it is; several of ours under the gravest family; anything else first.

    A disk that is full is nobody's but ours, whatever the sources did: it is named alone.
    """
    ours = [failure for failure in failures if isinstance(failure, OperatorError)]
    if len(failures) == 1:
        return failures[0]
    if len(ours) < len(failures):
        return next(failure for failure in failures if not isinstance(failure, OperatorError))
    if at_home := [error for error in ours if not isinstance(error, SourceError | IntegrityError)]:
        return at_home[0]
    message = f"{len(ours)} files could not be fetched"
    where = "\n".join(f"{error.message} ({_on_one_line(error.where)})" for error in ours)
    got = "\n".join(_on_one_line(error.got) for error in ours)
    if any(isinstance(error, IntegrityError) for error in ours):
        return IntegrityError(message, where=where, got=got, next_step=ours[0].next_step)
    temporary = any(isinstance(error, SourceError) and error.temporary for error in ours)
    return SourceError(message, temporary=temporary, where=where, got=got, next_step=ours[0].next_step)


def _on_one_line(text: str | None) -> str:
    return "; ".join((text or "nothing more is known").splitlines())
