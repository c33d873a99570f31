"""One build from request to media set: resolve, fetch, assemble; and the proof of a finished media set."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING

import zstandard

from bundler.addons import objects_chart
from bundler.assemble import LOCK_SUFFIX, MediaSet, index_of, output_need, write_media_set
from bundler.catalog import Catalog
from bundler.errors import InputError
from bundler.fetch import FetchPlan, fetch, is_made_here, known_rate, plan_fetch, store_need
from bundler.forecast import Phases, forecast
from bundler.kept import KeptRecords
from bundler.launcher import install_bytes
from bundler.lockfile import Lock, LockedRuntime
from bundler.locks_in_use import LocksInUse
from bundler.lookup import ConnectedLookup
from bundler.measure import UnpackedSizes
from bundler.mirrors import MirrorProfile, load_profile
from bundler.payloads import KeptPayloads
from bundler.progress import Progress
from bundler.records import write_whole
from bundler.resolve import BuildRequest, resolve
from bundler.room import Need, demand_room, demand_writable, write_error
from bundler.runtime import lock_archive
from bundler.site_values import SiteValues
from bundler.sources.http import HttpSettings
from bundler.sources.upstreams import Upstreams
from bundler.store import Store, default_store_path
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.index import BundleIndex
from installer.bundle.platform import ARCHITECTURES, Platform
from installer.bundle.reader import open_media_set
from installer.bundle.regularfile import read_regular
from installer.bundle.verify import Verified, bytes_to_read, verify

if TYPE_CHECKING:
    from bundler.signkey import SigningKey

_INSTALLER_BYTES = 500_000
"""About what this installer adds to a runtime."""
ZSTD = ".".join(map(str, zstandard.ZSTD_VERSION))
"""The compressor's version; together with its settings it decides the tarball's bytes."""


@dataclass(frozen=True)
class Request:
    """What an operator asked for, as written: the options ``bundle build`` and ``bundle lock`` share."""

    k8s: str | None
    arch: str
    cni: str | None
    addon: tuple[str, ...]
    addon_file: tuple[Path, ...]
    values: Path | None
    runtime: str
    mirror: str
    catalog: tuple[Path, ...]
    ca_file: Path | None
    store: Path | None
    jobs: int
    layers: str = "registry"


class Builder:
    """Carries out one request; what it fetched stays in the store, whatever happens afterwards.

    ``patience`` is with the upstreams; the request's CA file counts, not the one in there.
    """

    def __init__(self, request: Request, progress: Progress, patience: HttpSettings | None = None) -> None:
        self._request = request
        self._progress = progress
        self._patience = patience or HttpSettings()
        self.catalog = Catalog.load(request.catalog, request.addon_file)

    @cached_property
    def _store(self) -> Store:
        return Store(self._request.store or default_store_path(os.environ), self._progress.say)

    @cached_property
    def _profile(self) -> MirrorProfile:
        return load_profile(self._request.mirror, self.catalog.mirrors_path)

    @cached_property
    def _upstreams(self) -> Upstreams:
        return Upstreams(self._store, self._profile, replace(self._patience, ca_file=self._request.ca_file))

    def resolve(self, *, fetch_programs: bool = True) -> Lock:
        """The lock for the request. Without ``fetch_programs`` only a kubeadm and helm in the store are asked."""
        wanted = BuildRequest(
            version=self._request.k8s or "",
            platforms=parse_architectures(self._request.arch),
            zstd=ZSTD,
            cni=self._request.cni,
            addons=self._request.addon,
            values=SiteValues.from_file(self._request.values) if self._request.values else SiteValues(),
            runtime=runtime_kind(self._request.runtime),
            created_seconds=source_date_epoch(os.environ.get("SOURCE_DATE_EPOCH")),
        )
        lookup = ConnectedLookup(self._upstreams, self._make_runtime, fetch_programs=fetch_programs)
        pool = ThreadPoolExecutor(self._request.jobs)
        try:
            return replace(resolve(wanted, self.catalog, lookup, pool.map), layers=self._request.layers)
        except BaseException:
            self._upstreams.cancel.set()  # or Ctrl-C would wait for every question that is still being asked
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def note_use(self, path: Path) -> None:
        """Tells the store that the lock in the file ``path`` is in use: cleaning keeps what it needs."""
        LocksInUse(self._store.root / "locks").note(path)

    def plan(self, lock: Lock) -> FetchPlan:
        """What :meth:`build` would fetch for ``lock``."""
        return plan_fetch(lock, self._store)

    def needs(self, lock: Lock, plan: FetchPlan, out: Path) -> list[Need]:
        """The room a build takes, at most. A media set that is there already may be kept, and is asked for then."""
        runtimes_bytes = sum(runtime.size_bytes + _INSTALLER_BYTES for runtime in lock.runtimes)
        store = store_need(plan, self._store)
        needs = [replace(store, size_bytes=store.size_bytes + (runtimes_bytes if plan.missing else 0))]
        return needs if (out / lock.name).exists() else [*needs, output_need(lock, out, runtimes_bytes)]

    def forecast(self, lock: Lock, plan: FetchPlan) -> Phases:
        """About how long the fetch of ``plan`` takes, and packing all of ``lock``."""
        rate, is_dense = known_rate(self._store), lock.layers == "dense"
        return forecast(lock.blobs, plan.missing_bytes, rate, is_dense=is_dense)

    def build(self, lock: Lock, out: Path, key: SigningKey | None = None) -> Built:
        """Fetches what the store lacks and writes the media set below ``out``, signed with ``key`` if there is one."""
        began = time.monotonic()
        self._demand_same_packing(lock)
        if lock.zstd != ZSTD:
            self._progress.say(f"note      locked with zstd {lock.zstd}, this is {ZSTD}: the tarball may be compressed")
            self._progress.say("          differently; what is in it, and its identity, are the same")
        self._demand_runtimes(lock)
        self._demand_made_charts(lock)
        fetching = self.plan(lock)
        demand_writable("--out", out)
        demand_room(self.needs(lock, fetching, out))
        phases = self.forecast(lock, fetching)
        with ThreadPoolExecutor(1) as beside:
            # Made while blobs arrive; a runtime that is itself on its way waits for the last of them.
            early = beside.submit(self._install, lock) if self._has_runtimes(lock) else None
            jobs, arrived = self._request.jobs, self._measuring(lock)
            fetched = fetch(lock, self._store, self._upstreams, jobs, self._progress, arrived=arrived)
            packing = time.monotonic()
            making = early or beside.submit(self._install, lock)
            index = self._index(lock)
            install, glibc = making.result()
        _give_memory_back()
        self.note_use(out / f"{lock.name}{LOCK_SUFFIX}")
        with self._progress.task("assemble", sum(blob.size_bytes for blob in index.blobs)) as task:
            media_set = write_media_set(
                lock,
                index,
                self._store,
                install,
                out,
                records=KeptRecords(self._store.root / "kept"),
                key=key,
                jobs=self._request.jobs,
                progress=task.advance,
            )
        ended = time.monotonic()
        took = {} if media_set.kept else {"fetch": fetched.seconds, "assemble": ended - packing}
        return Built(media_set, glibc, ended - began, lock.addons, phases, took)

    @cached_property
    def _sizes(self) -> UnpackedSizes:
        return UnpackedSizes(self._store.root / "unpacked-sizes")

    def _measuring(self, lock: Lock) -> Callable[[Descriptor], object]:
        """What is learnt of each blob as soon as it is here, while the network has others to bring."""
        known = {blob.digest for blob in lock.blobs} if lock.layers == "registry" else set()
        return lambda blob: self._sizes.measure(blob, self._store) if blob.digest in known else None

    def _has_runtimes(self, lock: Lock) -> bool:
        return all(
            self._store.has(digest)
            for locked in lock.runtimes
            for digest in (locked.digest, *(wheel.digest for wheel in locked.wheels))
        )

    def _install(self, lock: Lock) -> tuple[bytes, tuple[str, ...]]:
        """The launcher with its runtimes, and the oldest glibc that each of them needs."""
        made = KeptPayloads(self._store.root / "payloads", self._store)
        payloads = [made.payload(locked) for locked in lock.runtimes]
        return install_bytes(payloads), tuple(payload.glibc for payload in payloads)

    def _index(self, lock: Lock) -> BundleIndex:
        sizes = self._sizes
        if lock.layers == "registry":
            return index_of(lock, self._store, sizes, jobs=self._request.jobs)
        layers = {digest for image in lock.images for its in image.platforms.values() for digest in its.layers}
        with self._progress.task(
            "layers", sum(blob.size_bytes for blob in lock.blobs if blob.digest in layers)
        ) as task:
            return index_of(lock, self._store, sizes, jobs=self._request.jobs, progress=task.advance)

    def _demand_same_packing(self, lock: Lock) -> None:
        """A dense bundle's layers are packed on the node by the very library whose result was said here."""
        others = [
            f"{wheel.name} {wheel.version}"
            for runtime in lock.runtimes
            for wheel in runtime.wheels
            if wheel.name == "zstandard" and wheel.version != zstandard.__version__
        ]
        others += [f"zstd {lock.zstd} in the lock"] * (lock.zstd != ZSTD)
        others += ["an archive that is not looked into"] * any(runtime.kind == "file" for runtime in lock.runtimes)
        if lock.layers == "dense" and others:
            raise InputError(
                "the node would pack layers by another library than this builder",
                where="--layers dense",
                wanted=f"zstandard {zstandard.__version__} with zstd {ZSTD} in the installer's runtime",
                got=", ".join(others),
                next_step="build with --layers registry, or where it fits with --runtime host",
            )

    def _demand_runtimes(self, lock: Lock) -> None:
        """Every runtime that cannot be downloaded is in the store, or is made again and is the locked one."""
        for locked in lock.runtimes:
            if locked.kind == "catalogue" or self._store.has(locked.digest, locked.size_bytes):
                continue
            if locked.kind == "file" and runtime_kind(self._request.runtime) != "file":
                got = "no archive"
            elif (got := self._make_runtime(locked.kind, locked.platform).digest) == locked.digest:
                continue
            raise InputError(
                "the lock's runtime is not here",
                where=f"runtime for {locked.platform}, from {locked.kind} {locked.origin}",
                wanted=locked.digest,
                got=got,
                next_step="give that very archive with --runtime FILE, or use the store it was made in: --store DIR",
            )

    def _demand_made_charts(self, lock: Lock) -> None:
        """Every chart that is made of objects is in the store, or is made again and is the locked one."""
        for addon in lock.addons:
            if not is_made_here(addon) or self._store.has(addon.chart):
                continue
            got = "no such objects in the catalogue"
            if (made := objects_chart(addon.name, addon.version, self.catalog)) is not None:
                got = self._store.add_bytes(made)
            if got != addon.chart:
                raise InputError(
                    "the lock's chart is not here",
                    where=f"chart {addon.name} {addon.version}, from {addon.source.origin}",
                    wanted=addon.chart,
                    got=got,
                    next_step="give the catalogue it was locked with (--catalog, --addon-file) or its store (--store)",
                )

    def _make_runtime(self, kind: str, platform: Platform) -> LockedRuntime:
        """The runtime that is not downloaded: packed from this interpreter, or the archive the operator named."""
        if kind == "host":
            from bundler import host_python  # what it needs to pack an interpreter is of no use to any other build

            python, origin, archive = python_version(), host_python.host_origin(), host_python.host_archive(platform)
        else:
            path = Path(self._request.runtime)
            python, origin, archive = "of the archive", path.name, path.read_bytes()
        return lock_archive(archive, kind, platform, origin=origin, python=python, keep=self._store.add_bytes)


def _give_memory_back() -> None:
    """What was freed goes back to the system: glibc keeps half of what packing a runtime took, beside the packing."""
    with contextlib.suppress(OSError, AttributeError):  # another C library keeps it
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True)
class Built:
    """A finished build: the media set, the oldest glibc each runtime needs, how long it took, the add-ons in it, what
    was forecast, and the seconds each phase took (none where the media set was there already).
    """

    media_set: MediaSet
    glibc: tuple[str, ...]
    seconds: float
    addons: tuple[BundledAddon, ...] = ()
    phases: Phases = ()
    took: Mapping[str, float] = field(default_factory=dict)


def verify_media_set(
    path: Path, jobs: int, progress: Progress, further: Sequence[Path] = ()
) -> tuple[BundleIndex, Verified, float]:
    """Reads all of the media set at ``path``: what it holds, what was proven, and in how many seconds."""
    began = time.monotonic()
    with open_media_set(path, further) as bundle, progress.task("verify", bytes_to_read(bundle)) as task:
        return bundle.index, verify(bundle, jobs=jobs, progress=task.advance), time.monotonic() - began


def read_lock(path: Path) -> Lock:
    """The lock in a file; raises :class:`InputError` where there is none."""
    try:
        return Lock.from_bytes(read_regular(path), where=str(path))
    except OSError as error:
        got = error.strerror or str(error)
        raise InputError("the lock cannot be read", where=str(path), wanted="a lock file", got=got) from None


def write_lock(lock: Lock, path: Path) -> None:
    """Writes a lock in one step."""
    try:
        write_whole(path, lock.to_bytes())
    except OSError as error:
        message = "the lock cannot be written"
        next_step = "make room, or name another file with --out FILE; what was fetched stays in the store"
        needed_bytes = len(lock.to_bytes())
        raise write_error(message, error, path, needed_bytes=needed_bytes, next_step=next_step) from None


def parse_architectures(text: str) -> tuple[Platform, ...]:
    """The platforms that ``--arch amd64,arm64`` means, each once, in order."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in ARCHITECTURES]
    if unknown or not names:
        raise InputError(
            "no such architecture", where=f"--arch {text}", wanted=", ".join(ARCHITECTURES), got=", ".join(unknown)
        )
    return tuple(Platform(f"linux/{name}") for name in sorted(set(names)))


def source_date_epoch(text: str | None) -> int | None:
    """``SOURCE_DATE_EPOCH`` as a number, or ``None`` where it is not set."""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,11}", text):
        raise InputError(
            "SOURCE_DATE_EPOCH is not a time", where="the environment", wanted="seconds since 1970", got=text[:40]
        )
    return int(text)


def runtime_kind(text: str) -> str:
    """The kind that ``--runtime`` names: ``catalogue``, ``host``, or ``file`` for a path."""
    if text in ("catalogue", "host"):
        return text
    if not Path(text).is_file():
        raise InputError(
            "no such runtime",
            where=f"--runtime {text}",
            wanted="catalogue, host, or the path of a runtime archive",
            got="no file of that name",
        )
    return "file"
