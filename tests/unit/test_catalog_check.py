"""The built-in catalogue is whole, and each way of not being whole is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundler.catalog import Catalog
from bundler.catalog_check import Finding, check
from tests.unit.catalogue_folders import minor_document, overlaid, sums

IMAGES = {"coredns": "v1.11.3", "etcd": "3.5.15-0", "pause": "3.9"}


def component(name: str, version: str, **entry: Any) -> dict[str, Any]:
    return {"schema": 1, "component": name, "versions": {version: entry}}


def choice(name: str, default: str, supported: str = ">=0.0.0") -> dict[str, Any]:
    return minor_document(components={name: {"default": default, "supported": supported, "reason": "ours"}})


def flannel(**versions: Any) -> dict[str, Any]:
    return {"schema": 1, "name": "flannel", "versions": versions}


def mine(*images: str, **fields: Any) -> dict[str, Any]:
    common = {"schema": 1, "name": "mine", "kind": "addon", "default": "1.0.0", "objects": "a: b\n"}
    further = {"namespace": "mine", "ready": ["crd/x"], "roles": ["cp"], "versions": {"1.0.0": {"images": [*images]}}}
    return common | further | fields


OLD = {"schema": 1, "name": "old", "kind": "addon", "retired": "use another"}


def test_the_built_in_catalogue_is_whole() -> None:
    assert check(Catalog.load()) == []


@pytest.mark.parametrize(
    ("documents", "finding"),
    [
        (
            {"kubernetes/v1.30.yaml": minor_document(releases={"1.30.14": {"images": IMAGES | {"pause": "3.10"}}})},
            Finding("kubernetes 1.30.14", "the image list lacks registry.k8s.io/pause:3.10"),
        ),
        (
            {"image-lists/kubernetes/v1.30.14.txt": "registry.k8s.io/pause:3.9\n"},
            Finding("kubernetes 1.30.14", "the image list lacks registry.k8s.io/etcd:3.5.15-0"),
        ),
        (
            {"image-lists/endpoint.txt": "docker.io/library/haproxy:3.2.21-alpine\n"},
            Finding("endpoint", "the image list lacks ghcr.io/kube-vip/kube-vip:v1.0.3"),
        ),
        (
            {"image-lists/kubernetes/v1.30.99.txt": "registry.k8s.io/pause:3.9\n"},
            Finding("image-lists/kubernetes/v1.30.99.txt", "there is no such release"),
        ),
        (
            {"kubernetes/v1.30.yaml": minor_document(releases={"1.30.99": {"images": IMAGES}})},
            Finding("kubernetes 1.30.99, kubelet", "no SHA-256 for linux/arm64"),
        ),
        (
            {"kubernetes/v1.30.yaml": minor_document(releases={"1.30.99": {"images": IMAGES}})},
            Finding("kubernetes 1.30.99", "there is no image list image-lists/kubernetes/v1.30.99.txt"),
        ),
        (
            {"components/runc.yaml": component("runc", "9.0.0", sha256={"amd64": "a" * 64})},
            Finding("runc 9.0.0", "no SHA-256 for linux/arm64"),
        ),
        (
            {"components/containerd.yaml": component("containerd", "9.0.0", sha256=sums("a"))},
            Finding("containerd 9.0.0", "config schema, sandbox image and tested runc are missing"),
        ),
        (
            {"kubernetes/v1.30.yaml": choice("crictl", "1.30.7")},
            Finding("kubernetes 1.30, crictl 1.30.7", "the default is not among the component's versions"),
        ),
        (
            {"kubernetes/v1.30.yaml": choice("crictl", "1.31.1", ">=1.30.0 <1.31.0")},
            Finding(
                "kubernetes 1.30, crictl 1.31.1", "the default is outside its own supported range >=1.30.0 <1.31.0"
            ),
        ),
        (
            {"kubernetes/v1.30.yaml": choice("runc", "1.4.3")},
            Finding("kubernetes 1.30, containerd 2.0.11", "is tested with runc 1.3.6, the default here is 1.4.3"),
        ),
        (
            {"kubernetes/v1.30.yaml": choice("crio", "1.0.0")},
            Finding("kubernetes 1.30, crio 1.0.0", "there is no such component"),
        ),
        (
            {"components/runc.yaml": component("runc", "9.0.0", sha256={"amd64": "a" * 64, "arm64": "a" * 64})},
            Finding("runc 9.0.0 for linux/arm64", "has the SHA-256 of runc 9.0.0 for linux/amd64"),
        ),
        (
            {"cni/flannel.yaml": flannel(**{"v0.28.9": {"images": ["quay.io/a/b:1"]}})},
            Finding("cni flannel v0.28.9", "the image list lacks quay.io/a/b:1"),
        ),
        (
            {"image-lists/cni/flannel-v0.28.9.txt": "quay.io/a/b:1\n"},
            Finding("cni flannel v0.28.9", "the image list has quay.io/a/b:1, which this version does not use"),
        ),
        (
            {"cni/flannel.yaml": flannel(**{"v9.0.0": {"images": ["quay.io/a/b:1"]}})},
            Finding("cni flannel v9.0.0", "there is no image list image-lists/cni/flannel-v9.0.0.txt"),
        ),
        (
            {"image-lists/cni/flannel-v9.0.0.txt": "quay.io/a/b:1\n"},
            Finding("image-lists/cni/flannel-v9.0.0.txt", "there is no such version of a pod network"),
        ),
        (
            {"addons/mine.yaml": mine("quay.io/a/b:1")},
            Finding("addon mine 1.0.0", "there is no image list image-lists/addons/mine-1.0.0.txt"),
        ),
        (
            {"addons/mine.yaml": mine("quay.io/a/b:1"), "image-lists/addons/mine-1.0.0.txt": "quay.io/a/b:2\n"},
            Finding("addon mine 1.0.0", "the image list lacks quay.io/a/b:1"),
        ),
        (
            {"image-lists/addons/mine-9.0.0.txt": "quay.io/a/b:2\n"},
            Finding("image-lists/addons/mine-9.0.0.txt", "there is no such version of an add-on"),
        ),
        (
            {"addons/mine.yaml": mine(needs=["other"])},
            Finding("addon mine 1.0.0", "there is no such add-on in the catalogue (mine 1.0.0, needs): other"),
        ),
        (
            {"addons/mine.yaml": mine(needs=["mine"])},
            Finding("addon mine 1.0.0", "add-ons need each other (mine 1.0.0, needs): mine -> mine"),
        ),
        (
            {"addons/mine.yaml": mine(needs=["old"]), "addons/old.yaml": OLD},
            Finding("addon mine 1.0.0", "old is not offered (mine 1.0.0, needs): use another"),
        ),
        (
            {"cni/flannel.yaml": {"schema": 1, "name": "flannel", "default": "v9.0.0"}},
            Finding("cni flannel", "the default v9.0.0 is not among the versions"),
        ),
        (
            {"runtime.yaml": {"schema": 1, "default": "3.99.0"}},
            Finding("runtime", "the default Python 3.99.0 is not among the versions"),
        ),
        (
            {"runtime.yaml": {"schema": 1, "pythons": {"3.14.7": {"wheels": {"arm64": []}}}}},
            Finding("runtime, Python 3.14.7, linux/arm64", "the wheel of zstandard is missing"),
        ),
    ],
)
def test_finds_what_is_not_whole(tmp_path: Path, documents: dict[str, Any], finding: Finding) -> None:
    assert finding in check(overlaid(tmp_path / "site", documents))


def test_a_version_whose_images_nobody_lists_needs_no_list(tmp_path: Path) -> None:
    assert check(overlaid(tmp_path / "site", {"cni/flannel.yaml": flannel(**{"v9.0.0": {"sha256": "a" * 64}})})) == []


@pytest.mark.parametrize(
    "name", ["kubernetes/v1.30.yaml", "components/runc.yaml", "cni/flannel.yaml", "addons/x.yaml", "runtime.yaml"]
)
def test_a_document_that_cannot_be_read_is_a_finding(tmp_path: Path, name: str) -> None:
    findings = check(overlaid(tmp_path / "site", {name: "schema: 7\n"}))
    assert any(finding.where.endswith(name) and "newer" in finding.what for finding in findings)
