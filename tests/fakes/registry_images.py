"""Tiny images in the real formats: OCI and Docker, one platform or many, gzip and zstd layers, nested indexes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from typing import Any

import zstandard

from installer.bundle.digest import Digest
from installer.bundle.mediatypes import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)

_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class Document:
    """A manifest or index: its bytes, its media type, and what a registry must have before it takes it."""

    body: bytes
    media_type: str
    blobs: tuple[bytes, ...] = ()
    documents: tuple[Document, ...] = ()

    @property
    def digest(self) -> Digest:
        """The digest of its bytes."""
        return Digest.of(self.body)

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """What an index says of it, with further fields."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body), **more}

    def every_blob(self) -> set[bytes]:
        """The blobs of it and of everything below it."""
        return set(self.blobs).union(*(document.every_blob() for document in self.documents))


def layer(text: str, compression: str = "gzip") -> bytes:
    """A layer with one file that says ``text``."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        member = tarfile.TarInfo("hello")
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
    if compression == "zstd":
        return zstandard.ZstdCompressor().compress(raw.getvalue())
    return gzip.compress(raw.getvalue(), mtime=0)


def image(
    architecture: str, *texts: str, docker: bool = False, compression: str = "gzip", states_type: bool = True
) -> Document:
    """One platform's image, a layer for each text; without ``states_type`` the bytes leave ``mediaType`` out."""
    config = _bytes({"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}})
    layers = [layer(text, compression) for text in texts or (architecture,)]
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    document = {
        "schemaVersion": 2,
        "config": _descriptor(config, DOCKER_CONFIG if docker else OCI_CONFIG),
        "layers": [_descriptor(item, _DOCKER_LAYER if docker else f"{_OCI_LAYER}+{compression}") for item in layers],
    }
    if states_type:
        document["mediaType"] = media_type
    return Document(_bytes(document), media_type, (config, *layers))


def attestation() -> Document:
    """A build attestation, as buildkit adds one per platform."""
    statement = b'{"_type": "https://in-toto.io/Statement/v0.1"}'
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(b"{}", OCI_CONFIG),
        "layers": [_descriptor(statement, "application/vnd.in-toto+json")],
    }
    return Document(_bytes(document), OCI_MANIFEST, (b"{}", statement))


def index(*entries: tuple[Document, dict[str, Any]], docker: bool = False) -> Document:
    """An index of documents, each with the further fields of its entry (see :func:`on`)."""
    media_type = DOCKER_INDEX if docker else OCI_INDEX
    manifests = [document.descriptor(**more) for document, more in entries]
    body = _bytes({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests})
    return Document(body, media_type, (), tuple(document for document, _ in entries))


def on(architecture: str, variant: str | None = None, os: str = "linux") -> dict[str, Any]:
    """The fields of an index entry for a platform."""
    platform = {"os": os, "architecture": architecture}
    return {"platform": platform | ({"variant": variant} if variant else {})}


def _descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": Digest.of(data), "size": len(data)}


def _bytes(document: dict[str, Any]) -> bytes:
    # Indented oddly on purpose: a digest only holds for bytes that nobody wrote anew.
    return json.dumps(document, indent=3).encode()
