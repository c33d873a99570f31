"""Turns the index of a bundle into that of a dense one: layers as plain tars, and what a node will make of them.

Each layer is read through twice: here, to know its tar's size and what it is packed to, and when the tarball is
written. What is learnt here is kept by digest beside the store and never expires, so a later build reads it once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bundler.errors import FormatError
from bundler.measure import unpacked
from bundler.records import write_record
from installer.bundle import mediatypes
from installer.bundle.dense import PACK_LEVEL, ZSTD, diff_ids, packed, packed_manifest
from installer.bundle.denselayer import DenseLayer
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import BundledImage, BundleIndex
from installer.bundle.layout import groups
from installer.bundle.ordered import ordered_map
from installer.bundle.pack import BlobSource, VerifiedReader

_MOST_DOCUMENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class _Measured:
    """What only a layer's bytes tell: its tar's size, and digest and size of what that is packed to."""

    size_bytes: int
    packed_digest: str
    packed_size_bytes: int


class DenseLayers:
    """Measures layers; ``folder`` keeps what was learnt."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / f"zstd-{ZSTD}-{PACK_LEVEL}"

    def densified(
        self, index: BundleIndex, blobs: BlobSource, *, jobs: int, progress: Callable[[int], None]
    ) -> BundleIndex:
        """``index`` with its layers held as plain tars; :class:`FormatError` for an image that does not allow it.

        ``progress`` gets the size of each layer once it is known what becomes of it.
        """
        descriptors = index.descriptors()
        known = dict(pair for image in index.images for pair in _layers_of(image, descriptors, blobs))
        layers, plain = [], {}
        measured = ordered_map(
            lambda item: self._measured(descriptors[item[0]], item[1], blobs), known.items(), jobs=jobs
        )
        for (digest, diff_id), found in zip(known.items(), measured, strict=True):
            layers.append(DenseLayer(digest, diff_id, Digest(found.packed_digest), found.packed_size_bytes))
            progress(descriptors[digest].size_bytes)
            plain[diff_id] = Descriptor(diff_id, found.size_bytes, mediatypes.OCI_LAYER)
        by_digest = {layer.digest: layer for layer in layers}
        others = tuple(blob for blob in index.blobs if blob.digest not in by_digest)
        dense = replace(
            index,
            zstd=ZSTD,
            layers=tuple(sorted(layers, key=lambda layer: layer.digest)),
            images=tuple(_with_packed_manifests(image, by_digest, blobs) for image in index.images),
            blobs=(*others, *plain.values()),
        )
        return replace(dense, blobs=_ordered(dense))

    def _measured(self, blob: Descriptor, diff_id: Digest, blobs: BlobSource) -> _Measured:
        path = self._folder / blob.digest.hex
        try:
            return _Measured(**json.loads(path.read_text(encoding="ascii")))
        except (FileNotFoundError, ValueError, TypeError):
            found = _measure(blob, diff_id, blobs)
        write_record(path, f"{json.dumps(asdict(found))}\n".encode("ascii"))
        return found


class PlainLayers:
    """A :class:`BlobSource` that has the plain tars of a dense ``index`` besides what ``blobs`` has."""

    def __init__(self, index: BundleIndex, descriptors: Iterable[Descriptor], blobs: BlobSource) -> None:
        served = {blob.digest: blob for blob in descriptors}
        self._served = {layer.diff_id: served[layer.digest] for layer in index.layers}
        self._blobs = blobs

    def open(self, digest: Digest, /) -> AbstractContextManager[VerifiedReader]:
        """The blob for reading."""
        if digest in self._served:
            return _plain(self._served[digest], digest, self._blobs)
        return self._blobs.open(digest)


@contextmanager
def _plain(blob: Descriptor, diff_id: Digest, blobs: BlobSource) -> Iterator[VerifiedReader]:
    with blobs.open(blob.digest) as reader:
        yield _Plain(unpacked(reader, blob), diff_id, f"layer {blob.digest}")


class _Plain:
    """A tar that must have the digest ``wanted``, in the pieces it is unpacked to."""

    def __init__(self, parts: Iterator[bytes], wanted: Digest, where: str) -> None:
        self._parts = parts
        self._wanted = wanted
        self._where = where
        self._hash = hashlib.sha256()

    def read(self, _size: int = -1, /) -> bytes:
        """The next piece; :class:`FormatError` at the end of another tar."""
        part = next(self._parts, b"")
        self._hash.update(part)
        got = "" if part else f"sha256:{self._hash.hexdigest()}"
        if got and got != self._wanted:
            raise FormatError(
                "a layer is not the one that its image's config names",
                where=self._where,
                wanted=self._wanted,
                got=got,
                next_step="report it to the image's publisher; --layers registry carries it as it is",
            )
        return part


def _measure(blob: Descriptor, diff_id: Digest, blobs: BlobSource) -> _Measured:
    size_bytes = 0

    def counted(reader: VerifiedReader) -> Iterator[bytes]:
        nonlocal size_bytes
        while part := reader.read():
            size_bytes += len(part)
            yield part

    digest, packed_bytes = hashlib.sha256(), 0
    with _plain(blob, diff_id, blobs) as reader:
        for piece in packed(counted(reader)):
            digest.update(piece)
            packed_bytes += len(piece)
    return _Measured(size_bytes, f"sha256:{digest.hexdigest()}", packed_bytes)


def _layers_of(
    image: BundledImage, descriptors: dict[Digest, Descriptor], blobs: BlobSource
) -> Iterator[tuple[Digest, Digest]]:
    """Each layer's digest in the registry with its tar's."""
    for its in image.platforms.values():
        where = str(image.reference)
        named = diff_ids(_document(its.config, blobs), where)
        strange = [
            descriptors[layer].media_type
            for layer in its.layers
            if descriptors[layer].media_type not in mediatypes.LAYERS
        ]
        if strange or len(named) != len(its.layers):
            raise FormatError(
                "an image's layers cannot be held as plain tars",
                where=where,
                wanted="a tar for each diff_id of its config",
                got=", ".join(strange) or f"{len(its.layers)} layers and {len(named)} diff_ids",
                next_step="build with --layers registry, which carries layers as they are",
            )
        yield from zip(its.layers, named, strict=True)


def _with_packed_manifests(image: BundledImage, layers: dict[Digest, DenseLayer], blobs: BlobSource) -> BundledImage:
    def packed_digest(manifest: Digest, config: Digest) -> Digest:
        made = packed_manifest(_document(manifest, blobs), _document(config, blobs), layers, str(image.reference))
        return Digest.of(made)

    platforms = {
        platform: replace(its, packed_manifest=packed_digest(its.manifest, its.config))
        for platform, its in image.platforms.items()
    }
    return replace(image, platforms=platforms)


def _document(digest: Digest, blobs: BlobSource) -> bytes:
    """A manifest or config, which is small."""
    with blobs.open(digest) as reader:
        data = b"".join(iter(lambda: reader.read(_MOST_DOCUMENT_BYTES), b""))
    if len(data) > _MOST_DOCUMENT_BYTES:
        raise FormatError("an image's manifest or config is too large", where=digest, got=f"{len(data)} bytes")
    return data


def _ordered(index: BundleIndex) -> tuple[Descriptor, ...]:
    """What is compressed together last, and what most need first; within that, what is alike side by side."""
    together = groups(index)
    names: dict[Digest, str] = {item.blob: f"0 {item.component}" for item in index.files}
    for image in index.images:
        for digest in index.held(image):
            names.setdefault(digest, f"1 {image.reference}")

    def order(blob: Descriptor) -> tuple[int, int, str, str, str]:
        group = together.get(blob.digest)
        if group is None:
            return 0, 0, "", "", ""
        return 1, -group.count(","), group, names[blob.digest], blob.digest

    return tuple(sorted(index.blobs, key=order))
