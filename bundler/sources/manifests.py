"""Image indexes and manifests as registries serve them, OCI and Docker alike, read from raw bytes.

The bytes stay what they are; this only looks at them. Fields that a newer specification may add are not an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bundler.errors import FormatError
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.mediatypes import DOCKER_CONFIG, INDEXES, MANIFESTS, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from installer.bundle.platform import Platform
from installer.bundle.strict import Fields, Problems

MOST_MANIFEST_BYTES = 8 * 1024 * 1024
"""Registries must take manifests of 4 MiB; nothing real comes near twice that."""
MOST_ENTRIES = 512
_VARIANTS = {"amd64": ("", "v1"), "arm64": ("", "v8")}
"""The variants every machine of the architecture runs: the base line, said or unsaid."""


class ArtifactError(FormatError):
    """A manifest as it should be, of something else than a container image."""


@dataclass(frozen=True)
class IndexEntry:
    """One entry of an index; ``os``, ``architecture`` and ``variant`` are empty where the index says nothing."""

    blob: Descriptor
    os: str
    architecture: str
    variant: str
    is_attestation: bool
    is_artifact: bool = False

    @property
    def has_platform(self) -> bool:
        """Whether the index says which platform this entry is for."""
        return bool(self.os or self.architecture)

    @property
    def is_unknown(self) -> bool:
        """Whether it is for no machine: an attestation, or ``unknown/unknown``."""
        return self.is_attestation or self.os == "unknown" or self.architecture == "unknown"

    def fits(self, platform: Platform) -> bool:
        """Whether a machine of ``platform`` runs it, by what the index says."""
        architecture = platform.architecture
        wanted = ("linux", architecture)
        return (self.os, self.architecture) == wanted and self.variant in _VARIANTS[architecture]

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class ImageIndex:
    """An index or Docker manifest list. Entries of unknown media types are left out, as the specification asks."""

    media_type: str
    entries: tuple[IndexEntry, ...]


@dataclass(frozen=True)
class ImageManifest:
    """The manifest of one platform's image."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


def parse_manifest(data: bytes, content_type: str, *, where: str) -> ImageIndex | ImageManifest:
    """What ``data`` is, by its own ``mediaType``, else the ``Content-Type`` it came with, else its shape.

    Raises :class:`FormatError` for anything that is not an image index or manifest, or contradicts itself.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise FormatError("not an image manifest", where=where, wanted="JSON", got=content_type or repr(data[:40]))
    media_type = _media_type(document, content_type.partition(";")[0].strip().lower(), where)
    problems = Problems()
    fields = Fields(document, problems)
    parsed = _index(fields, media_type) if media_type in INDEXES else _manifest(fields, media_type)
    problems.check("the registry's answer is not an image manifest", FormatError, where=where)
    if isinstance(parsed, ImageManifest):
        _demand_image(parsed, where)
    return parsed


def _media_type(document: dict[str, Any], content_type: str, where: str) -> str:
    stated = document.get("mediaType")
    known = INDEXES | MANIFESTS
    if document.get("schemaVersion") == 1:
        raise FormatError(
            "an image in the retired Docker schema 1",
            where=where,
            wanted="an OCI or Docker schema 2 image",
            got=content_type or "schemaVersion 1",
            next_step="ask for a newer tag: no current container runtime reads this one",
        )
    if "manifests" in document and ("layers" in document or "config" in document):
        raise FormatError("an image manifest that is an index as well", where=where)
    if stated is not None and (stated not in known or (content_type in known and content_type != stated)):
        raise FormatError(
            "not a container image", where=where, wanted="one image media type", got=f"{stated} sent as {content_type}"
        )
    if stated is not None:
        return str(stated)
    if content_type in known:
        return content_type
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def _index(fields: Fields, media_type: str) -> ImageIndex:
    items = list(fields.mappings("manifests"))
    if len(items) > MOST_ENTRIES:
        fields.note("manifests", f"wanted at most {MOST_ENTRIES} entries, got {len(items)}")
        items = []
    known = INDEXES | MANIFESTS
    return ImageIndex(media_type, tuple(_entry(item) for item in items if item.raw("mediaType") in known))


def _entry(fields: Fields) -> IndexEntry:
    platform = fields.mapping("platform", optional=True)
    annotations = fields.mapping("annotations", optional=True)
    return IndexEntry(
        _descriptor(fields),
        platform.text("os", ""),
        platform.text("architecture", ""),
        platform.text("variant", ""),
        annotations.raw("vnd.docker.reference.type") is not None,
        fields.raw("artifactType") is not None,
    )


def _manifest(fields: Fields, media_type: str) -> ImageManifest:
    config = _descriptor(fields.mapping("config"))
    return ImageManifest(media_type, config, tuple(_descriptor(item) for item in fields.mappings("layers")))


def _descriptor(fields: Fields) -> Descriptor:
    return Descriptor(fields.parsed("digest", Digest), fields.integer("size"), fields.text("mediaType"))


def _demand_image(manifest: ImageManifest, where: str) -> None:
    if manifest.config.media_type not in (OCI_CONFIG, DOCKER_CONFIG):
        raise ArtifactError(
            "an artifact, not a container image",
            where=where,
            wanted=OCI_CONFIG,
            got=manifest.config.media_type,
            next_step="check the reference: a chart or a signature may have the name of an image",
        )
    for layer in manifest.layers:
        if "foreign" in layer.media_type or "nondistributable" in layer.media_type:
            raise FormatError(
                "a layer that its registry may not distribute",
                where=where,
                wanted="layers that travel with their image",
                got=f"{layer.media_type}, {layer.digest}",
                next_step="leave the image out, or use one that is built with all of its layers",
            )


def config_platform(data: bytes, *, where: str) -> str:
    """``os/architecture`` as the image's own config says, with the variant if not every such machine runs it."""
    try:
        document = json.loads(data)
        name, variant = f"{document['os']}/{document['architecture']}", document.get("variant") or ""
        return name if variant in _VARIANTS.get(document["architecture"], ("",)) else f"{name}/{variant}"
    except (ValueError, RecursionError, LookupError, TypeError):
        raise FormatError("not an image config", where=where, wanted="JSON with os and architecture") from None
