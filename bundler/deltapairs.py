"""Which old blob a new one is likely to be like: the same program, or the same place in the same image."""

from __future__ import annotations

from collections.abc import Iterator

from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import BundleIndex

_LEAST_BYTES = 64 * 1024
"""Below that a patch saves next to nothing."""


def pairs(old: BundleIndex, new: BundleIndex) -> Iterator[tuple[Descriptor, Descriptor]]:
    """Old and new blob, each new one once, both worth comparing: nothing that is compressed, nothing that is small."""
    before, after = old.descriptors(), new.descriptors()
    seen: set[Digest] = set()
    for was, now in (*_files(old, new), *_layers(old, new)):
        alike = [before[was], after[now]]
        if now in seen or was == now or now in before or any(blob.size_bytes < _LEAST_BYTES for blob in alike):
            continue
        if not any(mediatypes.is_compressed(blob.media_type) for blob in alike):
            seen.add(now)
            yield before[was], after[now]


def _files(old: BundleIndex, new: BundleIndex) -> Iterator[tuple[Digest, Digest]]:
    known = {(item.component, item.platform): item.blob for item in old.files}
    for item in new.files:
        if (was := known.get((item.component, item.platform))) is not None:
            yield was, item.blob


def _layers(old: BundleIndex, new: BundleIndex) -> Iterator[tuple[Digest, Digest]]:
    """Layers of dense bundles, by repository, platform and place; counted from the last one where numbers differ."""
    if not (old.layers and new.layers):
        return
    known = {
        (image.reference.repository, platform): its.layers
        for image in old.images
        for platform, its in image.platforms.items()
    }
    for image in new.images:
        for platform, its in image.platforms.items():
            was = known.get((image.reference.repository, platform), ())
            for before, after in zip(reversed(was), reversed(its.layers), strict=False):
                yield old.dense_layers[before].diff_id, new.dense_layers[after].diff_id
