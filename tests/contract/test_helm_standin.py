"""The stand-in for helm renders the lab's charts as helm does, and refuses what helm refuses.

Every case is put to the stand-in, and to helm where that has been compiled
(``python -m tests.lab serve --profile real-flannel`` does it).
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundler.catalog import Catalog
from installer.bundle.digest import Digest
from installer.bundle.reference import Reference
from installer.bundle.values import SAMPLE, fill
from tests.compiled import compiled
from tests.lab.profiles import cilium
from tests.lab.profiles.compiled import HELM
from tests.lab.profiles.mini import STAND_INS
from tests.lab.release_tree import archive
from tests.lab.toolchain import built

IMAGES = {name: Reference("quay.io", f"cilium/{name}", "v1.20.0", Digest.of(name.encode())) for name in cilium.IMAGES}
CHART = cilium.packed_chart("1.20.0", IMAGES)
AS_BUILT = ("--namespace", "kube-system", "--kube-version", "v1.30.14", "--include-crds", "--skip-tests")


@pytest.fixture(params=["stand-in", "real"])
def helm(request: pytest.FixtureRequest) -> Path:
    """The program that is asked."""
    if request.param == "stand-in":
        return built(STAND_INS) / "helm"
    return compiled("helm") / "helm"


def ask(helm: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs helm in ``folder``, in an empty environment, as the builder does."""
    return subprocess.run(
        [str(helm), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )


def template(
    helm: Path, folder: Path, values: Mapping[str, Any], chart: bytes = CHART
) -> subprocess.CompletedProcess[str]:
    """``helm template`` as the builder asks for it."""
    (folder / "chart.tgz").write_bytes(chart)
    (folder / "values.json").write_text(json.dumps(values))
    return ask(helm, folder, "template", "cilium", "chart.tgz", "--values", "values.json", *AS_BUILT)


def objects(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """The rendered objects in their order."""
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def repacked(changes: Mapping[str, bytes | None]) -> bytes:
    """The chart with these files instead, or without those that are ``None``."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(CHART))) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    changed = {**files, **{f"cilium/{name}": data for name, data in changes.items()}}
    return archive({name: data for name, data in changed.items() if data is not None}, mode=0o644)


BUILT_IN = Catalog.load().addon("cni", "cilium").values


@pytest.mark.parametrize(
    "values",
    [
        {},
        fill(BUILT_IN, SAMPLE),
        {"kubeProxyReplacement": True, "k8sServiceHost": "10.0.24.31", "k8sServicePort": 6443},
        {"kubeProxyReplacement": "true", "k8sServiceHost": "api.site"},
        {"envoy": {"enabled": False}},
        {"l7Proxy": False, "MTU": 1450, "hubble": {"enabled": False}},
        {"envoy": {"enabled": True, "prometheus": None}, "l7Proxy": False},
        {"image": {"useDigest": False, "repository": "reg.local/cilium/cilium"}, "operator": {"replicas": 1}},
        {"image": {"override": "reg.local/agent:1"}, "operator": {"image": {"suffix": "-x", "tag": "v2"}}},
        {"ipam": {"operator": {"clusterPoolIPv4PodCIDRList": ["10.1.0.0/16", "10.2.0.0/16"]}}},
        {"ipam": {"operator": {"clusterPoolIPv4PodCIDRList": "10.1.0.0/16"}}},
        {"ipam": {"mode": "kubernetes"}, "tolerations": [], "operator": {"enabled": False}},
        {"tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 3000000}], "unknown": {"a": 1.5}},
    ],
    ids=str,
)
def test_the_stand_in_renders_what_helm_renders(tmp_path: Path, values: Mapping[str, Any]) -> None:
    done = template(built(STAND_INS) / "helm", tmp_path, values)
    if "prometheus" in str(values):
        assert done.returncode == 1, "the template reads what was taken away"
    else:
        assert len(objects(done)) >= 6
    wanted = template(compiled("helm") / "helm", tmp_path, values)
    assert done.returncode == wanted.returncode, wanted.stderr
    assert list(yaml.safe_load_all(done.stdout)) == list(yaml.safe_load_all(wanted.stdout))


def test_every_image_is_named_with_its_digest(helm: Path, tmp_path: Path) -> None:
    rendered = objects(template(helm, tmp_path, fill(BUILT_IN, SAMPLE)))
    pods = [found["spec"]["template"]["spec"] for found in rendered if "template" in found.get("spec", {})]
    named = {part["image"] for pod in pods for part in [*pod.get("initContainers", []), *pod["containers"]]}
    assert named == {str(image) for image in IMAGES.values()}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kubeProxyReplacement": "strict"}, "kubeProxyReplacement must be explicitly set"),
        ({"kubeProxyReplacement": True}, "k8sServiceHost"),
        ({"tunnel": "vxlan"}, "routingMode"),
        ({"tunnelProtocol": "ipip"}, "tunnelProtocol"),
        ({"MTU": "1450"}, "MTU"),
        ({"MTU": 1450.5}, "MTU"),
        ({"ipam": {"operator": {"clusterPoolIPv4PodCIDRList": []}}}, "clusterPoolIPv4PodCIDRList"),
        ({"ipam": {"operator": {"clusterPoolIPv4PodCIDRList": [10]}}}, "clusterPoolIPv4PodCIDRList"),
        ({"operator": {"replicas": "two"}}, "replicas"),
        ({"ipam": None}, ""),
        ([], "values.json"),
    ],
    ids=str,
)
def test_bad_values_are_refused(helm: Path, tmp_path: Path, values: Any, told: str) -> None:
    done = template(helm, tmp_path, values)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"Chart.yaml": None},
        {"Chart.yaml": b"name: [\n"},
        {"Chart.yaml": b"apiVersion: v2\nname: cilium\n"},
        {"Chart.yaml": b"apiVersion: v2\nname: cilium\nversion: latest\n"},
        {"Chart.yaml": b"apiVersion: v2\nversion: 1.20.0\n"},
        {"Chart.yaml": b'apiVersion: v2\nname: cilium\nversion: 1.20.0\nkubeVersion: ">= 1.31.0-0"\n'},
        {"Chart.yaml": b"apiVersion: v2\nname: cilium\nversion: 1.20.0\ntype: library\n"},
        {"values.yaml": b"a: [\n"},
        {"values.yaml": b"- a\n"},
        {"values.schema.json": b"{"},
        {"templates/more.yaml": b"{{ .Values.image.tag"},
        {"templates/more.yaml": b"{{ .Values.none.tag }}"},
        {"templates/more.yaml": b'{{ include "none" . }}'},
        {"templates/more.yaml": b"{{ nobody }}"},
        {"templates/more.yaml": b'{{ fail "no" }}'},
        {"templates/more.yaml": b"a: [\n"},
        {"templates/_helpers.tpl": None},
        {"../outside": b""},
    ],
    ids=str,
)
def test_a_bad_chart_is_refused(helm: Path, tmp_path: Path, changes: Mapping[str, bytes | None]) -> None:
    done = template(helm, tmp_path, {}, repacked(changes))
    assert (done.returncode, done.stderr != "") == (1, True), done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ("bogus",),
        ("--bogus",),
        ("template",),
        ("template", "chart.tgz"),
        ("template", "cilium", "chart.tgz", "more"),
        ("template", "cilium", "none.tgz"),
        ("template", "cilium", "values.json"),
        ("template", "Cilium", "chart.tgz"),
        ("template", "c" * 54, "chart.tgz"),
        ("template", "cilium", "chart.tgz", "--bogus"),
        ("template", "cilium", "chart.tgz", "--reset-values"),
        ("template", "cilium", "chart.tgz", "--values", "none.json"),
        ("template", "cilium", "chart.tgz", "--kube-version", "thirty"),
        ("template", "cilium", "chart.tgz", "--kube-version", "1.20.0"),
        ("list", "cilium", "--kubeconfig", "/nonexistent"),
        ("list", "--kubeconfig", "/nonexistent", "-o", "json"),
        ("list", "--everything", "--kubeconfig", "/nonexistent"),
        ("list", "-o", "toml", "--kubeconfig", "/nonexistent"),
        ("get", "values"),
        ("get", "values", "cilium", "--kubeconfig", "/nonexistent", "-o", "json"),
        ("upgrade", "cilium", "--install"),
        ("upgrade", "cilium", "chart.tgz", "--install", "--timeout", "soon"),
        ("upgrade", "cilium", "chart.tgz", "--install", "--reset-values", "--kubeconfig", "/nonexistent"),
        ("uninstall",),
        ("uninstall", "cilium", "--kubeconfig", "/nonexistent"),
        ("version", "now"),
    ],
    ids=" ".join,
)
def test_what_helm_refuses_is_refused(helm: Path, tmp_path: Path, argv: tuple[str, ...]) -> None:
    (tmp_path / "chart.tgz").write_bytes(CHART)
    (tmp_path / "values.json").write_text("{}")
    done = ask(helm, tmp_path, *argv)
    assert (done.returncode, done.stderr != "") == (1, True), done.stdout


def test_a_later_file_replaces_an_earlier_one_and_null_takes_the_chart_s_away(helm: Path, tmp_path: Path) -> None:
    (tmp_path / "chart.tgz").write_bytes(CHART)
    (tmp_path / "a.yaml").write_text("MTU: 1\nroutingMode: native\nimage: {tag: null}\n")
    (tmp_path / "b.yaml").write_text("MTU: 2\n")
    files = ("-f", "a.yaml", "-f", "b.yaml")
    found = objects(ask(helm, tmp_path, "template", "cilium", "chart.tgz", *files, "--kube-version", "1.30.14"))
    config = next(item["data"] for item in found if item["metadata"]["name"] == "cilium-config")
    assert (config["mtu"], config["routing-mode"]) == ("2", "native")
    agent = next(item for item in found if item["kind"] == "DaemonSet" and item["metadata"]["name"] == "cilium")
    assert "v1.20.0" not in agent["spec"]["template"]["spec"]["containers"][0]["image"]


def test_the_version_is_told(helm: Path, tmp_path: Path) -> None:
    assert ask(helm, tmp_path, "version", "--short").stdout.startswith(f"v{HELM}")


def test_tests_are_left_out_and_definitions_come_first(helm: Path, tmp_path: Path) -> None:
    test = b'apiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {"helm.sh/hook": test}}\n'
    crd = b"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.example.org}\n"
    found = objects(template(helm, tmp_path, {}, repacked({"templates/tests/pod.yaml": test, "crds/things.yaml": crd})))
    assert found[0]["metadata"]["name"] == "a.example.org"
    assert "Pod" not in {item["kind"] for item in found}
