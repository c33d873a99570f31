"""Whole builds with a pod network, by the command an operator types: chart, helm and images in one media set."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from tests.fakes.charts import about, packed
from tests.fakes.upstream import Upstream
from tests.lab.upstream import Served, serving
from tests.unit.catalogue_folders import write_folder

pytestmark = pytest.mark.network

NAME = "k8s-v1.30.14-linux-amd64"
BUNDLE = str(Path(sys.executable).with_name("bundle"))
IMAGE = "registry.k8s.io/pause:3.9"
CHART_PATH = "/charts.invalid/site-v1.2.3.tgz"
HELM_PATH = "/get.helm.invalid/helm-v3.18.4-linux-amd64.tar.gz"
HELM = f"""#!/bin/sh
[ -s chart.tgz ] && [ -s values.json ] || exit 2
echo 'spec: {{containers: [{{image: "{IMAGE}"}}]}}'
"""

EXTRA = {
    "schema": 1,
    "name": "extra",
    "kind": "addon",
    "default": "0.1.0",
    "needs": ["site"],
    "namespace": "extra",
    "ready": ["crd/extra.example.org"],
    "roles": ["worker"],
    "versions": {"0.1.0": {"images": [IMAGE]}},
}


def site_chart(text: str) -> bytes:
    return packed({"site/Chart.yaml": about("site", "v1.2.3"), "site/templates/x.yaml": text})


@dataclass(frozen=True)
class Site:
    """Where to build from: the lab's upstream, and beside it one that has a chart, helm and its document."""

    mirror: Path
    catalogs: tuple[Path, ...]
    upstream: Upstream

    def build(self, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
        """One build in ``folder``."""
        argv = [BUNDLE, "build", "--mirror", str(self.mirror), "--runtime", "host", "--store", str(folder / "store"),
                "--out", str(folder / "dist"), *more]  # fmt: skip
        for catalog in self.catalogs:
            argv += ["--catalog", str(catalog)]
        return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving("mini", tmp_path_factory.mktemp("mini")) as served, Upstream() as upstream:
        helm = packed({"linux-amd64/helm": HELM})
        upstream.add(HELM_PATH, helm)
        upstream.add(CHART_PATH, site_chart("# one"))
        yield Site(*_files(tmp_path_factory.mktemp("site"), served, upstream, helm), upstream)


def _files(folder: Path, served: Served, upstream: Upstream, helm: bytes) -> tuple[Path, tuple[Path, ...]]:
    mirror = yaml.safe_load(served.mirror.read_text())
    for host in ("charts.invalid", "get.helm.invalid"):
        mirror["files"].append({"prefix": f"https://{host}/", "replace": [f"{upstream.url}/{host}/"]})
    network = {
        "schema": 1,
        "name": "site",
        "kind": "cni",
        "default": "v1.2.3",
        "chart": {"name": "site", "url": "https://charts.invalid/site-{version}.tgz"},
        "namespace": "site",
        "values": {"podCidr": "${podSubnet}"},
        "ready": ["daemonset/site"],
        "roles": ["cp", "worker"],
        "versions": {"v1.2.3": {"images": [IMAGE]}},
    }
    extra = EXTRA | {"objects": "kind: ConfigMap\nmetadata: {name: extra}\n"}
    component = {
        "schema": 1,
        "component": "helm",
        "carried": "with-charts",
        "url": "https://get.helm.invalid/helm-v{version}-linux-{arch}.tar.gz",
        "roles": ["cp"],
        "placement": {
            "mode": "0755",
            "archive": "tar+gzip",
            "members": {"linux-{arch}/helm": "/usr/local/bin/helm"},
        },
        "versions": {"3.18.4": {"sha256": {"amd64": hashlib.sha256(helm).hexdigest()}}},
    }
    choice = {"default": "3.18.4", "supported": ">=3.18.0 <3.19.0", "reason": "the one this test serves"}
    minor = {"schema": 1, "minor": "1.30", "components": {"helm": choice}}
    catalog = write_folder(
        folder / "own",
        {
            "cni/site.yaml": network,
            "addons/extra.yaml": extra,
            "components/helm.yaml": component,
            "kubernetes/v1.30.yaml": minor,
        },
    )
    (folder / "mirror.yaml").write_text(yaml.safe_dump(mirror))
    return folder / "mirror.yaml", (served.catalog, catalog)


def digests(folder: Path) -> dict[str, str]:
    """Every file of the media set, and the lock, by its SHA-256."""
    files = [*(folder / "dist" / NAME).iterdir(), folder / "dist" / f"{NAME}.lock.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def first(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build, one job at a time."""
    folder = tmp_path_factory.mktemp("first")
    done = site.build(folder, "--k8s", "1.30", "--addon", "extra", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "addon     extra 0.1.0, chart user (catalogue own), images as helm renders them" in done.stdout
    assert "cni       site v1.2.3, chart first-seen (catalogue own), images as helm renders them" in done.stdout
    return folder


def test_the_media_set_carries_chart_and_helm(first: Path) -> None:
    shown = subprocess.run([BUNDLE, "inspect", str(first / "dist" / NAME)], capture_output=True, text=True, check=True)
    assert "cni site" in shown.stdout
    assert "chart first-seen (catalogue own)" in shown.stdout
    assert "images as helm 3.18.4 renders them" in shown.stdout
    lock = json.loads((first / "dist" / f"{NAME}.lock.json").read_text())
    addon, extra = lock["addons"]
    assert (extra["needs"], extra["source"]["origin"]) == (["site"], "addons/extra.yaml")
    assert addon["chart"] == "sha256:" + hashlib.sha256(site_chart("# one")).hexdigest()
    assert addon["values"] == {"podCidr": "${podSubnet}"}
    assert "helm" in {item["component"] for item in lock["files"]}
    done = subprocess.run([BUNDLE, "verify", str(first / "dist" / NAME)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_plan_names_the_chart_and_does_not_fetch_helm(site: Site, tmp_path: Path) -> None:
    done = site.build(tmp_path, "--k8s", "1.30", "--cni", "site@1.2.3", "--plan")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    (row,) = (number for number, line in enumerate(lines) if line.startswith("  cni "))
    assert lines[row].split()[1:3] == ["1", "chart"]
    assert lines[row].endswith("site v1.2.3, first-seen (catalogue own)")
    assert lines[row + 1].endswith("images from the catalogue; helm 3.18.4")
    assert all(len(line) <= 80 for line in lines[row : row + 2])


def test_the_lock_rebuilds_the_same_bytes_and_refuses_another_chart(site: Site, first: Path, tmp_path: Path) -> None:
    lock = str(first / "dist" / f"{NAME}.lock.json")
    done = site.build(tmp_path / "same", "--lock", lock, "--jobs", "8")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "same") == digests(first)
    before = site.upstream.replies[CHART_PATH]
    site.upstream.add(CHART_PATH, site_chart("# two"))
    try:
        done = site.build(tmp_path / "other", "--lock", lock)
    finally:
        site.upstream.replies[CHART_PATH] = before
    assert done.returncode == 4, done.stderr
    assert "chart site v1.2.3: upstream serves another one now than was locked" in done.stderr
    assert not (tmp_path / "other" / "dist" / NAME).exists()


def test_a_lock_whose_objects_are_no_longer_there_is_refused(site: Site, first: Path, tmp_path: Path) -> None:
    ours = {"addons/extra.yaml": EXTRA | {"objects": "kind: Secret\n"}}
    other = replace(site, catalogs=(*site.catalogs, write_folder(tmp_path / "newer", ours)))
    done = other.build(tmp_path, "--lock", str(first / "dist" / f"{NAME}.lock.json"))
    assert done.returncode == 2, done.stderr
    for told in ("the lock's chart is not here", "chart extra 0.1.0, from addons/extra.yaml", "--addon-file"):
        assert told in done.stderr
    assert not (tmp_path / "dist" / NAME).exists()


def test_a_chart_that_is_no_chart_stops_the_build(site: Site, tmp_path: Path) -> None:
    before = site.upstream.replies[CHART_PATH]
    site.upstream.add(CHART_PATH, b"<html>sign in</html>")
    try:
        done = site.build(tmp_path, "--k8s", "1.30", "--cni", "site")
    finally:
        site.upstream.replies[CHART_PATH] = before
    assert done.returncode == 4, done.stderr
    assert "not a Helm chart" in done.stderr
