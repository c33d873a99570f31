"""A whole lock fetched from one upstream: in parallel, resumed after failures and Ctrl-C, nothing twice."""

from __future__ import annotations

import _thread
import io
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bundler import fetch as fetch_module
from bundler.errors import InputError, IntegrityError, OperatorError, SourceError
from bundler.fetch import FetchStats, fetch, plan_fetch
from bundler.lockfile import LockedRuntime
from bundler.lookup import ConnectedLookup
from bundler.mirrors import FileRule, ImageBase, ImageRule, MirrorProfile
from bundler.progress import Progress
from bundler.sources.http import HttpSettings
from bundler.sources.upstreams import Upstreams
from bundler.store import Store
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.platform import Platform, platform_of_machine
from installer.bundle.reference import Reference
from tests.fakes.faults import status, stop_after
from tests.fakes.images import AMD64, ARM64, Parts, small_parts
from tests.fakes.upstream import Upstream

pytestmark = pytest.mark.network

KUBEADM = "/example.invalid/kubeadm"


@pytest.fixture
def parts() -> Parts:
    return small_parts(large_bytes=400_000)


@pytest.fixture
def upstream(parts: Parts) -> Iterator[Upstream]:
    """Serves everything the lock of ``parts`` names, below one host, as a mirror would."""
    with Upstream() as server:
        for item in parts.files:
            server.add(item.source.origin.removeprefix("https:/"), parts.store.blobs[item.blob])
        for image in parts.images:
            for digest in image.blobs():
                data, media_type = parts.store.blobs[digest], parts.descriptors[digest].media_type
                server.add_blob(image.reference.name, data)
                server.add_manifest(image.reference.name, data, media_type)
        yield server


class _Build:
    """One build: a store and the upstreams, through a mirror profile without fallback."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.store = Store(folder)
        profile = MirrorProfile(
            "lab",
            (FileRule("https://", (f"{upstream.url}/",)),),
            (ImageRule("", (ImageBase(upstream.host, plain_http=True),)),),
            fallback=False,
        )
        settings = HttpSettings(read_timeout_seconds=5, attempts=2, backoff_seconds=0.01)
        self.upstreams = Upstreams(self.store, profile, settings, {"DOCKER_CONFIG": str(folder)})
        self.log = io.StringIO()

    def fetch(self, parts: Parts, jobs: int = 4) -> FetchStats:
        return fetch(parts.lock(), self.store, self.upstreams, jobs, Progress(self.log))


@pytest.fixture
def build(tmp_path: Path, upstream: Upstream) -> _Build:
    return _Build(tmp_path / "store", upstream)


def _demand_all(parts: Parts, store: Store) -> None:
    for digest, data in parts.store.blobs.items():
        assert store.read_bytes(digest, len(data)) == data


@pytest.mark.parametrize("jobs", [1, 8])
def test_fetches_everything_once(parts: Parts, upstream: Upstream, tmp_path: Path, jobs: int) -> None:
    build = _Build(tmp_path / "store", upstream)
    stats = build.fetch(parts, jobs)
    _demand_all(parts, build.store)
    assert stats.fetched == len(parts.descriptors) == len(upstream.seen)
    assert stats.fetched_bytes == sum(blob.size_bytes for blob in parts.descriptors.values())
    again = _Build(tmp_path / "store", upstream).fetch(parts, jobs)
    assert (again.fetched, again.fetched_bytes, again.stored_bytes) == (0, 0, stats.fetched_bytes)
    assert len(upstream.seen) == stats.fetched


def test_the_plan_says_what_is_missing_biggest_first(parts: Parts, build: _Build) -> None:
    kubeadm = parts.files[0].blob
    build.store.add_bytes(parts.store.blobs[kubeadm])
    plan = plan_fetch(parts.lock(), build.store)
    sizes = [item.blob.size_bytes for item in plan.missing]
    assert sizes == sorted(sizes, reverse=True)
    assert plan.stored_bytes == len(parts.store.blobs[kubeadm])
    assert plan.missing_bytes + plan.stored_bytes == sum(blob.size_bytes for blob in parts.descriptors.values())
    assert {item.blob.digest for item in plan.missing} == set(parts.descriptors) - {kubeadm}


def test_a_catalogue_runtime_is_fetched_too(parts: Parts, upstream: Upstream, build: _Build) -> None:
    archive = b"a python"
    upstream.add("/python.invalid/cpython.tar.gz", archive)
    origin = "https://python.invalid/cpython.tar.gz"
    runtime = LockedRuntime("catalogue", AMD64, "3.14.7", origin, Digest.of(archive), len(archive))
    lock = replace(parts.lock(), runtimes=(runtime,))
    fetch(lock, build.store, build.upstreams, 2, Progress())
    assert build.store.read_bytes(runtime.digest, 100) == archive


def test_a_failure_ends_the_others_and_the_next_run_finishes(
    parts: Parts, upstream: Upstream, build: _Build, tmp_path: Path
) -> None:
    upstream.plan(KUBEADM, status(404))
    with pytest.raises(SourceError) as caught:
        build.fetch(parts, jobs=1)
    assert upstream.seen[-1].path == KUBEADM, "nothing more was asked for"
    assert caught.value.where == upstream.url + KUBEADM
    assert "kubeadm 1.0.0 linux/amd64" in caught.value.message
    assert "HTTP 404" in str(caught.value.got)
    assert not build.store.has(parts.files[0].blob)
    second = _Build(tmp_path / "store", upstream)
    second.fetch(parts)
    _demand_all(parts, second.store)


def test_every_failure_is_reported(parts: Parts, upstream: Upstream, build: _Build) -> None:
    together = threading.Barrier(2)

    def gone(handler: object, _reply: object) -> None:
        together.wait(5)
        status(404)(handler, _reply)  # type: ignore[arg-type]

    etcd = next(image for image in parts.images if "etcd" in image.reference.repository)
    layer = max(etcd.platforms[AMD64].layers, key=lambda digest: parts.descriptors[digest].size_bytes)
    path = f"/v2/{etcd.reference.name}/blobs/{layer}"
    upstream.plan(KUBEADM, gone)
    upstream.plan(path, gone)
    with pytest.raises(SourceError, match="2 files could not be fetched") as caught:
        build.fetch(parts, jobs=2)
    assert upstream.url + KUBEADM in str(caught.value.where)
    assert upstream.url + path in str(caught.value.where)


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """Python's own handling of Ctrl-C, which a run that a shell put in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_ends_at_once_and_the_next_run_goes_on(
    parts: Parts, upstream: Upstream, build: _Build, tmp_path: Path
) -> None:
    partial = build.store.partial_path(parts.files[0].blob)
    upstream.plan(KUBEADM, stop_after(100_000, partial, _thread.interrupt_main))
    with pytest.raises(KeyboardInterrupt):
        build.fetch(parts)
    assert build.upstreams.cancel.is_set()
    second = _Build(tmp_path / "store", upstream)
    second.fetch(parts)
    _demand_all(parts, second.store)
    first, last = upstream.requests(KUBEADM)
    assert "Range" not in first.headers
    assert 80_000 <= int(last.headers["Range"].removeprefix("bytes=").removesuffix("-")) <= 100_000


def test_ctrl_c_while_the_downloads_are_started_ends_those_that_run(
    parts: Parts, build: _Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []

    class Interrupted(threading.Thread):
        def start(self) -> None:
            if started:
                raise KeyboardInterrupt
            started.append(self)
            super().start()

    monkeypatch.setattr(fetch_module, "threading", SimpleNamespace(Thread=Interrupted))
    with pytest.raises(KeyboardInterrupt):
        build.fetch(parts, jobs=4)
    assert build.upstreams.cancel.is_set()
    assert len(started) == 1


def test_two_builds_share_one_store(parts: Parts, upstream: Upstream, tmp_path: Path) -> None:
    builds = [_Build(tmp_path / "store", upstream) for _ in range(2)]
    errors: list[BaseException] = []

    def run(build: _Build) -> None:
        try:
            build.fetch(parts)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(build,)) for build in builds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(upstream.seen) == len(parts.descriptors)
    _demand_all(parts, builds[0].store)


def test_too_small_a_disk_is_said_before_anything_is_fetched(
    parts: Parts, upstream: Upstream, build: _Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bundler.room.free_bytes", lambda _path: 1000)
    with pytest.raises(InputError, match="not enough room"):
        build.fetch(parts)
    assert not upstream.seen


def test_a_full_disk_is_not_told_as_a_failure_of_the_network() -> None:
    full = OperatorError("the store cannot be written", got="No space left on device")
    for failures in ([full, full], [SourceError("reset", temporary=True), full], [full, IntegrityError("wrong bytes")]):
        assert fetch_module._combined(failures) is full


def test_a_log_names_each_file(parts: Parts, build: _Build) -> None:
    build.fetch(parts)
    assert "kubeadm 1.0.0 linux/amd64" in build.log.getvalue()
    assert build.log.getvalue().count("\n") == len(parts.descriptors) + 1


HERE = platform_of_machine(os.uname().machine) or AMD64
LISTS = (
    b'#!/bin/sh\n[ "$*" = "config images list --kubernetes-version v1.30.14" ] || exit 2\n'
    b'[ -z "$http_proxy$SECRET" ] || exit 3\n'
    b"echo registry.k8s.io/pause:3.9\necho registry.k8s.io/coredns/coredns:v1.11.3\necho warning >&2\n"
)


def _ask(build: _Build, upstream: Upstream, program: bytes, platform: Platform) -> tuple[Reference, ...] | None:
    upstream.add("/release.invalid/kubeadm", program)
    lookup = ConnectedLookup(build.upstreams, lambda _kind, _platform: pytest.fail("no runtime was asked for"))
    url = "https://release.invalid/kubeadm"
    return lookup.kubeadm_images(url, Digest.of(program), len(program), "1.30.14", platform)


def test_kubeadm_itself_lists_its_images_in_an_empty_environment(
    upstream: Upstream, build: _Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    listed = _ask(build, upstream, LISTS, HERE)
    assert [str(item) for item in listed or ()] == [
        "registry.k8s.io/pause:3.9",
        "registry.k8s.io/coredns/coredns:v1.11.3",
    ]
    assert build.store.has(Digest.of(LISTS))


def test_a_kubeadm_for_another_machine_is_not_even_fetched(upstream: Upstream, build: _Build) -> None:
    assert _ask(build, upstream, LISTS, ARM64 if HERE == AMD64 else AMD64) is None
    assert not upstream.seen


def test_a_kubeadm_that_cannot_run_here_lists_nothing(upstream: Upstream, build: _Build) -> None:
    assert _ask(build, upstream, b"\x7fELF of no machine at all", HERE) is None
    assert _ask(build, upstream, b"#!/bin/sh\nkill -ILL $$\n", HERE) is None
    assert [path.name for path in build.store.root.iterdir() if path.name.startswith("kubeadm-")] == []


@pytest.mark.parametrize("program", [b"#!/bin/sh\nexit 1\n", b"#!/bin/sh\n", b"#!/bin/sh\necho '<html>'\n"])
def test_a_kubeadm_that_does_not_list_is_an_error(upstream: Upstream, build: _Build, program: bytes) -> None:
    with pytest.raises(OperatorError, match="does not list its images"):
        _ask(build, upstream, program, HERE)


def test_lookup_asks_for_sizes_and_images(parts: Parts, upstream: Upstream, build: _Build) -> None:
    lookup = ConnectedLookup(build.upstreams, lambda _kind, _platform: pytest.fail("no runtime was asked for"))
    kubeadm, image = parts.files[0], parts.images[0]
    assert lookup.file_size_bytes(kubeadm.source.origin) == parts.descriptors[kubeadm.blob].size_bytes
    reference = Reference(image.reference.registry, image.reference.repository, None, image.blob)
    found = lookup.image(reference, (AMD64,))
    assert (found.blob.digest, found.platforms) == (image.blob, image.platforms)


def test_each_blob_is_told_of_once_when_it_is_here(upstream: Upstream, parts: Parts, tmp_path: Path) -> None:
    build = _Build(tmp_path / "store", upstream)
    told: list[Digest] = []

    def arrived(blob: Descriptor) -> None:
        assert build.store.has(blob.digest, blob.size_bytes)
        told.append(blob.digest)

    fetch(parts.lock(), build.store, build.upstreams, 4, Progress(), arrived=arrived)
    assert sorted(told) == sorted(parts.descriptors)
    fetch(parts.lock(), build.store, build.upstreams, 4, Progress(), arrived=arrived)
    assert len(told) == len(parts.descriptors)


def test_what_is_wrong_with_a_blob_that_arrived_ends_the_fetch_and_keeps_the_blob(
    upstream: Upstream, parts: Parts, tmp_path: Path
) -> None:
    build = _Build(tmp_path / "store", upstream)

    def arrived(blob: Descriptor) -> None:
        raise InputError("not to our taste", where=blob.digest)

    with pytest.raises(InputError, match="not to our taste") as caught:
        fetch(parts.lock(), build.store, build.upstreams, 1, Progress(), arrived=arrived)
    assert build.store.has(Digest(caught.value.where or ""))
