"""What images take in a node's image store: layers as they came, and once more unpacked."""

from __future__ import annotations

from collections.abc import Iterable

from installer.bundle.denselayer import DenseLayer
from installer.bundle.digest import Digest
from installer.bundle.index import BundledImage, BundleIndex
from installer.bundle.platform import Platform


def stored_sizes(index: BundleIndex, image: BundledImage, platform: Platform) -> dict[Digest, int]:
    """The bytes of each blob that the store keeps of ``image``, by digest: shared ones can be counted once."""
    blobs = index.descriptors()
    packed = {layer.packed_digest: layer.packed_size_bytes for layer in _dense(index, image, platform)}
    plain = {layer.diff_id for layer in _dense(index, image, platform)}
    return {
        digest: blobs[digest].size_bytes for digest in index.held(image, (platform,)) if digest not in plain
    } | packed


def plain_sizes(index: BundleIndex, image: BundledImage, platform: Platform) -> dict[Digest, int]:
    """The bytes of each layer's tar, by the layer's digest in the registry."""
    blobs = index.descriptors()
    layers = index.dense_layers
    sizes = {}
    for digest in image.platforms[platform].layers:
        blob = blobs[layers[digest].diff_id if digest in layers else digest]
        sizes[digest] = blob.unpacked_size_bytes if blob.unpacked_size_bytes is not None else blob.size_bytes
    return sizes


def _dense(index: BundleIndex, image: BundledImage, platform: Platform) -> list[DenseLayer]:
    layers = index.dense_layers
    return [layers[digest] for digest in image.platforms[platform].layers if digest in layers]


def kept_bytes(index: BundleIndex, images: Iterable[BundledImage], platform: Platform) -> int:
    """What ``images`` take in an image store, which keeps a layer twice: as it came, and unpacked."""
    stored: dict[Digest, int] = {}
    plain: dict[Digest, int] = {}
    for image in images:
        if platform in image.platforms:
            stored |= stored_sizes(index, image, platform)
            plain |= plain_sizes(index, image, platform)
    return sum(stored.values()) + sum(plain.values())
