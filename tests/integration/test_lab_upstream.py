"""The mini upstream as a process: what it serves, that it stops when told, and that a second start is quick.

Of the real upstream, what this machine has compiled already.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from installer.bundle import mediatypes
from tests.compiled import compiled
from tests.lab.profiles import IMAGES, cilium, flannel, metrics
from tests.lab.profiles.compiled import FLANNEL, HELM, METRICS_SERVER, NETWORK_BUILDS, NODE_CACHE

ROOT = Path(__file__).parents[2]


def start(profile: str, folder: Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """The process that serves, and its ready line."""
    argv = [sys.executable, "-m", "tests.lab", "serve", "--profile", profile, "--dir", str(folder)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"it ended with {process.wait()}"
    return process, json.loads(line)


def stop(process: subprocess.Popen[str]) -> int:
    """Stops it as a service manager would; the exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(20)


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A running mini upstream: its ready line."""
    process, ready = start("mini", tmp_path_factory.mktemp("mini"))
    yield ready
    if process.poll() is None:
        stop(process)


def get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers (by lower-case name) of a GET."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {name.lower(): value for name, value in error.headers.items()}


def overlay(ready: dict[str, Any], path: str) -> Any:
    """A document of the catalogue overlay."""
    return yaml.safe_load((Path(ready["catalog"]) / path).read_text(encoding="utf-8"))


def version(ready: dict[str, Any], component: str) -> str:
    """The one version of ``component`` that is served."""
    (only,) = overlay(ready, f"components/{component}.yaml")["versions"]
    return str(only)


@pytest.mark.parametrize("name", ["kubeadm", "kubelet", "kubectl"])
def test_kubernetes_binaries_have_bare_checksums(mini: dict[str, Any], name: str) -> None:
    url = f"{mini['files']}dl.k8s.io/release/v1.30.14/bin/linux/amd64/{name}"
    data, sums = get(url)[1], get(f"{url}.sha256")[1]
    assert sums.decode() == hashlib.sha256(data).hexdigest() + "\n"
    release = overlay(mini, "kubernetes/v1.30.yaml")["releases"]["1.30.14"]
    assert release["sha256"][name]["amd64"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("component", "project", "file", "sums"),
    [
        ("containerd", "containerd/containerd", "containerd-static-{v}-linux-amd64.tar.gz", "{file}.sha256sum"),
        ("runc", "opencontainers/runc", "runc.amd64", "runc.sha256sum"),
        ("cni-plugins", "containernetworking/plugins", "cni-plugins-linux-amd64-v{v}.tgz", "{file}.sha256"),
        ("crictl", "kubernetes-sigs/cri-tools", "crictl-v{v}-linux-amd64.tar.gz", "{file}.sha256"),
        ("etcdctl", "etcd-io/etcd", "etcd-v{v}-linux-amd64.tar.gz", "SHA256SUMS"),
    ],
)
def test_release_files_match_their_checksum_files(
    mini: dict[str, Any], component: str, project: str, file: str, sums: str
) -> None:
    served = version(mini, component)
    base = f"{mini['files']}github.com/{project}/releases/download/v{served}/"
    name = file.format(v=served)
    status, data, _ = get(base + name)
    assert status == 200
    digest = hashlib.sha256(data).hexdigest()
    assert re.findall(r"\b[0-9a-f]{64}\b", get(base + sums.format(file=name))[1].decode()) == [digest]
    entry = overlay(mini, f"components/{component}.yaml")["versions"][served]
    assert entry["sha256"]["amd64"] == digest


def test_a_pod_network_is_served_under_upstream_s_names_with_digests_of_its_own(mini: dict[str, Any]) -> None:
    known = cilium.version()
    data = get(f"{mini['files']}helm.cilium.io/cilium-{known.version}.tgz")[1]
    document = overlay(mini, "cni/cilium.yaml")
    entry = document["versions"][document["default"]]
    assert (document["default"], entry["sha256"]) == (known.version, hashlib.sha256(data).hexdigest())
    for name, reference in cilium.references(known).items():
        base = f"http://{mini['registry']}/v2/{reference.name}/manifests"
        manifest = get(f"{base}/{reference.tag}", Accept=mediatypes.ACCEPT)[1]
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        assert f"{reference.tagged}@{digest}" in entry["images"], name
        assert get(f"{base}/{digest}", Accept=mediatypes.ACCEPT)[:2] == (200, manifest)
    assert len(entry["images"]) == len(cilium.IMAGES)


def test_helm_is_served_beside_its_checksum(mini: dict[str, Any]) -> None:
    served = version(mini, "helm")
    url = f"{mini['files']}get.helm.sh/helm-v{served}-linux-amd64.tar.gz"
    data = get(url)[1]
    assert get(f"{url}.sha256sum")[1].decode().split()[0] == hashlib.sha256(data).hexdigest()


def test_a_part_of_a_file_is_answered_as_release_hosts_do(mini: dict[str, Any]) -> None:
    url = f"{mini['files']}dl.k8s.io/release/v1.30.14/bin/linux/amd64/kubectl"
    _, whole, headers = get(url)
    status, part, answered = get(url, Range="bytes=1000-1999")
    assert (status, part) == (206, whole[1000:2000])
    assert answered["content-range"] == f"bytes 1000-1999/{len(whole)}"
    assert get(url, Range=f"bytes={len(whole) - 5}-")[1] == whole[-5:]
    assert get(url, Range="bytes=-7")[1] == whole[-7:]
    assert get(url, Range=f"bytes={len(whole)}-")[0] == 416
    assert get(url, Range="bytes=0-9", If_Range='"another"')[:2] == (200, whole)
    assert get(url, Range="bytes=0-9", If_Range=headers["etag"])[:2] == (206, whole[:10])
    assert get(f"{mini['files']}../parts.json")[0] == 404
    assert get(f"{mini['files']}dl.k8s.io/nothing")[0] == 404


@pytest.mark.parametrize(
    ("name", "tag", "media_type"),
    [
        ("kube-apiserver", "v1.30.14", mediatypes.DOCKER_INDEX),
        ("pause", "3.9", mediatypes.DOCKER_INDEX),
        ("coredns/coredns", "v1.11.3", mediatypes.OCI_INDEX),
        ("etcd", "3.5.15-0", mediatypes.DOCKER_INDEX),
    ],
)
def test_the_registry_answers_with_whole_multi_platform_images(
    mini: dict[str, Any], name: str, tag: str, media_type: str
) -> None:
    base = f"http://{mini['registry']}/v2/registry.k8s.io/{name}"
    status, data, headers = get(f"{base}/manifests/{tag}", Accept=mediatypes.ACCEPT)
    assert status == 200
    assert headers["content-type"] == media_type
    entries = json.loads(data)["manifests"]
    platforms = [entry["platform"]["architecture"] for entry in entries]
    assert platforms[:2] == ["amd64", "arm64"]
    assert platforms[2:] == (["unknown", "unknown"] if media_type == mediatypes.OCI_INDEX else [])
    for entry in entries:
        manifest = get(f"{base}/manifests/{entry['digest']}", Accept=mediatypes.ACCEPT)[1]
        assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == entry["digest"]
        document = json.loads(manifest)
        for blob in [document["config"], *document["layers"]]:
            content = get(f"{base}/blobs/{blob['digest']}")[1]
            assert (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}") == (blob["size"], blob["digest"])


def test_the_registry_takes_nothing(mini: dict[str, Any]) -> None:
    request = urllib.request.Request(f"http://{mini['registry']}/v2/x/blobs/uploads/", data=b"", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 405


def test_every_part_says_what_it_is(mini: dict[str, Any]) -> None:
    parts = json.loads(Path(mini["parts"]).read_text(encoding="utf-8"))
    made = {part["name"]: part["made"] for part in parts}
    assert len(made) == 10 + 7 + 2 + len(cilium.IMAGES)
    assert "the lab's" in made[f"cilium-{cilium.version().version}.tgz"]
    assert "stand-in" in made["helm"]
    assert "stand-in" in made["kubeadm"]
    assert "Debian" in made["containerd"]


def test_a_second_start_makes_nothing_and_both_stop_when_told(
    mini: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process, ready = start("mini", tmp_path / "new" / "folder")
    assert (ready["files"], ready["registry"]) != (mini["files"], mini["registry"])
    assert stop(process) == 0
    said = capfd.readouterr().err
    assert "ready     mini" in said
    assert "done in" not in said, "as everything says that takes its time"
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(ready["files"], timeout=2)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{ready['registry']}/v2/", timeout=2)
    assert get(f"http://{mini['registry']}/v2/")[0] == 200


def test_the_internet_profile_serves_nothing_and_means_upstream(tmp_path: Path) -> None:
    process, ready = start("internet", tmp_path)
    assert stop(process) == 0
    assert yaml.safe_load((tmp_path / "mirror.yaml").read_text()) == {
        "schema": 1,
        "name": "lab-internet",
        "fallback": True,
    }
    assert [path.name for path in (tmp_path / "catalog").iterdir()] == ["catalogue.yaml"]
    assert ready["files"] == ready["registry"] == ""


def test_binaries_are_for_the_real_profile_only(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.lab", "serve", "--dir", str(tmp_path), "--binaries", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "real profile" in done.stderr


@pytest.fixture(scope="module")
def programs() -> dict[str, Path]:
    """Helm, and the programs of flannel and the add-ons, by name."""
    return {name: compiled(build) / name for build in NETWORK_BUILDS for name in build.programs}


def said(*argv: str | Path, **environment: str) -> str:
    """What a program prints, on either stream."""
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout + done.stderr


def test_the_compiled_network_programs_tell_their_versions(programs: dict[str, Path]) -> None:
    assert said(programs["helm"], "version", "--short").startswith(f"v{HELM}")
    assert said(programs["flanneld"], "--version").strip() == f"v{FLANNEL}"
    spoken = json.loads(said(programs["flannel"], CNI_COMMAND="VERSION"))
    assert "0.3.1" in spoken["supportedVersions"]
    assert said(programs["node-cache"], "-version").startswith(f"CoreDNS-{IMAGES['coredns/coredns'].removeprefix('v')}")
    assert f"node-cache {NODE_CACHE}" in said(programs["node-cache"], "-help")
    assert said(programs["metrics-server"], "--version").strip() == f"v{METRICS_SERVER}"


@pytest.mark.parametrize("argv", [("-bogus",), ("-localip=pods",), ("-localip=169.254.20.10,fd00::1",)], ids=str)
def test_the_node_cache_refuses_what_it_cannot_do(programs: dict[str, Path], argv: tuple[str, ...]) -> None:
    done = subprocess.run([programs["node-cache"], *argv], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert argv[0].partition("=")[0].lstrip("-") in done.stderr


APPROVES = {"PROVIDER_REGEX": "^(cp-1)$", "PROVIDER_IP_PREFIXES": "10.0.0.0/24", "BYPASS_DNS_RESOLUTION": "true"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PROVIDER_REGEX", ""),
        ("PROVIDER_REGEX", "("),
        ("PROVIDER_IP_PREFIXES", "10.0.0.1"),
        ("BYPASS_DNS_RESOLUTION", ""),
    ],
)
def test_the_approver_refuses_what_it_cannot_judge_by(programs: dict[str, Path], variable: str, value: str) -> None:
    done = subprocess.run(
        [programs["kubelet-csr-approver"], "-leader-election", "-metrics-bind-address", ":8080"],
        env={**APPROVES, variable: value},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, variable in done.stderr) == (1, True)


@pytest.mark.parametrize("name", [metrics.SERVER, metrics.APPROVER])
def test_an_add_on_s_chart_names_the_image_that_is_served(programs: dict[str, Path], name: str, tmp_path: Path) -> None:
    data = {name: data for name, _, data, _ in metrics.charts()}[name]
    served = {program: reference for reference, program, _ in metrics.images(programs)}
    assert named_by(programs["helm"], data, tmp_path) == {served[name]}


def named_by(helm: Path, chart: bytes, folder: Path) -> set[str]:
    """The images that a chart names as it is."""
    path = folder / "chart.tgz"
    path.write_bytes(chart)
    rendered = said(helm, "template", "release", str(path), "--namespace", "kube-system", HOME=str(folder))
    return set(re.findall(r"^\s*(?:- )?image: \"?([^\s\"]+)\"?$", rendered, re.MULTILINE))


def test_the_chart_names_exactly_the_images_that_are_served(programs: dict[str, Path], tmp_path: Path) -> None:
    named = named_by(programs["helm"], flannel.packed_chart(), tmp_path)
    assert named == {flannel.FLANNEL_IMAGE, flannel.PLUGIN_IMAGE}
