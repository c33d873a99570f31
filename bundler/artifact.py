"""A media set as an OCI artifact: one layer for each file, and the same manifest for the same set, byte for byte.

The layout is the one that ``oras push`` makes and ``oras pull`` reads: the empty config, ``artifactType``, and each
file's name in ``org.opencontainers.image.title``. Signatures and SBOMs refer to the manifest as their ``subject``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bundler.errors import FormatError, InputError, IntegrityError
from installer.bundle.digest import Digest
from installer.bundle.layout import INDEX_NAME
from installer.bundle.mediatypes import OCI_INDEX, OCI_MANIFEST, OCTET_STREAM
from installer.bundle.reader import TARBALL_SUFFIX
from installer.bundle.sums import INSTALL_NAME, SUMS_NAME, is_signature

MEDIA_SET = "application/vnd.airgap-bundle.media-set.v1"
SIGNATURE = "application/vnd.airgap-bundle.signature.v1"
SPDX = "application/spdx+json"
CYCLONEDX = "application/vnd.cyclonedx+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
IDENTITY = "vnd.airgap-bundle.identity"
_TITLE = "org.opencontainers.image.title"
_CREATED = "org.opencontainers.image.created"
_TYPES = {
    INSTALL_NAME: "application/vnd.airgap-bundle.install.v1",
    INDEX_NAME: "application/vnd.airgap-bundle.index.v1+json",
    SUMS_NAME: "application/vnd.airgap-bundle.sums.v1",
    "sbom.spdx.json": SPDX,
    "sbom.cdx.json": CYCLONEDX,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class ArtifactFile:
    """A file of a media set: its ``name``, digest, size and media type."""

    name: str
    digest: Digest
    size_bytes: int
    media_type: str

    @classmethod
    def of(cls, name: str, digest: Digest, size_bytes: int) -> ArtifactFile:
        """The file with the media type that follows from its name."""
        kind = f"{MEDIA_SET}.tar+zstd" if name.endswith(TARBALL_SUFFIX) else OCTET_STREAM
        return cls(name, digest, size_bytes, SIGNATURE if is_signature(name) else _TYPES.get(name, kind))

    @property
    def is_executable(self) -> bool:
        """Whether it is a program, in a registry where no mode is kept."""
        return self.name == INSTALL_NAME

    def to_dict(self) -> dict[str, Any]:
        """The layer's descriptor."""
        return {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size_bytes,
            "annotations": {_TITLE: self.name},
        }


@dataclass(frozen=True)
class Artifact:
    """A manifest read back: what kind of artifact it is, and its files by name."""

    artifact_type: str
    files: Mapping[str, ArtifactFile]
    annotations: Mapping[str, str]


def is_attached(name: str) -> bool:
    """Whether a file refers to the media set as its subject, so that tools find it beside the set."""
    return is_signature(name) or _TYPES.get(name) in (SPDX, CYCLONEDX)


def media_set_manifest(files: Iterable[ArtifactFile], identity: Digest, version: str, created_seconds: int) -> bytes:
    """The manifest of a media set: a function of its files and of what ``bundle.json`` says."""
    annotations = {
        _CREATED: _time(created_seconds),
        "org.opencontainers.image.version": version,
        IDENTITY: str(identity),
    }
    return _encoded(_manifest(MEDIA_SET, sorted(files, key=lambda file: file.name), annotations))


def attached_manifest(file: ArtifactFile, subject: bytes, created_seconds: int) -> bytes:
    """The manifest of a signature or an SBOM, which refers to the media set's manifest ``subject``."""
    document = _manifest(file.media_type, [file], {_CREATED: _time(created_seconds)})
    document["subject"] = descriptor(subject)
    return _encoded(document)


def descriptor(manifest: bytes) -> dict[str, Any]:
    """The descriptor of a manifest."""
    return {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(manifest)), "size": len(manifest)}


def fallback_tag(subject: Digest) -> str:
    """The tag under which a registry without the referrers API keeps the list of what refers to a manifest."""
    return subject.replace(":", "-")


def with_referrer(found: bytes | None, manifest: bytes, where: str) -> bytes | None:
    """The list of referrers ``found`` there with one more; ``None`` where it has that one already."""
    document = json.loads(manifest)
    entry = {**descriptor(manifest), "artifactType": document["artifactType"], "annotations": document["annotations"]}
    entries = [] if found is None else referrers_in(found, where)
    if any(known.get("digest") == entry["digest"] for known in entries):
        return None
    return _encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, entry]})


def referrers_in(data: bytes, where: str) -> list[dict[str, Any]]:
    """The descriptors in a list of referrers; :class:`FormatError` for anything else."""
    try:
        entries = json.loads(data)["manifests"]
        if all(isinstance(entry, dict) for entry in entries):
            return list(entries)
    except (ValueError, RecursionError, LookupError, TypeError):
        pass
    raise FormatError("not a list of referrers", where=where, wanted="an OCI image index")


def read_artifact(data: bytes, where: str) -> Artifact:
    """The artifact of a manifest; :class:`FormatError` where it is none whose layers are named files."""
    try:
        document = json.loads(data)
        files = [_file(layer) for layer in document["layers"]]
        kind = str(document.get("artifactType") or document["config"]["mediaType"])
        annotations = {str(key): str(value) for key, value in (document.get("annotations") or {}).items()}
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError, FormatError):
        raise FormatError(
            "not an artifact of named files",
            where=where,
            wanted="an OCI manifest whose layers have a name, a digest and a size",
            next_step="name the reference that bundle push printed",
        ) from None
    names = {file.name: file for file in files}
    if len(names) != len(files):
        raise FormatError("two layers of the artifact have one name", where=where, got=", ".join(sorted(names)))
    return Artifact(kind, names, annotations)


def demand_media_set(artifact: Artifact, where: str) -> None:
    """Raises :class:`InputError` for an artifact of another kind."""
    if artifact.artifact_type != MEDIA_SET:
        raise InputError(
            "not a media set",
            where=where,
            wanted=f"an artifact of the type {MEDIA_SET}",
            got=artifact.artifact_type[:200],
            next_step="name the reference that bundle push printed",
        )


def demand_agreement(artifact: Artifact, sums: Mapping[str, Digest], where: str) -> None:
    """Raises :class:`IntegrityError` unless the layers are the files that ``SHA256SUMS`` lists, by name and digest."""
    layers = {name: file.digest for name, file in artifact.files.items() if name != SUMS_NAME}
    if layers != dict(sums):
        differ = sorted(name for name in {*layers, *sums} if layers.get(name) != sums.get(name))
        raise IntegrityError(
            "the artifact's layers are not the files that SHA256SUMS lists",
            where=where,
            wanted=", ".join(f"{name} {sums[name].short}" if name in sums else f"no {name}" for name in differ),
            got=", ".join(f"{name} {layers[name].short}" if name in layers else f"no {name}" for name in differ),
            next_step="push the media set again from where it was built",
        )


def _file(layer: Any) -> ArtifactFile:
    name, size_bytes = layer["annotations"][_TITLE], layer["size"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(name)
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
        raise ValueError(size_bytes)
    return ArtifactFile(name, Digest(layer["digest"]), size_bytes, str(layer["mediaType"]))


def _manifest(artifact_type: str, files: Iterable[ArtifactFile], annotations: Mapping[str, str]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": {"mediaType": EMPTY_TYPE, "digest": str(Digest.of(EMPTY)), "size": len(EMPTY)},
        "layers": [file.to_dict() for file in files],
        "annotations": dict(annotations),
    }


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
