"""Dense bundles: layers are held as the plain tars that image configs name, and a node packs them anew.

A gzip'd layer cannot shrink further; the tars of many layers in one long-window zstd stream can. The chain of trust
holds without the registry's layer bytes: the manifest (kept as fetched) names the config, the config's ``diff_ids`` are
the digests of the plain tars. What a node's image store gets is a manifest of the same config whose layers are packed
by :func:`packed`: its bytes follow from the tar and the zstd library's version alone, so the builder can say beforehand
which digests they will have, and the node streams them without a temporary copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import zstandard

from installer.bundle.denselayer import DenseLayer
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.mediatypes import OCI_CONFIG, OCI_LAYER_ZSTD, OCI_MANIFEST
from installer.bundle.ordered import cut, ordered_map

ZSTD = ".".join(map(str, zstandard.ZSTD_VERSION))
"""The library's version; with another one :func:`packed` may give other bytes."""
PACK_LEVEL = 3
"""docs/adr/0023 has the measurements: at 1 containerd's disk would be larger than after the registry's layers."""
PACK_PIECE_BYTES = 4 * 1024 * 1024
_PACK_JOBS = 2
_NEXT_STEP = "build the bundle again with --layers registry, and report this"


def packed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The tar in ``parts`` as a zstd layer: pieces of 4 MiB, a frame each, in order; two threads at work."""

    def pack(piece: bytes) -> bytes:
        return zstandard.ZstdCompressor(level=PACK_LEVEL, write_content_size=True).compress(piece)

    yield from ordered_map(pack, cut(parts, PACK_PIECE_BYTES), jobs=_PACK_JOBS)


def packed_manifest(manifest: bytes, config: bytes, layers: Mapping[Digest, DenseLayer], where: str) -> bytes:
    """The manifest a node gets instead of the registry's: the same config, each layer as :func:`packed` makes it.

    ``layers`` are by the registry's digest. :class:`FormatError` unless the config's ``diff_ids`` are the layers' own.
    """
    document, digests, config_descriptor = _read_manifest(manifest, where)
    chosen = [layers.get(digest) for digest in digests]
    wanted = diff_ids(config, where)
    got = tuple(layer.diff_id if layer else None for layer in chosen)
    if got != wanted:
        raise FormatError(
            "the image's config does not name the layers that are here",
            where=where,
            wanted=", ".join(wanted),
            got=", ".join(str(digest) for digest in got),
            next_step=_NEXT_STEP,
        )
    described = [_descriptor(OCI_LAYER_ZSTD, layer.packed_digest, layer.packed_size_bytes) for layer in chosen if layer]
    made: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config_descriptor,
        "layers": described,
    }
    if "annotations" in document:
        made["annotations"] = document["annotations"]
    return json.dumps(made, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _read_manifest(manifest: bytes, where: str) -> tuple[dict[str, Any], list[Digest], dict[str, Any]]:
    """An image manifest, its layers, and its config as a node's manifest names it."""
    try:
        document = json.loads(manifest)
        digests = [Digest(item["digest"]) for item in document["layers"]]
        config = _descriptor(OCI_CONFIG, Digest(document["config"]["digest"]), document["config"]["size"])
    except (ValueError, RecursionError, LookupError, TypeError, FormatError):
        raise FormatError("not an image manifest", where=where, wanted="JSON with a config and layers") from None
    return document, digests, config


def diff_ids(config: bytes, where: str) -> tuple[Digest, ...]:
    """The digests of an image's plain layers, in order, as its config says."""
    try:
        found: Sequence[Any] = json.loads(config)["rootfs"]["diff_ids"]
        return tuple(Digest(item) for item in found)
    except (ValueError, RecursionError, LookupError, TypeError, FormatError):
        raise FormatError("not an image config", where=where, wanted="JSON with rootfs.diff_ids") from None


def _descriptor(media_type: str, digest: Digest, size_bytes: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest), "size": size_bytes}
