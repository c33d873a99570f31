"""Two releases that differ as two patch releases do, as media sets on disk, and a delta between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.assemble import MediaSet, assemble
from bundler.delta import Made, OldBase, make_delta
from bundler.measure import UnpackedSizes
from bundler.progress import Progress
from installer.bundle.placement import Placement
from installer.bundle.reader import open_media_set
from tests.fakes.images import AMD64, CREATED_SECONDS, PAUSE, Parts, noise, tar_gzip_of, tar_of

INSTALL = b"#!/bin/sh\nexit 0\n"
PROGRAM_BYTES = 300_000


@dataclass(frozen=True)
class Pair:
    """The old media set and the new one."""

    old: MediaSet
    new: MediaSet


def release(patch: int) -> Parts:
    """``1.30.<patch>``: a program that changes a little, an archive and a layer that stay, and a layer that changes."""
    parts = Parts()
    body = bytearray(noise(PROGRAM_BYTES, 1))
    for place in range(0, PROGRAM_BYTES, PROGRAM_BYTES // 10):
        body[place] ^= patch
    parts.file("kubelet", bytes(body) + b"v1.30.%d" % patch, Placement(0o755, "/usr/local/bin/kubelet"))
    archive = Placement(0o755, archive="tar+gzip", members={"/": "/opt/cni/bin/"})
    parts.file("cni-plugins", tar_gzip_of({"./bridge": noise(90_000, 2)}), archive)
    stays = tar_of({"etc/os-release": b"NAME=shared\n" + noise(50_000, 3)})
    parts.image(PAUSE, {AMD64: [stays]})
    server = bytearray(noise(PROGRAM_BYTES, 4))
    server[1000] ^= patch
    parts.image(f"registry.k8s.io/kube-apiserver:v1.30.{patch}", {AMD64: [stays, tar_of({"server": bytes(server)})]})
    return parts


def built(root: Path, patch: int, *, layers: str = "registry", jobs: int = 2) -> MediaSet:
    """The release as a media set below ``root``."""
    parts = release(patch)
    lock = replace(
        parts.lock(), kubernetes=f"1.30.{patch}", created_seconds=CREATED_SECONDS + 1000 * patch, layers=layers
    )
    return assemble(lock, parts.store, INSTALL, root, sizes=UnpackedSizes(root / "sizes"), jobs=jobs)


def pair(root: Path, *, layers: str = "registry") -> Pair:
    """1.30.13 and 1.30.14."""
    return Pair(built(root / "old", 13, layers=layers), built(root / "new", 14, layers=layers))


def delta_of(found: Pair, out: Path, *, jobs: int = 2) -> Made:
    """The delta between the two, by the old media set."""
    with open_media_set(found.old.folder) as old, open_media_set(found.new.folder) as new:
        return make_delta(OldBase(old, None, old.index.name), new, out, jobs=jobs, progress=Progress())


def contents(folder: Path) -> Mapping[str, tuple[bytes, int]]:
    """Every file below a folder, with its mode."""
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in sorted(folder.iterdir())}
