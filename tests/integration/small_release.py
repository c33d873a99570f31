"""A release small enough to be built hundreds of times: the mini upstream's, without its large programs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.lockfile import Lock
from bundler.runtime import DEPENDENCIES, Entry, archive_bytes
from tests.integration.forked_builds import Builds, forking
from tests.lab.upstream import Served, serving
from tests.unit.test_runtime import python_tree

NAME = "k8s-v1.30.14-linux-amd64"
_MOST_FILE_BYTES = 2_000_000
_IMAGES = ("pause", "coredns", "etcd")


@dataclass(frozen=True)
class SmallRelease:
    """An upstream, a lock of little of it, and the process that builds it; its ``runtime`` runs nothing."""

    upstream: Served
    builds: Builds
    lock: Path
    runtime: Path

    def argv(self, folder: Path, *more: str, store: Path | None = None, out: Path | None = None) -> list[str]:
        """A build of the lock in ``folder``; with ``more`` of what ``more`` says instead."""
        return ["build", *self.sources, "--store", str(store or folder / "store"), "--out", str(out or folder / "dist"),
                *(more or ("--lock", str(self.lock)))]  # fmt: skip

    @property
    def sources(self) -> list[str]:
        """The options that say where bytes come from."""
        return ["--mirror", str(self.upstream.mirror), "--catalog", str(self.upstream.catalog),
                "--runtime", str(self.runtime)]  # fmt: skip


@contextmanager
def small_release(folder: Path) -> Iterator[SmallRelease]:
    """Serves and builds it while the block runs."""
    runtime, lock = folder / "runtime.tar.gz", folder / "small.lock.json"
    with serving("mini", folder / "mini") as upstream, forking(folder / "builds") as builds:
        tree = python_tree() | {f"lib/{name}/__init__.py": Entry(b"") for name in DEPENDENCIES}
        runtime.write_bytes(archive_bytes(tree))
        release = SmallRelease(upstream, builds, lock, runtime)
        whole = folder / "whole.lock.json"
        bundle = str(Path(sys.executable).with_name("bundle"))
        store = ("--store", str(folder / "store"))
        argv = [bundle, "lock", *release.sources, *store, "--k8s", "1.30", "--cni", "none", "--out", str(whole)]
        subprocess.run(argv, capture_output=True, check=True)
        lock.write_bytes(_small(Lock.from_bytes(whole.read_bytes(), where=str(whole))).to_bytes())
        yield release


def _small(lock: Lock) -> Lock:
    """``lock`` without its large files and most of its images."""
    sizes = {blob.digest: blob.size_bytes for blob in lock.blobs}
    files = tuple(item for item in lock.files if sizes[item.blob] < _MOST_FILE_BYTES)
    images = tuple(image for image in lock.images if image.reference.name.rpartition("/")[2] in _IMAGES)
    kept = {item.blob for item in files} | {blob for image in images for blob in image.blobs()}
    return replace(lock, files=files, images=images, blobs=tuple(blob for blob in lock.blobs if blob.digest in kept))


def digests(folder: Path) -> dict[str, str]:
    """Every file below ``folder`` by its SHA-256, but for the store's records of times and places."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def demand_whole(folder: Path, wanted: dict[str, str]) -> None:
    """Every blob has its digest, and what bears a finished name is finished."""
    for path in (folder / "store" / "blobs" / "sha256").glob("*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    named = {name: digest for name, digest in digests(folder / "dist").items() if not name.startswith(".")}
    assert named.items() <= wanted.items()
    in_folder = {name for name in wanted if name.startswith(f"{NAME}/")}
    assert named.keys() & in_folder in (set(), in_folder), "a media set that lacks something"


def demand_same(folder: Path, undisturbed: Path) -> None:
    """Byte-identical, and nothing in store or output that an undisturbed build does not leave."""
    assert digests(folder / "dist") == digests(undisturbed / "dist")
    assert stored(folder) == stored(undisturbed)


def stored(folder: Path) -> set[str]:
    """The names in a store, but for records named by where the output is."""
    names = digests(folder / "store")
    return {name for name in names if name.partition("/")[0] not in ("kept", "locks", "fetch-rate")}
