"""Generated image sets in the proportions of a Kubernetes release, the same bytes on every machine.

A set is so many releases of 256 MiB each, as a registry serves them: 70 % Go programs, 20 % Debian layers that several
images share, 10 % compressed already. A smaller set is a part of the larger one. What was made is kept as the store of
a registry, by what it was made from; the larger store shares its files with the smaller ones.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.bench import material
from tests.lab import debian
from tests.lab.cache import cached, key_of
from tests.lab.images import ImageConfig, Layer, image, streamed_layer
from tests.lab.progress import timed
from tests.lab.registry import push, running_registry
from tests.lab.toolchain import go

HOST = "images.bench.test"
TAG, CHANGED_TAG = "v1.0.0", "v1.0.1"
GZIP_LEVEL = 6
"""What builders of images use, to a hair."""
MIB = 1 << 20
RELEASE_BYTES = 256 * MIB
SIZES = {"0.25": 1, "1": 4, "4": 16}
"""Releases by the size of a set in GiB."""


@dataclass(frozen=True)
class PlannedImage:
    """An image of a release: its raw program's size, its shared Debian layers, and bytes compressed already."""

    name: str
    program_bytes: int
    layers: tuple[str, ...]
    compressed_bytes: int = 0


IMAGES = (
    PlannedImage("network-agent", 98 * MIB, ("base", "tools"), 10 * MIB),
    PlannedImage("api", 80 * MIB, ("base",)),
    PlannedImage("controllers", 70 * MIB, ("base",)),
    PlannedImage("datastore", 60 * MIB, ("base",), 9 * MIB),
    PlannedImage("proxy", 46 * MIB, ("base", "tools")),
    PlannedImage("scheduler", 42 * MIB, ("base",)),
    PlannedImage("names", 33 * MIB, ("base",)),
    PlannedImage("metrics", 24 * MIB, ("base", "tools"), 7 * MIB),
)
CHANGED = IMAGES[5]
"""The image of the first release that there is a second version of, for a build after one image changed."""
_PACKAGES = {"base": material.BASE_PACKAGES, "tools": material.TOOL_PACKAGES}


@dataclass(frozen=True)
class _LayerOrder:
    """One layer to be made: of which release, what kind, and which of its kind."""

    release: str
    kind: str
    number: int = 0
    size_bytes: int = 0


def references(size: str, *, changed: bool = False) -> tuple[str, ...]:
    """The images of the set of ``size``; with ``changed``, one of them in its second version."""
    found = [f"{HOST}/{_release(number)}/{item.name}:{TAG}" for number in range(SIZES[size]) for item in IMAGES]
    if changed:
        before = f"{HOST}/{_release(0)}/{CHANGED.name}:{TAG}"
        found[found.index(before)] = before.replace(TAG, CHANGED_TAG)
    return tuple(found)


def store(size: str) -> Path:
    """The registry's store with the set of ``size``, made at first use from the one below it."""
    packages = debian.candidates([*material.BASE_PACKAGES, *material.TOOL_PACKAGES])
    sources = [Path(__file__), Path(material.__file__), Path(__file__).parents[1] / "lab" / "images.py"]
    key = key_of(*sources, Path(go()).parents[2].name, repr(packages))
    smaller = max((other for other in SIZES if SIZES[other] < SIZES[size]), key=lambda other: SIZES[other], default="")

    def make(out: Path) -> None:
        first = 0
        if smaller:
            shutil.copytree(store(smaller) / "registry", out / "registry", copy_function=os.link)
            first = SIZES[smaller]
        _make(out / "registry", range(first, SIZES[size]))

    return cached("bench", f"{size}-{key}", make)


def _make(registry: Path, releases: range) -> None:
    with running_registry(registry, read_only=False) as address, ProcessPoolExecutor(os.cpu_count()) as pool:
        for number in releases:
            with timed("content", f"release {number + 1} of {releases.stop}, 256 MiB"):
                _push_release(address, _release(number), pool, with_changed=number == 0)


def _push_release(address: str, release: str, pool: ProcessPoolExecutor, *, with_changed: bool) -> None:
    orders = list(_orders(release))
    made = dict(zip(orders, pool.map(_made, orders), strict=True))
    for position, item in enumerate(IMAGES):
        layers = [made[order] for order in _layers_of(release, position, item)]
        push(address, f"{release}/{item.name}", TAG, image({"amd64": layers}, _config(item)))
        if with_changed and item is CHANGED:
            layers[-1] = _made(_LayerOrder(release, "program", len(IMAGES), item.program_bytes))
            push(address, f"{release}/{item.name}", CHANGED_TAG, image({"amd64": layers}, _config(item)))


def _orders(release: str) -> Iterator[_LayerOrder]:
    """Every layer of a release once, the slowest first."""
    found = {order: None for position, item in enumerate(IMAGES) for order in _layers_of(release, position, item)}
    yield from sorted(found, key=lambda order: (order.kind == "compressed", order.kind == "program", -order.size_bytes))


def _layers_of(release: str, position: int, item: PlannedImage) -> Iterator[_LayerOrder]:
    for kind in item.layers:
        yield _LayerOrder(release, kind)
    if item.compressed_bytes:
        yield _LayerOrder(release, "compressed", position, item.compressed_bytes)
    yield _LayerOrder(release, "program", position, item.program_bytes)


@cache
def _pool() -> material.GoPool:
    return material.GoPool(material.go_programs())


def _made(order: _LayerOrder) -> Layer:
    if order.kind in _PACKAGES:
        files = material.debian_files(_PACKAGES[order.kind], order.release)
        return streamed_layer(files, level=GZIP_LEVEL)
    if order.kind == "compressed":
        contents = material.compressed_already(f"{order.release} {order.number}", order.size_bytes)
        return streamed_layer([("usr/share/data.bin", order.size_bytes, contents)], level=GZIP_LEVEL)
    contents = _pool().program(order.release, order.number, order.size_bytes)
    return streamed_layer([("usr/local/bin/program", order.size_bytes, contents)], level=GZIP_LEVEL)


def _config(item: PlannedImage) -> ImageConfig:
    return ImageConfig(entrypoint=("/usr/local/bin/program", item.name))


def _release(number: int) -> str:
    return f"release-{number:02}"
