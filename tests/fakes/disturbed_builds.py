"""Builds of the small release through disturbing proxies, one seed each, and the undisturbed build that follows.

What must hold after each, whatever happened: the media set is the exact one, or there is none and the error names the
source; the store holds upstream's bytes and nothing else; and the next run ends as if nothing had ever been wrong.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from bundler.build import Builder, Request
from bundler.catalog import Catalog
from bundler.errors import OperatorError
from bundler.fetch import needed
from bundler.lockfile import Lock
from bundler.progress import Progress
from bundler.sources.http import HttpClient, HttpSettings
from installer.bundle.digest import Digest
from installer.bundle.mediatypes import INDEXES, MANIFESTS
from tests.fakes.disturbance import Planned, schedule
from tests.fakes.disturbing_proxy import DisturbingProxy
from tests.fakes.small_release import CHART_PATH, NAME, SmallRelease
from tests.fakes.upstream import Upstream

PATIENCE = HttpSettings(connect_timeout_seconds=5, read_timeout_seconds=1.2, attempts=4, backoff_seconds=0.01)
_LACKED = 0.2
_USER, _PASSWORD = "builder", "never shown"


@dataclass(frozen=True)
class Outcome:
    """How the build of one seed ended: ``exact``, ``as served`` (a tag moved meanwhile), or an error's family."""

    seed: int
    ended: str
    told: str = ""


@dataclass(frozen=True)
class Report:
    """What many seeds came to; ``planned`` and ``met`` are faults by kind, ``waits`` how often so many seconds."""

    outcomes: tuple[Outcome, ...] = ()
    planned: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    waits: Counter[int] = field(default_factory=Counter)

    def __add__(self, other: Report) -> Report:
        return Report(
            self.outcomes + other.outcomes,
            self.planned + other.planned,
            self.met + other.met,
            self.waits + other.waits,
        )


class DisturbedBuilds:
    """Proxies in front of ``release`` and a folder to build in; use it as a context.

    Waiting is left out: what was waited for is counted. Nothing is synced to the disk, as no power fails here.
    """

    def __init__(self, release: SmallRelease, folder: Path) -> None:
        self._release = release
        self._folder = folder
        self._stack = ExitStack()
        self._catalog = Catalog.load([release.catalog])
        self._planned: Counter[str] = Counter()
        self._met: Counter[str] = Counter()
        self._waits: Counter[int] = Counter()

    def __enter__(self) -> DisturbedBuilds:
        enter = self._stack.enter_context
        self._elsewhere = enter(Upstream(address="127.0.0.2"))
        self._files = enter(DisturbingProxy(self._release.files, self._elsewhere, CHART_PATH))
        self._registry = enter(DisturbingProxy(self._release.registry, self._elsewhere))
        self._registry.want_token(uses=10_000, user=_USER, password=_PASSWORD)
        self._folder.mkdir()
        self._mirror = self._release.mirror(self._folder / "mirror.yaml", self._files.host, self._registry.host)
        account = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
        (self._folder / "config.json").write_text(json.dumps({"auths": {self._registry.host: {"auth": account}}}))
        enter(_replaced(os.environ, "DOCKER_CONFIG", str(self._folder)))
        enter(_replaced(HttpClient, "wait", self._wait))
        enter(_replaced(os, "fsync", lambda _descriptor: None))
        self._learn()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def run(self, seed: int) -> Outcome:
        """The build of ``seed``, and the undisturbed one after it; raises :class:`AssertionError` naming the seed."""
        planned = self.planned(seed)
        folder = self._folder / str(seed)
        try:
            self._fill(folder, seed, planned)
            self._follow(planned)
            ended, told = self._disturbed(folder, jobs=1 + seed % 4)
            self._planned.update(fault.kind for fault in planned)
            self._met += self._files.met + self._registry.met
            self._demand_store(folder, "after the disturbed build")
            self._follow(())
            self._build(folder, jobs=2)
            assert _digests(folder) == self._exact, "the next run made something else"
            self._demand_store(folder, "after the next run")
            assert not list((folder / "store" / "partial").iterdir()), "downloads are left"
        except Exception as error:
            plan = "\n".join(map(str, planned))
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}\n{plan}") from error
        shutil.rmtree(folder)
        return Outcome(seed, ended, told)

    def report(self, seeds: Sequence[int]) -> Report:
        """All of ``seeds``, one after another."""
        outcomes = tuple(self.run(seed) for seed in seeds)
        return Report(outcomes, self._planned, self._met, self._waits)

    def planned(self, seed: int) -> tuple[Planned, ...]:
        """The faults of ``seed``."""
        return schedule(seed, self._requests, CHART_PATH)

    @property
    def _proxies(self) -> tuple[DisturbingProxy, DisturbingProxy]:
        return self._files, self._registry

    def _learn(self) -> None:
        """Builds undisturbed: what is asked for, what comes of it, and a store that holds the runtime only."""
        folder = self._folder / "undisturbed"
        lock = self._build(folder, jobs=1)
        self._exact = _digests(folder)
        self._requests = [
            (seen.method, path)
            for proxy in self._proxies
            for seen in proxy.seen
            if (path := seen.path.partition("?")[0]) != proxy.token_path
        ]
        self._known = {Digest(f"sha256:{path.name}") for path in _blobs(folder)}
        self._fetched = _paths(lock)

    def _fill(self, folder: Path, seed: int, planned: Sequence[Planned]) -> None:
        """A store to begin with: a third have the runtime only, others lack a part, and all that faults touch."""
        shutil.copytree(self._folder / "undisturbed" / "store", folder / "store", copy_function=_copied)
        chance = random.Random(seed)  # noqa: S311 - the same every time is the point
        touched, is_empty = {fault.path for fault in planned}, seed // 3 % 3 == 0
        for digest, path in self._fetched.items():
            if is_empty or path in touched or chance.random() < _LACKED:
                (folder / "store" / "blobs" / "sha256" / digest.hex).unlink()

    def _follow(self, planned: Sequence[Planned]) -> None:
        for proxy in self._proxies:
            proxy.follow(planned)
        if planned:
            for proxy in self._proxies:
                proxy.substitutes.clear()

    def _build(self, folder: Path, *, jobs: int) -> Lock:
        request = Request(
            k8s="1.30", arch="amd64", cni="site", addon=(), addon_file=(), values=None,
            runtime=str(self._release.runtime), mirror=str(self._mirror), catalog=(self._release.catalog,),
            ca_file=None, store=folder / "store", jobs=jobs,
        )  # fmt: skip
        builder = Builder(request, Progress(), PATIENCE)
        builder.catalog = self._catalog  # read once for all of them
        lock = builder.resolve()
        builder.build(lock, folder / "dist")
        return lock

    def _disturbed(self, folder: Path, jobs: int) -> tuple[str, str]:
        """How it ended and what was told."""
        try:
            self._build(folder, jobs=jobs)
        except OperatorError as error:
            self._demand_told(error)
            assert not (folder / "dist" / NAME).exists(), "a failed build left a media set"
            return error.family, "\n".join(error.lines())
        if _digests(folder) == self._exact:
            return "exact", ""
        self._demand_as_served(folder)
        return "as served", ""

    def _demand_told(self, error: OperatorError) -> None:
        """Where, wanted, got and what to do are there; the source that failed is named, and no secret is."""
        told = "\n".join(error.lines())
        missing = [part for part in ("where", "wanted", "got", "next_step") if not getattr(error, part)]
        assert not missing or ("files could not be fetched" in told and missing == ["wanted"]), f"no {missing}: {told}"
        assert error.family in ("network", "integrity"), told
        assert any(_names(told, proxy.host, path) for proxy in self._proxies for path in proxy.met_paths), told
        assert _PASSWORD not in told
        assert "token-" not in told

    def _demand_as_served(self, folder: Path) -> None:
        """The lock differs only where upstream said something else, and names exactly what it said."""
        substitutes = {str(digest) for proxy in self._proxies for digest in proxy.substitutes}
        exact = json.loads((self._folder / "undisturbed" / "dist" / f"{NAME}.lock.json").read_text())
        served = json.loads((folder / "dist" / f"{NAME}.lock.json").read_text())
        changed = set(_texts(served)) - set(_texts(exact))
        assert changed, "the same lock gave other bytes"
        assert {text for text in changed if text.startswith("sha256:")} <= substitutes, changed - substitutes

    def _demand_store(self, folder: Path, when: str) -> None:
        """Every blob has the digest it is named by, and is upstream's or what upstream said meanwhile."""
        known = self._known.union(*(proxy.substitutes for proxy in self._proxies))
        for path in _blobs(folder):
            data = path.read_bytes()
            assert hashlib.sha256(data).hexdigest() == path.name, f"{when}, {path.name} has other bytes"
            wanted = Digest(f"sha256:{path.name}") in known
            assert wanted, f"{when}, {path.name} is nothing that was wanted: {data[:60]!r}"

    def _wait(self, seconds: float) -> None:
        self._waits[round(seconds)] += 1


def _names(told: str, host: str, path: str) -> bool:
    """Whether the text names this source; what is below an image is named by the image's place and its own digest."""
    repository, kind, name = path.rpartition("/manifests/") if "/manifests/" in path else path.rpartition("/blobs/")
    below = bool(kind) and f"{host}{repository}/" in told and f"asked for {name}" in told
    return below or f"{host}{path}" in told


def _paths(lock: Lock) -> dict[Digest, str]:
    """The path that each fetched blob is asked for at."""
    found = {}
    for item in needed(lock):
        if item.reference is None:
            found[item.blob.digest] = item.url.removeprefix("https:/") if item.url else ""
        else:
            kind = "manifests" if item.blob.media_type in INDEXES | MANIFESTS else "blobs"
            found[item.blob.digest] = f"/v2/{item.reference.name}/{kind}/{item.blob.digest}"
    return found


def _blobs(folder: Path) -> Iterator[Path]:
    return (folder / "store" / "blobs" / "sha256").iterdir()


def _copied(source: str, target: str) -> None:
    """A file of a store in another one; blobs are never written to, so one file does for all."""
    (os.link if "/blobs/" in source else shutil.copy2)(source, target)


def _digests(folder: Path) -> dict[str, str]:
    """The media set's files and the lock, by SHA-256."""
    files = [*(folder / "dist" / NAME).iterdir(), folder / "dist" / f"{NAME}.lock.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _texts(document: Any) -> Iterator[str]:
    """Every string in a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for item in document.values() if isinstance(document, dict) else document:
            yield from _texts(item)


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """An attribute or item of ``owner``, for as long as the block runs."""
    if isinstance(owner, os._Environ):
        before = owner.get(name)
        owner[name] = value
        try:
            yield
        finally:
            owner.pop(name)
            if before is not None:
                owner[name] = before
    else:
        kept = getattr(owner, name)
        setattr(owner, name, value)
        try:
            yield
        finally:
            setattr(owner, name, kept)


def run_seeds(release: SmallRelease, folder: Path, seeds: Sequence[int]) -> Report:
    """Runs ``seeds`` one after another in ``folder``."""
    with DisturbedBuilds(release, folder) as builds:
        return builds.report(seeds)
