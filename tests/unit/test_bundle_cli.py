"""The ``bundle`` command: what it refuses, what it says, and the exit codes scripts rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundler.addon_choice import DEFAULT_NETWORK
from bundler.cli import main
from tests.unit.catalogue_folders import write_folder

MINE = {
    "schema": 1,
    "name": "mine",
    "kind": "addon",
    "default": "1.0.0",
    "objects": "kind: ConfigMap\n",
    "needs": ["flannel@v0.28.9"],
    "kubernetes": ">=1.25",
    "host": {"commands": ["iscsiadm"]},
    "namespace": "mine",
    "ready": ["crd/things.mine.io"],
    "roles": ["worker"],
    "versions": {"1.0.0": {"images": ["quay.io/mine/mine:1"]}},
}


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def test_lists_every_minor_with_its_newest_patch() -> None:
    result = run("catalog", "list")
    assert result.exit_code == 0
    kubernetes, _, networks = result.output.partition("pod networks")
    assert [line.split()[0] for line in kubernetes.splitlines()[1:]] == [f"1.{n}" for n in range(28, 37)]
    assert "1.30.14" in kubernetes
    listed = [line.split()[:3] for line in networks.partition("add-ons")[0].splitlines()[1:]]
    assert ["cilium", "1.18.12", "59"] in listed
    assert ["flannel", "v0.28.9", "36"] in listed
    assert ["canal", "not", "offered:"] in listed
    assert max(len(line) for line in result.output.splitlines()) <= 80


def test_lists_every_patch_for_a_script() -> None:
    document = json.loads(run("catalog", "list", "--json").output)
    versions = document["kubernetes"]
    assert versions["1.30"][0] == "1.30.14"
    assert len(versions["1.30"]) == 15
    assert document["cni"]["flannel"][:2] == ["v0.28.9", "v0.28.8"]
    assert "canal" not in document["cni"]
    assert "calico" in document["retired"]["canal"]


def test_shows_a_pod_network_and_an_add_on_of_ones_own(tmp_path: Path) -> None:
    result = run("catalog", "show", "flannel@0.26.3")
    assert result.output.startswith("flannel v0.26.3   pod network   catalogue built-in\n")
    assert "docker.io/flannel/flannel:v0.26.3" in result.output
    assert "no published checksum" in result.output
    folder = write_folder(tmp_path / "site", {"addons/mine.yaml": MINE})
    result = run("catalog", "show", "mine", "--catalog", str(folder))
    for told in (
        "made of the objects in addons/mine.yaml",
        "flannel@v0.28.9",
        ">=1.25",
        "iscsiadm",
        "crd/things.mine.io",
    ):
        assert told in result.output
    listed = run("catalog", "list", "--catalog", str(folder)).output
    assert "\nmine " in listed.partition("add-ons, each with the version that --addon NAME takes")[2]
    result = run("catalog", "show", "canal")
    assert (result.exit_code, "ask for calico" in " ".join(result.stderr.split())) == (2, True)


@pytest.mark.parametrize("version", ["1.30", "v1.30", "1.30.14", "v1.30.14"])
def test_a_version_means_what_a_user_expects(version: str) -> None:
    result = run("catalog", "show", version)
    assert result.output.startswith("Kubernetes v1.30.14 ")
    assert "registry.k8s.io/etcd:3.5.15-0" in result.output


def test_an_unknown_minor_is_answered_with_those_there_are() -> None:
    result = run("catalog", "show", "1.99")
    assert result.exit_code == 2
    assert "1.28, 1.29, 1.30" in result.stderr
    assert result.stdout == ""


def test_the_built_in_catalogue_is_complete() -> None:
    result = run("catalog", "check")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["build"], "either --k8s VERSION or --lock FILE"),
        (["build", "--k8s", "1.30", "--lock", "x.json"], "both"),
        (["lock"], "--k8s VERSION"),
        (["build", "--k8s", "1.30", "--cni", "weave"], "one of none, calico, cilium, flannel"),
        (["build", "--k8s", "1.30", "--cni", "flannel@0.1.0"], "v0.28.9"),
        (["build", "--k8s", "1.30", "--cni", "canal"], "canal is not offered"),
        (["build", "--k8s", "1.30", "--addon", "flannel"], "--cni flannel"),
        (["build", "--k8s", "1.30", "--addon", "nothing-like-it"], "no such add-on"),
        (["build", "--k8s", "1.30", "--values", "/does/not/exist.yaml"], "/does/not/exist.yaml"),
        (["build", "--k8s", "1.30", "--addon-file", "/does/not/exist.yaml"], "/does/not/exist.yaml"),
        (["build", "--k8s", "1.30", "--arch", "s390x"], "amd64"),
        (["build", "--k8s", "1.30", "--mirror", "nowhere"], "aliyun"),
        (["build", "--k8s", "1.30", "--catalog", "/does/not/exist"], "/does/not/exist"),
        (["build", "--lock", "/does/not/exist.json"], "/does/not/exist.json"),
        (["build", "--lock", "x.json", "--cni", "none"], "a lock has decided that already"),
        (["build", "--lock", "x.json", "--arch", "arm64", "--addon", "longhorn"], "--arch, --addon"),
        (["build", "--lock", "x.json", "--values", "cluster.yaml"], "--values"),
    ],
)
def test_bad_input_is_answered_before_anything_is_asked(args: list[str], told: str, tmp_path: Path) -> None:
    if args[0] == "build":
        args = [*args, "--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_path_without_a_media_set_is_named(tmp_path: Path) -> None:
    for verb in ("verify", "inspect"):
        result = run(verb, str(tmp_path))
        assert result.exit_code in (2, 4)
        assert str(tmp_path) in result.stderr


@pytest.mark.parametrize("verb", ["build", "lock"])
def test_the_default_pod_network_is_told(verb: str) -> None:
    assert f"[default: {DEFAULT_NETWORK}," in " ".join(run(verb, "--help").output.split())


def test_every_verb_explains_itself() -> None:
    for verb in ([], ["build"], ["lock"], ["verify"], ["inspect"], ["catalog"], ["catalog", "show"]):
        result = run(*verb, "--help")
        assert result.exit_code == 0
        assert all(len(line) <= 80 for line in result.output.splitlines()), result.output
