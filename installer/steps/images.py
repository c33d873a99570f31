"""Importing images: streamed from the bundle into containerd, only those the role needs and the store lacks, pinned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from installer.bundle.index import BundledImage
from installer.bundle.platform import Platform
from installer.errors import StepError
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.steps.content import BundleContent
from installer.steps.imagestore import ImageStore, StoredImage
from installer.wording import count, size

_SECONDS_AT_LEAST = 1800.0
_SLOWEST_BYTES_PER_SECOND = 250_000
"""Under emulation an import runs at about 2 MB/s; a timeout is for what hangs, not for what is slow."""


@dataclass(frozen=True)
class ImportImages:
    """Every image of ``role`` under all its names, with its digest, whole, and pinned."""

    bundle: BundleContent
    role: str
    platform: Platform
    store: ImageStore
    id: str = "images/import"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{count(len(self._images), 'image')} imported and pinned"

    def check(self, view: NodeView) -> CheckResult:
        """Every name leads to the bundle's digest, complete and unpacked, and is pinned."""
        stored = self.store.read(view)
        if stored is None:
            changes = [f"import {image.reference}" for image in self._images]
            return CheckResult(False, "containerd does not answer", tuple(changes))
        lacking = lacking_images(self._images, stored)
        changes = [f"import {image.reference}" for image in lacking]
        changes += [f"pin {name}" for name in unpinned_names(self._images, stored) if name in stored]
        return CheckResult(not changes, f"{count(len(self._images), 'image')}, pinned", tuple(changes))

    def apply(self, node: Node) -> str:
        """Imports and pins the sandbox image first, then the rest in one stream, each blob once."""
        lacking = lacking_images(self._images, self.store.demand(node))
        pause = self.bundle.index.pause.reference
        first = [image for image in lacking if image.reference == pause]
        rest = [image for image in lacking if image.reference != pause]
        for group in (first, rest):
            if group:
                self._import(node, group)
        self._pin(node, self._images)
        return f"{count(len(lacking), 'image')}, {size(self._size_bytes(lacking))}, pinned"

    @property
    def _images(self) -> tuple[BundledImage, ...]:
        return self.bundle.index.images_for(self.role)

    def _size_bytes(self, images: Iterable[BundledImage]) -> int:
        sizes = self.bundle.index.descriptors()
        digests = {digest for image in images for digest in image.blobs((self.platform,))}
        return sum(sizes[digest].size_bytes for digest in digests)

    def _import(self, node: Node, images: Sequence[BundledImage]) -> None:
        timeout_seconds = _SECONDS_AT_LEAST + self._size_bytes(images) / _SLOWEST_BYTES_PER_SECOND
        tar = self.bundle.oci_tar(images, (self.platform,))
        self.store.import_tar(node, tar, timeout_seconds=timeout_seconds)
        if still := lacking_images(images, self.store.demand(node)):
            raise StepError(
                "containerd imported the images and does not have them all",
                where=f"image {still[0].reference}",
                wanted=f"{' and '.join(still[0].names())} at {still[0].blob}, complete and unpacked",
                got=f"{len(still)} of {len(images)} images missing, incomplete or at another digest",
                next_step="look at  journalctl -u containerd  and at the free space below its root folder",
            )
        self._pin(node, images)

    def _pin(self, node: Node, images: Iterable[BundledImage]) -> None:
        for name in unpinned_names(images, self.store.demand(node)):
            self.store.pin(node, name)


def lacking_images(images: Iterable[BundledImage], stored: dict[str, StoredImage]) -> tuple[BundledImage, ...]:
    """Those of ``images`` that the store has not, or not whole, or whose name leads to another digest."""
    return tuple(image for image in images if not all(_has(stored.get(name), image) for name in image.names()))


def unpinned_names(images: Iterable[BundledImage], stored: dict[str, StoredImage]) -> tuple[str, ...]:
    """The names of ``images`` that are not pinned in the store."""
    names = (name for image in images for name in image.names())
    return tuple(name for name in names if name not in stored or not stored[name].pinned)


def _has(found: StoredImage | None, image: BundledImage) -> bool:
    return found is not None and found.digest == image.blob and found.whole
