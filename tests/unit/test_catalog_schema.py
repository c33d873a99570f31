"""The JSON schemas describe the documents: the built-in ones pass, and what the reader refuses they refuse, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bundler.catalog_folders import built_in_folder
from bundler.yaml_document import read_document
from tests.unit.catalogue_folders import minor_document

MANIFESTS = built_in_folder().manifests
DOCUMENTS = sorted(MANIFESTS.rglob("*.yaml"))
SCHEMA_OF_FOLDER = {"kubernetes": "kubernetes", "components": "component", "cni": "addon", "addons": "addon"}


def validator(name: str) -> jsonschema.protocols.Validator:
    schema = json.loads((MANIFESTS / "schema" / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_every_document_fits_its_schema(path: Path) -> None:
    name = SCHEMA_OF_FOLDER.get(path.parent.name, path.stem)
    assert [error.message for error in validator(name).iter_errors(read_document(path))] == []


def test_every_schema_is_used() -> None:
    used = {SCHEMA_OF_FOLDER.get(path.parent.name, path.stem) for path in DOCUMENTS} | {"mirror"}
    assert used == {path.stem for path in (MANIFESTS / "schema").glob("*.json")}


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ("kubernetes", minor_document(release={})),
        ("kubernetes", minor_document(releases={"1.30.1": {"sha256": {"kubeadm": {"amd64": "12"}}}})),
        ("kubernetes", minor_document(components={"runc": {"default": "1.3.6", "supported": "~1.3", "reason": "x"}})),
        ("component", {"schema": 1, "component": "runc", "url": "https://a/"}),
        ("endpoint", {"schema": 1, "images": {"nginx": {"reference": "a/b:1", "roles": ["cp"], "reason": "x"}}}),
        ("component", {"schema": 2, "component": "runc"}),
        ("addon", {"schema": 1, "name": "flannel", "chart": {"name": "x", "url": "https://a/{arch}"}}),
        ("addon", {"schema": 1, "name": "flannel", "versions": {"newest": {}}}),
        ("addon", {"schema": 1, "name": "flannel", "versions": {"v1.0.0": {"sha256": "12"}}}),
        ("addon", {"schema": 1, "name": "flannel", "image": []}),
        ("addon", {"schema": 1, "name": "flannel", "needs": ["Base"]}),
        ("addon", {"schema": 1, "name": "flannel", "kubernetes": "1.x"}),
        ("addon", {"schema": 1, "name": "flannel", "host": {"packages": []}}),
        ("addon", {"schema": 1, "name": "flannel", "host": {"units": ["iscsid"]}}),
        ("addon", {"schema": 1, "name": "flannel", "ready": ["ns/crd/x"]}),
        ("addon", {"schema": 1, "name": "flannel", "objects": "a", "chart": {"name": "x", "url": "https://a/"}}),
        ("addon", {"schema": 1, "name": "flannel", "kind": "cni", "retired": "gone", "default": "1.0.0"}),
        ("addon", {"schema": 1, "name": "flannel", "versions": {"v1.0.0": {"chart": {"name": "x"}}}}),
        ("mirror", {"schema": 1, "name": "x", "files": [{"prefix": "https://a.example", "replace": []}]}),
        ("runtime", {"schema": 1, "pythons": {"3.14.7": {"archives": {"riscv": {}}}}}),
    ],
)
def test_refuses_what_the_reader_refuses(schema: str, document: dict[str, Any]) -> None:
    assert list(validator(schema).iter_errors(document))


def test_a_partial_document_of_a_user_fits() -> None:
    ours = minor_document(releases={"1.30.14": {"sha256": {"kubelet": {"amd64": "a" * 64}}}})
    assert list(validator("kubernetes").iter_errors(ours)) == []
    chart: dict[str, Any] = {"schema": 1, "name": "flannel", "versions": {"v0.28.9": {"sha256": "a" * 64}}}
    assert list(validator("addon").iter_errors(chart)) == []
    ours = {"needs": ["base@1.0.0"], "kubernetes": ">=1.25 <1.33", "host": {"units": ["iscsid.service"]}}
    shown = ["deployment/x", "ns/daemonset/y", "crd/things.example.org"]
    own = {"v1.0.0": {"needs": [], "chart": {"name": "x", "url": "https://a/"}}}
    document = {"schema": 1, "name": "flannel", "objects": "a: b", "ready": shown, "versions": own, **ours}
    assert list(validator("addon").iter_errors(document)) == []
