"""A site's cluster.yaml for the build: its values and facts, and where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.errors import InputError
from bundler.site_values import SiteValues
from installer.config import ClusterConfig

TEXT = """
clusterName: plant
podSubnet: 10.9.0.0/16
serviceSubnet: fd00:10:96::/108
dnsDomain: plant.local
kubelet: {failCgroupV1: false}
addons:
  longhorn: {values: {image: {csi: {tag: v4}}, since: 2026-11-21, host: "${apiHost}"}}
  metrics-server:
"""


def read(folder: Path, text: str | bytes) -> SiteValues:
    path = folder / "cluster.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return SiteValues.from_file(path)


def test_values_and_facts_are_what_the_installer_reads_in_the_same_file(tmp_path: Path) -> None:
    found = read(tmp_path, TEXT)
    assert found.addons == ClusterConfig.from_text(TEXT, where="c").addons
    assert found.addons["longhorn"]["since"] == "2026-11-21"
    assert found.facts == {
        "podSubnet": "10.9.0.0/16",
        "serviceSubnet": "fd00:10:96::/108",
        "clusterDNS": "fd00:10:96::a",
        "dnsDomain": "plant.local",
    }
    assert found.name == "cluster.yaml"


@pytest.mark.parametrize("text", ["", "# nothing\n", "kubelet: {anything: [at, all]}\n"])
def test_a_file_without_add_ons_says_nothing(tmp_path: Path, text: str) -> None:
    assert (read(tmp_path, text).addons, read(tmp_path, text).facts) == ({}, {})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("addons:\n  flannel: {values: [\n", "line 3, column 1"),
        ("addons:\n\tflannel: 1\n", "line 2, column 1"),
        ("a: 1\na: 2\n", "line 2, column 1"),
        ("a: &x 1\nb: *x\n", "line 2, column 4"),
    ],
)
def test_what_does_not_parse_is_refused_naming_file_and_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert caught.value.where == f"{tmp_path / 'cluster.yaml'}, {line}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("addons: {flannel: {values: {a: '${podCidr}'}}}", "addons.flannel: values.a: unknown fact ${podCidr}"),
        ("addons: {flannel: {values: [1]}}", "addons.flannel.values: wanted a mapping"),
        ("addons: {flannel: {vals: {}}}", "addons.flannel.vals: unknown field"),
        ("addons: [flannel]", "addons: wanted a mapping"),
        ("[]", "the document: wanted a mapping"),
        ("podSubnet: 10.9.0.1/16", "podSubnet: not a network"),
        ("serviceSubnet: 10.96.0.0/29", "serviceSubnet: too small a network"),
        ("serviceSubnet: 3", "serviceSubnet: wanted a string"),
        ("dnsDomain: ''", "dnsDomain: must not be empty"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_path(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert caught.value.where == str(tmp_path / "cluster.yaml")
    assert said in (caught.value.got or "")


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        SiteValues.from_file(tmp_path / "missing.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, b"\xff\xfe")
