"""The bill of materials as SPDX 2.3 JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bundler.contents import Contents
from bundler.sbom import PROJECT, PROJECT_VERSION, Part, document_id, parts_of, timestamp
from installer.bundle.digest import Digest

NAME = "sbom.spdx.json"
_UNKNOWN = "NOASSERTION"
_BUNDLE = "SPDXRef-Bundle"
_PURPOSES = {
    "file": "FILE",
    "image": "CONTAINER",
    "manifest": "CONTAINER",
    "chart": "ARCHIVE",
    "installer": "INSTALL",
    "runtime": "APPLICATION",
    "wheel": "LIBRARY",
}


def spdx_bytes(contents: Contents) -> bytes:
    """The whole document; the same contents give the same bytes."""
    packages: dict[str, dict[str, Any]] = {_BUNDLE: _bundle(contents)}
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", _BUNDLE)]
    for part in parts_of(contents):
        packages |= dict(_packages(part))
        relations.append(_relation(_BUNDLE, "CONTAINS", _id(part)))
        relations.extend(_relations(part))
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": contents.name,
        "documentNamespace": f"urn:uuid:{document_id(contents)}",
        "creationInfo": {
            "created": timestamp(contents),
            "creators": [f"Tool: {PROJECT}-{PROJECT_VERSION}"],
        },
        "packages": list(packages.values()),
        "relationships": relations,
    }
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def _bundle(contents: Contents) -> dict[str, Any]:
    platforms = ", ".join(contents.platforms)
    return {
        "SPDXID": _BUNDLE,
        "name": contents.name,
        "versionInfo": contents.kubernetes,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "primaryPackagePurpose": "ARCHIVE",
        "summary": f"Kubernetes {contents.kubernetes} for {platforms}; identity {contents.identity}",
    }


def _packages(part: Part) -> Iterator[tuple[str, dict[str, Any]]]:
    package: dict[str, Any] = {
        "SPDXID": _id(part),
        "name": part.name,
        "versionInfo": part.version,
        "downloadLocation": part.url or _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": part.license or _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "primaryPackagePurpose": _PURPOSES[part.kind],
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
        ],
    }
    if part.digest:
        package["checksums"] = _checksums(part.digest)
    if part.source:
        package["sourceInfo"] = f"{part.source.trust}, catalogue {part.source.catalogue}: {part.source.origin}"
    if part.platform:
        package["summary"] = f"for {part.platform}"
    yield _id(part), package
    for layer in part.layers:
        yield _layer_id(layer.digest), _layer(layer.digest)
    for inner in part.parts:
        yield from _packages(inner)


def _layer(digest: Digest) -> dict[str, Any]:
    """A layer, once in the document however many images have it."""
    return {
        "SPDXID": _layer_id(digest),
        "name": str(digest),
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "primaryPackagePurpose": "ARCHIVE",
        "checksums": _checksums(digest),
    }


def _relations(part: Part) -> Iterator[dict[str, str]]:
    for layer in part.layers:
        yield _relation(_id(part), "CONTAINS", _layer_id(layer.digest))
    for inner in part.parts:
        yield _relation(_id(part), "CONTAINS", _id(inner))
        yield from _relations(inner)


def _relation(element: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}


def _checksums(digest: Digest) -> list[dict[str, str]]:
    return [{"algorithm": "SHA256", "checksumValue": digest.hex}]


def _id(part: Part) -> str:
    return f"SPDXRef-{part.key}"


def _layer_id(digest: Digest) -> str:
    return f"SPDXRef-layer-{digest.hex}"
