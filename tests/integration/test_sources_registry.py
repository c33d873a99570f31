"""Images from a real docker-registry: its manifests, its blobs, its basic auth, and tokens it verifies itself."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from bundler.errors import SourceError
from bundler.mirrors import ImageLocation
from bundler.sources.auth import DockerConfig
from bundler.sources.download import Download, Wanted
from bundler.sources.http import HttpClient, HttpSettings
from bundler.sources.registry import RegistryClient
from bundler.store import Store
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from tests.fakes.docker_registry import HTPASSWD, docker_registry, push, token_server
from tests.fakes.registry_images import Document, attestation, image, index, on

pytestmark = pytest.mark.network

PLATFORMS = (Platform("linux/amd64"), Platform("linux/arm64"))
USER, PASSWORD = "reader", "correct horse"
IMAGES = {
    "team/oci": index(
        (image("amd64", "a" * 200_000, compression="zstd"), on("amd64")),
        (image("arm64"), on("arm64", "v8")),
        (attestation(), on("unknown", os="unknown")),
    ),
    "team/docker": index(
        (image("amd64", docker=True), on("amd64")), (image("arm64", docker=True), on("arm64")), docker=True
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry's data with :data:`IMAGES` in it, pushed once."""
    path = tmp_path_factory.mktemp("registry")
    with docker_registry(path) as host:
        for name, document in IMAGES.items():
            push(host, name, "v1", document)
    return path


class _Site:
    """One build's view of the registry: a store, and a client with the user's credentials."""

    def __init__(self, tmp_path: Path, host: str, *, credentials: bool) -> None:
        self.host = host
        self.store = Store(tmp_path / "store")
        self.http = HttpClient(HttpSettings(read_timeout_seconds=5, attempts=2, backoff_seconds=0.05))
        if credentials:
            account = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": account}}}))
        self.client = RegistryClient(self.http, self.store, DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)}))

    def fetch(self, name: str, pause_seconds: float = 0) -> None:
        """Resolves and fetches one image, all of it."""
        locations = [ImageLocation("http", self.host, name)]
        resolved = self.client.resolve(Reference("registry.k8s.io", name, "v1"), PLATFORMS, locations)
        time.sleep(pause_seconds)
        for blob in resolved.blobs:
            wanted = Wanted(blob.digest, blob.size_bytes, name)
            Download(self.http, self.store).run(wanted, self.client.blob_openings(locations, blob))

    def demand_all(self, document: Document) -> None:
        """The index as pushed, and every blob of the platforms, in the store."""
        assert self.store.read_bytes(document.digest, 100_000) == document.body
        for below in document.documents:
            if below.body != attestation().body:
                assert self.store.read_bytes(below.digest, 100_000) == below.body
                assert all(self.store.read_bytes(Digest.of(blob), 1_000_000) == blob for blob in below.blobs)


def test_fetches_images_of_both_formats(folder: Path, tmp_path: Path) -> None:
    with docker_registry(folder) as host:
        site = _Site(tmp_path, host, credentials=False)
        for name, document in IMAGES.items():
            site.fetch(name)
            site.demand_all(document)
        assert not site.store.has(attestation().digest)


def test_names_an_image_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    with docker_registry(folder) as host:
        site = _Site(tmp_path, host, credentials=False)
        with pytest.raises(SourceError) as caught:
            site.fetch("team/none")
    assert caught.value.where == f"http://{host}/v2/team/none/manifests/v1"
    assert "HTTP 404" in str(caught.value.got)


def test_basic_auth_from_the_docker_config(folder: Path, tmp_path: Path) -> None:
    (folder / "htpasswd").write_text(HTPASSWD)
    with docker_registry(folder, {"htpasswd": {"realm": "a realm", "path": str(folder / "htpasswd")}}) as host:
        with pytest.raises(SourceError) as caught:
            _Site(tmp_path, host, credentials=False).fetch("team/oci")
        assert "wants credentials" in str(caught.value.got)
        site = _Site(tmp_path, host, credentials=True)
        site.fetch("team/oci")
        site.demand_all(IMAGES["team/oci"])


def test_tokens_that_the_registry_verifies_and_that_expire_midway(folder: Path, tmp_path: Path) -> None:
    with token_server(tmp_path, USER, PASSWORD, lifetime_seconds=2) as (tokens, realm):
        with docker_registry(folder, tokens.auth(realm)) as host:
            with pytest.raises(SourceError) as caught:
                _Site(tmp_path, host, credentials=False).fetch("team/oci")
            assert "refused a request without credentials" in str(caught.value.got)
            site = _Site(tmp_path, host, credentials=True)
            site.fetch("team/docker")
            site.fetch("team/oci", pause_seconds=3)
            for name, document in IMAGES.items():
                site.demand_all(document)
                assert f"repository:{name}:pull" in tokens.asked
        assert tokens.asked.count("repository:team/oci:pull") == 2


def test_a_blob_is_resumed_where_an_earlier_run_stopped(folder: Path, tmp_path: Path) -> None:
    layer = IMAGES["team/oci"].documents[0].blobs[1]
    with docker_registry(folder) as host:
        site = _Site(tmp_path, host, credentials=False)
        site.store.partial_path(Digest.of(layer)).write_bytes(layer[:20])
        counted: list[int] = []
        blob = Descriptor(Digest.of(layer), len(layer), "application/vnd.oci.image.layer.v1.tar+zstd")
        openings = site.client.blob_openings([ImageLocation("http", host, "team/oci")], blob)
        wanted = Wanted(blob.digest, blob.size_bytes, "a layer")
        Download(site.http, site.store, counted.append).run(wanted, openings)
    assert counted == [20, len(layer) - 20], "what was there, and only the rest over the network"
    assert site.store.has(blob.digest)
