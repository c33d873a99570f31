"""Importing images: streamed from the bundle into containerd, only those the role needs and the store lacks, pinned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from installer.bundle.digest import Digest
from installer.bundle.imagesizes import kept_bytes, stored_sizes
from installer.bundle.index import BundledImage
from installer.bundle.platform import Platform
from installer.errors import CommandError
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.room import explained
from installer.steps.content import BundleContent
from installer.steps.imagestore import ImageStore, StoredImage
from installer.steps.judged import judged
from installer.steps.pins import record_pins, recorded_pins
from installer.wording import count, size

_SECONDS_AT_LEAST = 1800.0
_SLOWEST_BYTES_PER_SECOND = 250_000
"""Under emulation an import runs at about 2 MB/s; a timeout is for what hangs, not for what is slow."""


@dataclass(frozen=True)
class ImportImages:
    """Each of ``images`` under all its names, with its digest, whole, and pinned."""

    bundle: BundleContent
    images: tuple[BundledImage, ...]
    platform: Platform
    store: ImageStore
    id: str = "images/import"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{count(len(self.images), 'image')} imported and pinned"

    def check(self, view: NodeView) -> CheckResult:
        """Every name leads to the bundle's digest, complete and unpacked, and is pinned."""
        stored = self.store.read(view)
        if stored is None:
            return CheckResult(False, "containerd does not answer", _imports(self.images))
        lacking = lacking_images(self.images, stored)
        recorded = recorded_pins(view)
        pins = [
            f"pin {name}"
            for name in pinned_names(self.images)
            if name in stored and (name not in recorded or not stored[name].pinned)
        ]
        return judged([*_imports(lacking), *pins], f"{count(len(self.images), 'image')}, pinned")

    def apply(self, node: Node) -> str:
        """Imports and pins the sandbox image first, then the rest in one stream, each blob once."""
        stored = self.store.demand(node)
        lacking = lacking_images(self.images, stored)
        pause = self.bundle.index.pause.reference
        first = [image for image in lacking if image.reference == pause]
        rest = [image for image in lacking if image.reference != pause]
        if not recorded_pins(node) >= pinned_names(self.images):
            record_pins(node, recorded_pins(node) | pinned_names(self.images))
        for group, later in ((first, rest), (rest, [])):
            if group:
                self._import(node, group, later)
        for name in unpinned_names([image for image in self.images if image not in lacking], stored):
            self.store.pin(node, name)
        return f"{count(len(lacking), 'image')}, {size(self._size_bytes(lacking))}, pinned"

    def _size_bytes(self, images: Iterable[BundledImage]) -> int:
        sizes: dict[Digest, int] = {}
        for image in images:
            sizes |= stored_sizes(self.bundle.index, image, self.platform)
        return sum(sizes.values())

    def _import(self, node: Node, images: Sequence[BundledImage], later: Sequence[BundledImage]) -> None:
        """Streams ``images``, each blob once, and pins every name."""
        timeout_seconds = _SECONDS_AT_LEAST + self._size_bytes(images) / _SLOWEST_BYTES_PER_SECOND
        tar = self.bundle.oci_tar(images, (self.platform,), later)
        names = [name for image in images for name in image.names()]
        try:
            self.store.import_pinned(node, tar, names, timeout_seconds=timeout_seconds)
        except CommandError as error:
            needed_bytes = kept_bytes(self.bundle.index, images, self.platform)
            raise explained(error, node, self.store.root, needed_bytes) from error


def _imports(images: Iterable[BundledImage]) -> tuple[str, ...]:
    return tuple(f"import {image.reference}" for image in images)


def lacking_images(images: Iterable[BundledImage], stored: dict[str, StoredImage]) -> tuple[BundledImage, ...]:
    """Those of ``images`` that the store has not, or not whole, or whose name leads to another digest."""
    return tuple(image for image in images if not all(_has(stored.get(name), image) for name in image.names()))


def pinned_names(images: Iterable[BundledImage]) -> frozenset[str]:
    """Every name of ``images``: the ones that are pinned."""
    return frozenset(name for image in images for name in image.names())


def unpinned_names(images: Iterable[BundledImage], stored: dict[str, StoredImage]) -> tuple[str, ...]:
    """The names of ``images`` that are not pinned in the store."""
    names = (name for image in images for name in image.names())
    return tuple(name for name in names if name not in stored or not stored[name].pinned)


def _has(found: StoredImage | None, image: BundledImage) -> bool:
    return found is not None and found.digest in image.stored_digests and found.whole
