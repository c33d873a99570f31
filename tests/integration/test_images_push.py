"""``images push`` into a real docker-registry, from both sides, and a real containerd that pulls from there."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from bundler.assemble import MediaSet, assemble
from bundler.cli import main
from bundler.measure import UnpackedSizes
from installer import cli
from installer.bundle.mediatypes import ACCEPT
from installer.bundle.reader import open_media_set
from installer.bundle.siteregistry import SiteRegistry
from installer.config import ClusterConfig
from installer.render import containerd as render
from installer.sitemirrors import mirrors_of
from installer.steps.registries import RegistryHosts
from tests.fakes.authority import authority
from tests.fakes.docker_registry import HTPASSWD, docker_registry, token_server
from tests.fakes.images import AMD64, Parts, small_parts, tar_of
from tests.fakes.media import lab_key
from tests.integration.containerd_generations import Generation, every_generation
from tests.integration.containerd_lab import ContainerdLab, LabNode, carry_out

pytestmark = pytest.mark.network
ACCOUNT = "reader:correct horse"


@pytest.fixture(scope="module")
def parts() -> Parts:
    made = small_parts(large_bytes=50_000)
    made.image("quay.io/site/lone:1", {AMD64: [tar_of({"lone": b"lone"})]}, single=True)
    return made


@pytest.fixture(scope="module")
def media(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> MediaSet:
    folder = tmp_path_factory.mktemp("media")
    sizes = UnpackedSizes(folder / "s")
    return assemble(parts.lock(), parts.store, b"#!/bin/sh\n", folder, sizes=sizes, key=lab_key(), jobs=2)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with docker_registry(tmp_path) as host:
        yield host


def install(capture: pytest.CaptureFixture[str], media: MediaSet, *words: str | Path) -> tuple[int, str]:
    code = cli.run(["images", "push", *map(str, words), "--media", str(media.folder)])
    said = capture.readouterr()
    return code, said.out + said.err


def test_the_node_pushes_and_the_builder_finds_all_of_it_there(
    media: MediaSet, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = install(capsys, media, f"{registry}/k8s", "--json")
    assert code == 0, said
    events = [json.loads(line) for line in said.splitlines()]
    pushed = {event["name"]: event["kept"] for event in events if event["event"] == "pushed"}
    assert pushed[f"{registry}/k8s/registry.k8s.io/pause:3.9"] == "part"
    assert pushed[f"{registry}/k8s/quay.io/site/lone:1"] == "whole"
    result = CliRunner().invoke(main, ["push", "--images", f"oci://{registry}/k8s", str(media.folder), "--json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["sent_bytes"], len(document["images"])) == (0, len(pushed))


def test_every_manifest_and_layer_has_the_bundle_s_bytes(
    media: MediaSet, parts: Parts, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(capsys, media, registry)[0] == 0
    for image in parts.images:
        base = f"http://{registry}/v2/{image.reference.registry}/{image.reference.repository}"
        its = image.platforms[AMD64]
        by_tag = requests.get(f"{base}/manifests/{image.reference.tag}", headers={"Accept": ACCEPT}, timeout=10)
        assert by_tag.content == parts.store.blobs[its.manifest]
        for digest in (its.config, *its.layers):
            assert requests.get(f"{base}/blobs/{digest}", timeout=10).content == parts.store.blobs[digest]


def test_it_says_which_indexes_the_registry_refused_and_what_goes_into_cluster_yaml(
    media: MediaSet, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = install(capsys, media, f"{registry}/k8s")
    assert code == 0, said
    words = " ".join(said.split())
    assert "4 images of more platforms than the bundle carries" in words
    text = said.partition("with these lines in cluster.yaml:\n")[2]
    with open_media_set(media.folder) as bundle:
        site = SiteRegistry.parse(f"{registry}/k8s", plain_http=False, has_ca=False, where="")
        assert ClusterConfig.from_text(text, where="it").registries == mirrors_of(bundle.index.images, site, None)


@every_generation
def test_containerd_pulls_from_there(
    lab: ContainerdLab,
    containerd: Generation,
    media: MediaSet,
    registry: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert install(capsys, media, f"{registry}/k8s")[0] == 0
    node = LabNode(lab)
    node.write_file(render.CONFIG_PATH, render.config(containerd.version, lab.settings(None)).encode())
    assert lab.restart().ok, lab.log
    site = SiteRegistry.parse(f"{registry}/k8s", plain_http=False, has_ca=False, where="")
    with open_media_set(media.folder) as bundle:
        images = bundle.index.images
    carry_out(node, RegistryHosts(mirrors_of(images, site, None)))
    hosts = f"{lab.folder}/node{render.REGISTRY_DIR}"
    lone = next(image for image in images if image.reference.repository == "site/lone")
    names = [str(image.reference) for image in images] + [lone.reference.pinned(lone.blob)]
    for name in names:
        pull = [*lab.ctr, "images", "pull", "--platform", "linux/amd64", "--hosts-dir", hosts, name]
        done = subprocess.run(pull, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, (name, done.stderr)
    asked = subprocess.run(
        [*lab.ctr, "images", "pull", "--hosts-dir", hosts, "registry.k8s.io/pause:none"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "not found" in asked.stderr


def credentials(folder: Path, text: str = ACCOUNT, mode: int = 0o600) -> Path:
    path = folder / "credentials"
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def test_basic_credentials_come_from_a_file_of_the_owner(
    media: MediaSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "site", "path": str(tmp_path / "htpasswd")}}
    with docker_registry(tmp_path, auth) as host:
        code, said = install(capsys, media, host)
        assert (code, "--credentials FILE" in said) == (5, True)
        assert install(capsys, media, host, "--credentials", credentials(tmp_path))[0] == 0
        code, said = install(capsys, media, host, "--credentials", credentials(tmp_path, "reader:wrong"))
        assert (code, "wants credentials" in said, "wrong" in said) == (5, True, False)
        code, said = install(capsys, media, host, "--credentials", credentials(tmp_path, mode=0o640))
        assert (code, "can be read by others" in said, "chmod 600" in said) == (2, True, True)
        answer = requests.get(
            f"http://{host}/v2/quay.io/site/lone/tags/list",
            headers={"Authorization": "Basic " + b64encode(ACCOUNT.encode()).decode()},
            timeout=10,
        )
        assert answer.json()["tags"] == ["1"]


def test_tokens_for_each_repository(media: MediaSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        token_server(tmp_path, "reader", "correct horse", 300) as (tokens, realm),
        docker_registry(tmp_path, tokens.auth(realm)) as host,
    ):
        code, said = install(capsys, media, f"{host}/k8s", "--credentials", credentials(tmp_path))
        assert code == 0, said
        assert "repository:k8s/quay.io/site/lone:pull,push" in tokens.asked
        code, said = install(capsys, media, f"{host}/k8s", "--credentials", credentials(tmp_path, "reader:wrong"))
        assert (code, "gives no token" in said) == (5, True)


def test_tls_of_a_private_authority(media: MediaSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ca, certificate, key = authority(tmp_path)
    with docker_registry(tmp_path, tls={"certificate": str(certificate), "key": str(key)}) as host:
        code, said = install(capsys, media, host, "--ca-file", ca)
        assert code == 0, said
        assert f"ca: {ca}" in said
        (tmp_path / "other").mkdir()
        code, said = install(capsys, media, host, "--ca-file", authority(tmp_path / "other")[0])
        assert (code, "certificate" in said) == (5, True)
        code, said = install(capsys, media, host, "--ca-file", tmp_path / "none.pem")
        assert (code, "CA file" in said) == (2, True)


def test_a_node_that_is_none_yet_is_told_before_anything_is_pushed(
    media: MediaSet, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = install(capsys, media, registry, "--use")
    assert code in (2, 3), said
    assert requests.get(f"http://{registry}/v2/_catalog", timeout=10).json() == {"repositories": []}
