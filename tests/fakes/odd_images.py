"""Images of shapes that are rare and allowed: many layers, none, shared, empty, lazily pulled ones, and odd indexes."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import struct
import tarfile
from collections.abc import Iterable
from typing import Any

import zstandard

from installer.bundle import mediatypes
from tests.fakes.images import noise, tar_of
from tests.lab.images import ImageParts, digest_of

GZIP = f"{mediatypes.OCI_LAYER}+gzip"
ZSTD = mediatypes.OCI_LAYER_ZSTD
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
Layer = tuple[str, bytes, bytes]
"""Media type, the bytes as they travel, and the tar in them."""


def estargz(files: dict[str, bytes]) -> Layer:
    """A layer as stargz-snapshotter writes it: a gzip member for each file, a table of contents, and a footer."""
    tar = tar_of({**files, "stargz.index.json": json.dumps({"version": 1, "entries": sorted(files)}).encode()})
    cuts = [0, *_headers(tar), len(tar)]
    pieces = [gzip.compress(tar[start:end], mtime=0) for start, end in itertools.pairwise(cuts) if end > start]
    offset = sum(map(len, pieces[:-1]))
    extra = b"SG" + struct.pack("<H", 22) + f"{offset:016x}STARGZ".encode()
    footer = b"\x1f\x8b\x08\x04" + bytes(4) + b"\0\xff" + struct.pack("<H", len(extra)) + extra
    footer += b"\x01\0\0\xff\xff" + bytes(8)
    return GZIP, b"".join(pieces) + footer, tar


def zstd_chunked(files: dict[str, bytes]) -> Layer:
    """A layer as podman writes it: a zstd frame for each file, then skippable frames with the table and a footer."""
    tar = tar_of(files)
    cuts = [0, *_headers(tar), len(tar)]
    pieces = [zstandard.compress(tar[start:end]) for start, end in itertools.pairwise(cuts) if end > start]
    table = zstandard.compress(json.dumps({"version": 1, "entries": sorted(files)}).encode())
    return ZSTD, b"".join(pieces) + _skippable(table) + _skippable(bytes(56) + b"GNUlInUx"), tar


def plain(media_type: str, tar: bytes) -> Layer:
    """A layer with one compressed piece, or as it is."""
    compressors = {GZIP: lambda data: gzip.compress(data, mtime=0), ZSTD: zstandard.compress, FOREIGN: gzip.compress}
    return media_type, compressors.get(media_type, bytes)(tar), tar


def add_image(parts: ImageParts, layers: Iterable[Layer], architecture: str = "amd64", **more: Any) -> dict[str, Any]:
    """Adds one platform's image; its descriptor, and the one that a tag names unless an index comes later."""
    held = list(layers)
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for _, _, tar in held]},
        }
    ).encode()
    is_foreign = any(media_type == FOREIGN for media_type, _, _ in held)
    document = {
        "schemaVersion": 2,
        "mediaType": mediatypes.DOCKER_MANIFEST if is_foreign else mediatypes.OCI_MANIFEST,
        "config": {
            "mediaType": mediatypes.DOCKER_CONFIG if is_foreign else mediatypes.OCI_CONFIG,
            "size": len(config),
            "digest": parts.add_blob(config),
        },
        "layers": [_layer(parts, media_type, data) for media_type, data, _ in held],
        **more,
    }
    descriptor = parts.add_manifest(document)
    parts.top = descriptor["digest"]
    return descriptor


def add_artifact(parts: ImageParts) -> dict[str, Any]:
    """Adds a signature as OCI 1.0 tools push it: a manifest whose config is of a kind of its own."""
    payload, config = b'{"critical": {}}', b"{}"
    return parts.add_manifest(
        {
            "schemaVersion": 2,
            "mediaType": mediatypes.OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.example.signature.v1+json",
                "size": len(config),
                "digest": parts.add_blob(config),
            },
            "layers": [
                {"mediaType": "application/vnd.example", "size": len(payload), "digest": parts.add_blob(payload)}
            ],
        }
    )


def add_index(parts: ImageParts, *entries: dict[str, Any]) -> None:
    """Adds the index that the tag names."""
    document = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": list(entries)}
    parts.top = parts.add_manifest(document)["digest"]


def on(architecture: str, variant: str = "") -> dict[str, Any]:
    """What an index entry says of its platform."""
    return {"platform": {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})}


def single(*layers: Layer) -> ImageParts:
    """One manifest, no index."""
    parts = ImageParts()
    add_image(parts, layers)
    return parts


def odd_images() -> dict[str, ImageParts]:
    """One image of each odd and allowed shape, by its reference."""
    empty = plain(GZIP, bytes(1024))
    shared = plain(GZIP, tar_of({"shared": noise(50_000, 50)}))
    made = {
        "many": single(*(plain(GZIP, tar_of({f"file{number}": b"%d" % number})) for number in range(400))),
        "none": single(),
        "empty": single(empty, plain(GZIP, tar_of({"a": b"a"})), empty),
        "stored": single(plain(mediatypes.OCI_LAYER, tar_of({"plain": noise(3_000, 51)}))),
        "estargz": single(estargz({f"lazy{number}": noise(9_000, number) for number in range(5)})),
        "chunked": single(zstd_chunked({f"lazy{number}": noise(9_000, number) for number in range(5)})),
        **{f"sharing{number}": single(shared, plain(GZIP, tar_of({"own": b"%d" % number}))) for number in range(12)},
    }
    variants, artifacts = ImageParts(), ImageParts()
    machines = (("arm", "v6"), ("arm", "v7"), ("arm64", "v8"), ("amd64", "v3"), ("amd64", ""))
    add_index(
        variants,
        *(
            add_image(variants, [plain(GZIP, tar_of({"for": f"{name}{variant}".encode()}))], name) | on(name, variant)
            for name, variant in machines
        ),
    )
    add_index(artifacts, add_artifact(artifacts), add_image(artifacts, [plain(GZIP, tar_of({"it": b"runs"}))]))
    made |= {"variants": variants, "artifacts": artifacts}
    return {f"quay.io/odd/{name}:v1": parts for name, parts in made.items()}


def _headers(tar: bytes) -> list[int]:
    """Where each file of the tar begins."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return [member.offset for member in archive if member.offset]


def _skippable(data: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


def _layer(parts: ImageParts, media_type: str, data: bytes) -> dict[str, Any]:
    descriptor = {"mediaType": media_type, "size": len(data), "digest": parts.add_blob(data)}
    return descriptor | ({"urls": ["https://elsewhere.invalid/layer"]} if media_type == FOREIGN else {})
