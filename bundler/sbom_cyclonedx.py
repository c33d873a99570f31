"""The bill of materials as CycloneDX 1.6 JSON."""

from __future__ import annotations

import json
from typing import Any

from bundler.contents import Contents
from bundler.sbom import PROJECT, PROJECT_VERSION, Part, document_id, parts_of, timestamp
from installer.bundle.digest import Digest

NAME = "sbom.cdx.json"
_BUNDLE = "bundle"
_TYPES = {
    "file": "application",
    "image": "container",
    "manifest": "container",
    "chart": "application",
    "installer": "application",
    "runtime": "platform",
    "wheel": "library",
}


def cyclonedx_bytes(contents: Contents) -> bytes:
    """The whole document; the same contents give the same bytes."""
    parts = parts_of(contents)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{document_id(contents)}",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(contents),
            "tools": {"components": [{"type": "application", "name": PROJECT, "version": PROJECT_VERSION}]},
            "component": {
                "type": "platform",
                "bom-ref": _BUNDLE,
                "name": contents.name,
                "version": contents.kubernetes,
                "properties": _properties(identity=contents.identity, platforms=", ".join(contents.platforms)),
            },
        },
        "components": [_component(part) for part in parts],
        "dependencies": [{"ref": _BUNDLE, "dependsOn": [part.key for part in parts]}],
    }
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def _component(part: Part) -> dict[str, Any]:
    out: dict[str, Any] = {
        "type": _TYPES[part.kind],
        "bom-ref": part.key,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
    }
    if part.digest:
        out["hashes"] = _hashes(part.digest)
    if part.license:
        out["licenses"] = [{"expression": part.license}]
    if part.url:
        out["externalReferences"] = [{"type": "distribution", "url": part.url}]
    source = part.source
    told = {"origin": source.origin, "trust": source.trust, "catalogue": source.catalogue} if source else {}
    if properties := _properties(platform=part.platform, **told):
        out["properties"] = properties
    inner = [_component(inner) for inner in part.parts] + [_layer(layer.digest) for layer in part.layers]
    if inner:
        out["components"] = inner
    return out


def _layer(digest: Digest) -> dict[str, Any]:
    return {"type": "file", "name": str(digest), "hashes": _hashes(digest)}


def _hashes(digest: Digest) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.hex}]


def _properties(**values: str | None) -> list[dict[str, str]]:
    return [{"name": f"{PROJECT}:{name}", "value": value} for name, value in values.items() if value]
