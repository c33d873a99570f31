"""The site's registry as a mirror: what cluster.yaml gets, and what a node writes and keeps."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from installer.bundle.digest import Digest
from installer.bundle.reader import open_media_set
from installer.bundle.siteregistry import SiteRegistry
from installer.config import ClusterConfig
from installer.errors import InputError, PreflightError
from installer.execute import StepResult
from installer.given import saved_config
from installer.installed import CONFIG_PATH, Installed
from installer.registrydoor import read_credentials
from installer.report import JsonReport
from installer.sitemirrors import demand_staying, mirrors_here, mirrors_of, mirrors_text, use_mirrors
from tests.fakes.media import media_set
from tests.fakes.node import FakeNode
from tests.fakes.small_bundle import small_bundle

SITE = SiteRegistry("https", "registry.plant.example", "k8s")
IMAGES = small_bundle().index.images
CA = "/etc/ssl/plant.pem"
RECORD = Installed(
    Digest.of(b""), "k8s-v1.30.14-linux-amd64", "1.30.14", "cp", "cp-1", "10.0.0.1", "/var/lib/containerd", "done", 1
)
HOSTS = "/etc/containerd/certs.d/registry.k8s.io/hosts.toml"


def node_with(record: Installed | None = RECORD, config: str | None = None, uid: int = 0) -> FakeNode:
    node = FakeNode(uid=uid)
    if record is not None:
        record.write(node)
    return node if config is None else node.with_files({CONFIG_PATH: config})


def used(node: FakeNode, folder: Path) -> tuple[StepResult, ...]:
    wanted = mirrors_here(node, mirrors_of(IMAGES, SITE, CA))
    return use_mirrors(node, wanted, JsonReport(lambda _line: None), folder)


def test_every_registry_of_the_images_leads_to_its_path_at_the_site() -> None:
    mirrors = mirrors_of(IMAGES, SITE, CA)
    assert [mirror.name for mirror in mirrors] == ["docker.io", "ghcr.io", "registry.k8s.io"]
    (host,) = mirrors[2].hosts
    assert host.url == "https://registry.plant.example/v2/k8s/registry.k8s.io"
    assert (host.ca, host.override_path, mirrors[2].server) == (CA, True, "https://registry.plant.example")
    assert ClusterConfig.from_text(mirrors_text(mirrors), where="it").registries == mirrors


def test_a_node_asks_there_and_its_next_install_does_too(tmp_path: Path) -> None:
    mine = "clusterName: plant\ncontainerd:\n  registries:\n    quay.io:\n      hosts: [{url: https://q.example}]\n"
    node = node_with(config=mine)
    assert [result.outcome for result in used(node, tmp_path)] == ["changed", "changed"]
    assert 'host."https://registry.plant.example/v2/k8s/registry.k8s.io"' in (node.read_text(HOSTS) or "")
    kept = ClusterConfig.from_text(saved_config(node) or "", where="kept")
    assert (kept.cluster_name, [registry.name for registry in kept.registries]) == (
        "plant",
        ["docker.io", "ghcr.io", "quay.io", "registry.k8s.io"],
    )
    found = node.stat(CONFIG_PATH)
    assert found is not None
    assert found.mode == 0o600
    assert [result.outcome for result in used(node, tmp_path)] == ["as wanted", "as wanted"]


def test_a_node_that_was_given_no_cluster_yaml_has_one_afterwards(tmp_path: Path) -> None:
    node = node_with()
    used(node, tmp_path)
    assert len(ClusterConfig.from_text(saved_config(node) or "", where="kept").registries) == 3


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (node_with(None), "no node yet"),
        (node_with(replace(RECORD, state="started")), "no node yet"),
        (node_with(replace(RECORD, containerd_owner="site")), "may not read hosts.toml"),
        (
            node_with(config="containerd: {registries: {ghcr.io: {hosts: [{url: https://q.example}]}}}"),
            "names other hosts",
        ),
    ],
)
def test_where_it_cannot_be_used_that_is_said_before(node: FakeNode, told: str) -> None:
    before = node.files()
    with pytest.raises(InputError, match=told):
        mirrors_here(node, mirrors_of(IMAGES, SITE, CA))
    assert node.files() == before


def test_a_ca_on_the_medium_is_refused(tmp_path: Path) -> None:
    with open_media_set(media_set(tmp_path / "media", small_bundle())) as bundle:
        demand_staying(None, bundle)
        demand_staying(tmp_path / "ca.pem", bundle)
        with pytest.raises(InputError, match="on the medium"):
            demand_staying(bundle.path.parent / "ca.pem", bundle)


def test_only_root_changes_the_node(tmp_path: Path) -> None:
    with pytest.raises(PreflightError):
        used(node_with(uid=1000), tmp_path)


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("user:pass word\n", 0o600, None),
        ("robot$site+push:a:b", 0o400, None),
        ("user:pass\n", 0o604, "read by others"),
        ("user\n", 0o600, "cannot be used"),
        (":pass\n", 0o600, "cannot be used"),
        ("user:a\nuser:b\n", 0o600, "cannot be used"),
    ],
)
def test_credentials_are_one_line_that_only_the_owner_reads(
    text: str, mode: int, told: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    path.chmod(mode)
    if told is None:
        found = read_credentials(path)
        assert f"{found.user}:{found.password}" == text.rstrip("\n")
        assert found.password not in repr(found)
    else:
        with pytest.raises(InputError, match=told) as caught:
            read_credentials(path)
        assert "pass" not in str(caught.value.got)


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(InputError, match="no file"):
        read_credentials(tmp_path / "pipe")


def test_credentials_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_credentials(tmp_path / "none")
