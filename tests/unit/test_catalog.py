"""The catalogue: what a version means, and what a folder laid over it may add, replace and not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundler.catalog import Catalog
from bundler.errors import InputError
from installer.bundle.platform import Platform
from tests.unit.catalogue_folders import minor_document, overlaid, sums, write_folder

AMD64 = Platform("linux/amd64")
ARM64 = Platform("linux/arm64")
BUILT_IN = Catalog.load()


@pytest.mark.parametrize("asked", ["1.30", "v1.30", "1.30.14", "v1.30.14", " 1.30 "])
def test_a_minor_means_its_newest_patch(asked: str) -> None:
    assert BUILT_IN.release(asked).version == "1.30.14"


def test_the_newest_patch_is_newest_by_number_not_by_spelling() -> None:
    assert BUILT_IN.release("1.34").version == "1.34.11"
    assert BUILT_IN.minors()[0] == "1.28"


def test_an_unknown_minor_names_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        BUILT_IN.release("1.99")
    assert caught.value.wanted == "one of 1.28, 1.29, 1.30, 1.31, 1.32, 1.33, 1.34, 1.35, 1.36"


def test_an_unknown_patch_names_the_range(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        BUILT_IN.release("v1.30.99")
    assert caught.value.wanted == "1.30.0 to 1.30.14"
    images = {"coredns": "v1.11.3", "etcd": "3.5.15-0", "pause": "3.9"}
    with_gap = overlaid(
        tmp_path / "site", {"kubernetes/v1.30.yaml": minor_document(releases={"1.30.16": {"images": images}})}
    )
    with pytest.raises(InputError) as caught:
        with_gap.release("1.30.15")
    assert caught.value.wanted == "1.30.0 to 1.30.14, 1.30.16"


@pytest.mark.parametrize("asked", ["", "1", "latest", "1.30.x", "1.030", "v", "1.30.1.1", "1.30-rc.1", "vv1.30"])
def test_refuses_what_is_no_version(asked: str) -> None:
    with pytest.raises(InputError, match="not a Kubernetes version"):
        BUILT_IN.release(asked)


def test_files_of_a_release_for_one_platform() -> None:
    files = {file.component: file for file in BUILT_IN.files(BUILT_IN.release("1.30"), [AMD64])}
    assert set(files) == {"kubeadm", "kubectl", "kubelet", "containerd", "runc", "cni-plugins", "crictl", "etcdctl"}
    assert {file.platform for file in files.values()} == {AMD64}
    assert files["kubeadm"].url == "https://dl.k8s.io/release/v1.30.14/bin/linux/amd64/kubeadm"
    assert files["kubeadm"].digest.hex == "bf1f8af81af8ecf003cbc03a8700c6e94a74c183ee092bbc77b92270ada2be70"
    assert files["containerd"].url.endswith("/containerd-static-2.0.11-linux-amd64.tar.gz")
    assert files["etcdctl"].roles == ("cp",)
    assert files["etcdctl"].placement.members == {
        "etcd-v3.5.15-linux-amd64/etcdctl": "/usr/local/bin/etcdctl",
        "etcd-v3.5.15-linux-amd64/etcdutl": "/usr/local/bin/etcdutl",
    }
    assert {file.source.trust for file in files.values()} == {"upstream"}


def test_the_image_tags_follow_the_patch_not_the_minor() -> None:
    assert BUILT_IN.release("1.30.4").images.etcd == "3.5.12-0"
    assert BUILT_IN.release("1.30.5").images.etcd == "3.5.15-0"
    assert [minor for minor in BUILT_IN.minors() if BUILT_IN.release(minor).extrapolated] == ["1.34", "1.35", "1.36"]


def test_the_date_is_the_time_of_a_build() -> None:
    assert (BUILT_IN.date, BUILT_IN.created_seconds) == ("2026-11-21", 1795219200)


def test_only_the_minor_asked_about_is_read(tmp_path: Path) -> None:
    catalog = overlaid(tmp_path / "site", {"kubernetes/v1.29.yaml": "not: [yaml"})
    assert catalog.release("1.30").version == "1.30.14"
    with pytest.raises(InputError, match="not a YAML document"):
        catalog.release("1.29")


def test_an_overlay_replaces_single_sums_and_says_whose_they_are(tmp_path: Path) -> None:
    catalog = overlaid(
        tmp_path / "site",
        {
            "kubernetes/v1.30.yaml": minor_document(releases={"1.30.14": {"sha256": {"kubelet": {"amd64": "a" * 64}}}}),
            "components/runc.yaml": {
                "schema": 1,
                "component": "runc",
                "versions": {"1.3.6": {"sha256": {"amd64": "b" * 64}}},
            },
        },
    )
    release = catalog.release("1.30.14")
    assert release.images == BUILT_IN.release("1.30.14").images
    ours = {file.component: file for file in catalog.files(release, [AMD64]) if file.source.catalogue == "site"}
    assert {name: file.digest.hex[0] for name, file in ours.items()} == {"kubelet": "a", "runc": "b"}
    assert {file.source.trust for file in ours.values()} == {"user"}
    assert ours["kubelet"].url == "https://dl.k8s.io/release/v1.30.14/bin/linux/amd64/kubelet"
    assert list(catalog.files(release, [ARM64])) == list(BUILT_IN.files(BUILT_IN.release("1.30"), [ARM64]))


def test_an_overlay_adds_a_minor_a_version_and_a_choice(tmp_path: Path) -> None:
    binaries = {
        name: {"url": f"https://site.example/v{{version}}/{name}-{{arch}}", "roles": ["cp", "worker"]}
        | {"placement": {"mode": "0755", "target": f"/usr/local/bin/{name}"}}
        for name in ("kubeadm", "kubectl", "kubelet")
    }
    choice = {"default": "9.9.9", "supported": ">=9.0.0", "reason": "ours"}
    images = {"coredns": "v1", "etcd": "4", "pause": "5"}
    catalog = overlaid(
        tmp_path / "site",
        {
            "catalogue.yaml": {"schema": 1, "name": "our-site"},
            "kubernetes/v1.99.yaml": {
                "schema": 1,
                "minor": "1.99",
                "kubeadm_api": "v1beta4",
                "binaries": binaries,
                "components": {"crictl": choice},
                "releases": {"1.99.0": {"images": images, "sha256": {name: sums("c") for name in binaries}}},
            },
            "components/crictl.yaml": {
                "schema": 1,
                "component": "crictl",
                "versions": {"9.9.9": {"sha256": sums("d")}},
            },
        },
    )
    release = catalog.release("1.99")
    files = list(catalog.files(release, [ARM64]))
    assert [file.url for file in files if file.component == "kubelet"] == ["https://site.example/v1.99.0/kubelet-arm64"]
    assert {file.source.catalogue for file in files} == {"our-site"}
    assert catalog.minors()[-1] == "1.99"


def test_a_later_overlay_wins(tmp_path: Path) -> None:
    folders = [
        write_folder(
            tmp_path / name,
            {"kubernetes/v1.30.yaml": minor_document(releases={"1.30.1": {"sha256": {"kubeadm": sums(name)}}})},
        )
        for name in ("a", "b")
    ]
    release = Catalog.load(folders).release("1.30.1")
    assert release.files["kubeadm"][AMD64].source.catalogue == "b"


def test_a_missing_architecture_is_named(tmp_path: Path) -> None:
    choice = {"default": "7.0.0", "supported": ">=7.0.0", "reason": "ours"}
    runc = {"schema": 1, "component": "runc", "versions": {"7.0.0": {"sha256": {"amd64": "b" * 64}}}}
    catalog = overlaid(
        tmp_path / "site",
        {"kubernetes/v1.30.yaml": minor_document(components={"runc": choice}), "components/runc.yaml": runc},
    )
    assert len(list(catalog.files(catalog.release("1.30"), [AMD64]))) == 8
    with pytest.raises(InputError) as caught:
        list(catalog.files(catalog.release("1.30"), [ARM64]))
    assert caught.value.where == "runc 7.0.0 for linux/arm64"


@pytest.mark.parametrize(
    ("name", "document", "problem"),
    [
        ("kubernetes/v1.30.yaml", minor_document(release={}), "release: unknown field"),
        ("kubernetes/v1.30.yaml", {"schema": 1, "minor": 1.3}, "minor: wanted a string, got 1.3"),
        ("kubernetes/v1.30.yaml", minor_document(releases={"1.31.0": {}}), "releases.1.31.0: wanted a version of 1.30"),
        ("kubernetes/v1.30.yaml", minor_document(releases={"newest": {}}), "releases.newest: not a semantic version"),
        (
            "kubernetes/v1.30.yaml",
            minor_document(releases={"1.30.1": {"sha256": {"kubeadm": {"amd64": "12"}}}}),
            "releases.1.30.1.sha256.kubeadm.amd64: not a SHA-256 digest",
        ),
        (
            "kubernetes/v1.30.yaml",
            minor_document(releases={"1.30.1": {"sha256": {"kubeadm": {"riscv": "a" * 64}}}}),
            "unknown architecture, wanted one of amd64, arm64",
        ),
        (
            "kubernetes/v1.30.yaml",
            minor_document(releases={"1.30.77": {"sha256": {}}}),
            "releases.1.30.77.images: missing",
        ),
        (
            "kubernetes/v1.30.yaml",
            minor_document(components={"runc": {"default": "1.3.6", "supported": "~1.3", "reason": "x"}}),
            "components.runc.supported: not a version range",
        ),
    ],
)
def test_says_where_a_document_is_wrong(tmp_path: Path, name: str, document: Any, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        overlaid(tmp_path / "site", {name: document}).release("1.30")
    assert problem in (caught.value.got or "")
    assert caught.value.where == str(tmp_path / "site" / name)


@pytest.mark.parametrize("name", ["kubernets/v1.30.yaml", "kubernetes/1.30.yaml", "kubernetes/v1.30.14.yaml"])
def test_a_file_that_nothing_reads_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="nothing reads"):
        overlaid(tmp_path / "site", {name: minor_document()}).release("1.30")


def test_a_folder_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError):
            Catalog.load([folder])


def test_an_overlay_cannot_pass_for_the_built_in_catalogue(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="built-in"):
        overlaid(tmp_path / "site", {"catalogue.yaml": {"schema": 1, "name": "built-in"}})
