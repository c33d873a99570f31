"""What a node imports of a dense bundle: manifests of its own, and layers packed while they are streamed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import Protocol

from installer.bundle.dense import packed, packed_manifest
from installer.bundle.denselayer import DenseLayer
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.errors import IntegrityError
from installer.bundle.index import BundledImage, BundleIndex, PlatformImage
from installer.bundle.layout import blob_name, document, oci_documents, padding, tar_header
from installer.bundle.mediatypes import OCI_MANIFEST
from installer.bundle.platform import Platform


class Content(Protocol):
    """An open bundle's index and blobs."""

    @property
    def index(self) -> BundleIndex:
        """What the bundle holds."""

    def chunks(self, digest: Digest, later: Collection[Digest], /) -> Iterator[bytes]:
        """A blob's content piece by piece, verified at its end, and what blobs are wanted later."""


class DenseTar:
    """Streams images of ``bundle`` for a node that is one of ``platforms``; the blobs in ``later`` are wanted again."""

    def __init__(self, bundle: Content, platforms: tuple[Platform, ...], later: Collection[Digest] = ()) -> None:
        self._bundle = bundle
        self._index = bundle.index
        self._platforms = platforms
        self._later = later
        self._documents: dict[Digest, bytes] = {}

    def parts(self, images: tuple[BundledImage, ...]) -> Iterator[bytes]:
        """The documents, manifests and configs, then each layer once, in the order in which the bundle holds them."""
        chosen = {image.reference: self._platform_image(image) for image in images}
        manifests = {digest: self._manifest(its) for its in chosen.values() if (digest := its.packed_manifest)}
        named = {
            name: Descriptor(digest, len(manifests[digest]), OCI_MANIFEST)
            for image in images
            for name in image.names()
            if (digest := chosen[image.reference].packed_manifest)
        }
        mtime_seconds = self._index.created_seconds
        yield from oci_documents(named, mtime_seconds)
        configs = {its.config: self._bytes(its.config) for its in chosen.values()}
        for digest, content in {**manifests, **configs}.items():
            yield document(blob_name(digest), content, mtime_seconds)
        by_blob = {
            layer.diff_id: layer
            for its in chosen.values()
            for layer in (self._index.dense_layers[digest] for digest in its.layers)
        }
        for blob in self._index.blobs:
            if blob.digest in by_blob:
                yield from self._layer(by_blob[blob.digest])

    def _platform_image(self, image: BundledImage) -> PlatformImage:
        return next(image.platforms[platform] for platform in self._platforms if platform in image.platforms)

    def _manifest(self, image: PlatformImage) -> bytes:
        where = f"manifest {image.manifest}"
        manifest, config = self._bytes(image.manifest), self._bytes(image.config)
        made = packed_manifest(manifest, config, self._index.dense_layers, where)
        if Digest.of(made) != image.packed_manifest:
            raise IntegrityError("wrong bytes", where=where, wanted=image.packed_manifest, got=Digest.of(made))
        return made

    def _layer(self, layer: DenseLayer) -> Iterator[bytes]:
        size_bytes = layer.packed_size_bytes
        yield tar_header(blob_name(layer.packed_digest), size_bytes, self._index.created_seconds)
        digest = hashlib.sha256()
        for piece in packed(self._bundle.chunks(layer.diff_id, self._later)):
            digest.update(piece)
            yield piece
        got = f"sha256:{digest.hexdigest()}"
        if got != layer.packed_digest:
            raise IntegrityError(
                "a layer was packed to other bytes than the builder said",
                where=f"layer {layer.digest}",
                wanted=layer.packed_digest,
                got=got,
                next_step="build the bundle again with --layers registry, and report this",
            )
        yield padding(size_bytes)

    def _bytes(self, digest: Digest) -> bytes:
        """A manifest or a config, which is wanted twice and read once."""
        if digest not in self._documents:
            self._documents[digest] = b"".join(self._bundle.chunks(digest, self._later))
        return self._documents[digest]
