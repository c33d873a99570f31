"""Images from a registry that misbehaves, or holds odd images: exact bytes, or an error that says what is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.errors import InputError, SourceError
from bundler.mirrors import ImageLocation
from bundler.sources.auth import DockerConfig
from bundler.sources.download import Download, Wanted
from bundler.sources.http import HttpClient, HttpSettings
from bundler.sources.registry import RegistryClient, ResolvedImage
from bundler.store import Store
from installer.bundle.digest import Digest
from installer.bundle.mediatypes import DOCKER_CONFIG, OCI_MANIFEST
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from tests.fakes.faults import flip, page, redirect, reset_after, status, truncate_after
from tests.fakes.registry_images import Document, attestation, image, index, on
from tests.fakes.upstream import Fault, Upstream

pytestmark = pytest.mark.network

AMD64 = Platform("linux/amd64")
ARM64 = Platform("linux/arm64")
REPOSITORY = "team/app"
REFERENCE = Reference("registry.k8s.io", REPOSITORY, "v1")
MANIFEST = f"/v2/{REPOSITORY}/manifests/v1"
IMPATIENT = HttpSettings(read_timeout_seconds=5, attempts=3, backoff_seconds=0.01)
BOTH = index((image("amd64"), on("amd64")), (image("arm64"), on("arm64", "v8")), (attestation(), on("unknown")))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _client(store: Store, folder: Path | None = None) -> RegistryClient:
    config = DockerConfig.load({"DOCKER_CONFIG": str(folder or store.root)})
    return RegistryClient(HttpClient(IMPATIENT), store, config)


def _at(*upstreams: Upstream, repository: str = REPOSITORY) -> list[ImageLocation]:
    return [ImageLocation("http", upstream.host, repository) for upstream in upstreams]


def _resolve(upstream: Upstream, store: Store, *platforms: Platform, reference: Reference = REFERENCE) -> ResolvedImage:
    return _client(store).resolve(reference, platforms or (AMD64,), _at(upstream))


def _fetch(client: RegistryClient, upstream: Upstream, store: Store, resolved: ResolvedImage) -> None:
    for blob in resolved.blobs:
        wanted = Wanted(blob.digest, blob.size_bytes, "a blob")
        Download(HttpClient(IMPATIENT), store).run(wanted, client.blob_openings(_at(upstream), blob))


def _told(upstream: Upstream, store: Store, *platforms: Platform, reference: Reference = REFERENCE) -> str:
    with pytest.raises(SourceError) as caught:
        _resolve(upstream, store, *platforms, reference=reference)
    return "\n".join(caught.value.lines())


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(BOTH, id="OCI index"),
        pytest.param(
            index((image("amd64", docker=True), on("amd64")), (image("arm64", docker=True), on("arm64")), docker=True),
            id="Docker list",
        ),
        pytest.param(
            index((image("arm64", states_type=False), on("arm64")), (image("amd64"), on("amd64"))), id="no mediaType"
        ),
        pytest.param(index((index((image("amd64"), on("amd64")), (image("arm64"), on("arm64"))), {})), id="nested"),
        pytest.param(
            index(
                (index((image("amd64"), on("amd64"))), on("amd64")), (index((image("arm64"), on("arm64"))), on("arm64"))
            ),
            id="nested per platform",
        ),
        pytest.param(index((image("arm64"), {}), (image("amd64"), {})), id="only the configs say"),
        pytest.param(
            index((image("amd64", compression="zstd"), on("amd64")), (image("arm64"), on("arm64"))), id="zstd layers"
        ),
    ],
)
def test_finds_every_platform_and_keeps_the_bytes(upstream: Upstream, store: Store, document: Document) -> None:
    upstream.add_image(REPOSITORY, "v1", document)
    client = _client(store)
    resolved = client.resolve(REFERENCE, (AMD64, ARM64), _at(upstream))
    assert (resolved.blob.digest, resolved.blob.media_type) == (document.digest, document.media_type)
    assert resolved.blobs[0] == resolved.blob
    assert set(resolved.platforms) == {AMD64, ARM64}
    _fetch(client, upstream, store, resolved)
    assert store.read_bytes(document.digest, 100_000) == document.body
    named = {resolved.blob.digest}.union(*(found.blobs() for found in resolved.platforms.values()))
    assert named == {blob.digest for blob in resolved.blobs}
    for platform, found in resolved.platforms.items():
        config = json.loads(store.read_bytes(found.config, 10_000))
        assert f"linux/{config['architecture']}" == platform
        assert all(store.has(layer) for layer in found.layers)


def test_only_the_wanted_platform_travels_and_no_attestation(upstream: Upstream, store: Store) -> None:
    upstream.add_image(REPOSITORY, "v1", BOTH)
    resolved = _resolve(upstream, store)
    wanted = image("amd64")
    assert {blob.digest for blob in resolved.blobs} == {
        BOTH.digest,
        wanted.digest,
        *(Digest.of(blob) for blob in wanted.blobs),
    }


def test_a_nested_index_is_named_on_the_way_to_its_platform(upstream: Upstream, store: Store) -> None:
    inner = index((image("amd64"), on("amd64")))
    upstream.add_image(REPOSITORY, "v1", index((inner, {})))
    assert _resolve(upstream, store).platforms[AMD64].indexes == (inner.digest,)


def test_a_single_manifest_is_the_named_blob_itself(upstream: Upstream, store: Store) -> None:
    single = image("amd64", docker=True)
    upstream.add_image(REPOSITORY, "v1", single)
    resolved = _resolve(upstream, store)
    assert resolved.blob.digest == resolved.platforms[AMD64].manifest == single.digest
    assert DOCKER_CONFIG in {blob.media_type for blob in resolved.blobs}


@pytest.mark.parametrize(
    ("document", "has"),
    [
        pytest.param(image("arm64"), "linux/arm64", id="single manifest of another architecture"),
        pytest.param(BOTH_BUT := index((image("arm64"), on("arm64", "v8"))), "linux/arm64/v8", id="index without it"),
        pytest.param(index((image("amd64"), on("amd64", os="windows"))), "windows/amd64", id="another system"),
        pytest.param(index((index((BOTH_BUT, {})), {})), "linux/arm64/v8", id="nested without it"),
        pytest.param(index((attestation(), on("unknown", os="unknown"))), "no platform at all", id="nothing to run"),
    ],
)
def test_a_missing_platform_is_named_with_those_there_are(
    upstream: Upstream, store: Store, document: Document, has: str
) -> None:
    upstream.add_image(REPOSITORY, "v1", document)
    told = _told(upstream, store, AMD64)
    assert "not made for linux/amd64" in told
    assert has in told
    assert str(REFERENCE) in told
    assert "--arch" in told


def test_asked_by_digest_the_bytes_must_have_it(upstream: Upstream, store: Store) -> None:
    upstream.add_image(REPOSITORY, "v1", BOTH)
    pinned = Reference("registry.k8s.io", REPOSITORY, None, BOTH.digest)
    assert _resolve(upstream, store, reference=pinned).blob.digest == BOTH.digest
    asked = len(upstream.seen)
    assert _resolve(upstream, store, reference=pinned).blob.digest == BOTH.digest
    assert len(upstream.seen) == asked, "what is in the store by digest needs no question"
    other = Reference("registry.k8s.io", REPOSITORY, None, Digest.of(b"other"))
    upstream.add(f"/v2/{REPOSITORY}/manifests/{other.digest}", BOTH.body, BOTH.media_type)
    assert "wrong bytes" in _told(upstream, store, reference=other)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(429, Retry_After="0"), id="429"),
        pytest.param(status(503), id="503"),
        pytest.param(reset_after(10), id="reset"),
        pytest.param(truncate_after(10), id="truncated"),
        pytest.param(flip(20), id="changed byte"),
    ],
)
def test_a_passing_fault_does_not_matter(upstream: Upstream, store: Store, fault: Fault) -> None:
    upstream.add_image(REPOSITORY, "v1", BOTH)
    below = f"/v2/{REPOSITORY}/manifests/{image('amd64').digest}"
    upstream.plan(MANIFEST, fault)
    upstream.plan(below, fault)
    assert _resolve(upstream, store).blob.digest == BOTH.digest
    assert not upstream.faults[MANIFEST]
    assert not upstream.faults[below]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(status(404), "HTTP 404", id="404"),
        pytest.param(page, "web page", id="page"),
        pytest.param(
            status(200, body=b'{"schemaVersion": 1, "fsLayers": []}', content_type="application/json"),
            "Docker schema 1",
            id="schema 1",
        ),
        pytest.param(status(200, body=b"<html>", content_type=OCI_MANIFEST), "not an image manifest", id="no JSON"),
        pytest.param(status(200, body=b" " * 9_000_000, content_type=OCI_MANIFEST), "larger than", id="too large"),
    ],
)
def test_a_lasting_fault_is_named_with_its_source(upstream: Upstream, store: Store, fault: Fault, told: str) -> None:
    upstream.plan(MANIFEST, *[fault] * IMPATIENT.attempts)
    error = _told(upstream, store)
    assert told in error
    assert f"{upstream.url}{MANIFEST}" in error


def test_a_blob_is_resumed_and_verified(upstream: Upstream, store: Store) -> None:
    single = image("amd64", "text " * 100_000, compression="zstd")
    upstream.add_image(REPOSITORY, "v1", single)
    client = _client(store)
    resolved = client.resolve(REFERENCE, (AMD64,), _at(upstream))
    path = f"/v2/{REPOSITORY}/blobs/{resolved.platforms[AMD64].layers[0]}"
    upstream.plan(path, truncate_after(30), reset_after(10), flip(3))
    _fetch(client, upstream, store, resolved)
    assert [seen.headers.get("Range") for seen in upstream.requests(path)][:2] == [None, "bytes=30-"]
    assert all(store.has(blob.digest) for blob in resolved.blobs)


def test_the_next_location_serves_when_the_first_does_not(upstream: Upstream, store: Store) -> None:
    upstream.add_image(REPOSITORY, "v1", BOTH)
    with Upstream() as empty:
        resolved = _client(store).resolve(REFERENCE, (AMD64,), _at(empty, upstream))
    assert resolved.blob.digest == BOTH.digest


def test_tokens_are_asked_for_each_repository_and_renewed_when_they_end(upstream: Upstream, store: Store) -> None:
    upstream.want_token(uses=2)
    client = _client(store)
    for name in ("team/app", "team/other"):
        upstream.add_image(name, "v1", BOTH)
        locations = _at(upstream, repository=name)
        resolved = client.resolve(Reference("registry.k8s.io", name, "v1"), (AMD64, ARM64), locations)
        for blob in resolved.blobs:
            wanted = Wanted(blob.digest, blob.size_bytes, "a blob")
            Download(HttpClient(IMPATIENT), store).run(wanted, client.blob_openings(locations, blob))
    scopes = [seen.path.partition("scope=")[2] for seen in upstream.requests("/token")]
    assert {"repository%3Ateam%2Fapp%3Apull", "repository%3Ateam%2Fother%3Apull"} == set(scopes)
    assert len(scopes) > 3, "a token ended in the middle and another one was asked for"


def _docker_config(folder: Path, document: dict[str, object]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(document))
    return folder


def test_credentials_come_from_the_docker_config(upstream: Upstream, store: Store, tmp_path: Path) -> None:
    upstream.add_image(REPOSITORY, "v1", BOTH)
    account = base64.b64encode(b"reader:correct horse").decode()
    folder = _docker_config(tmp_path / "docker", {"auths": {f"http://{upstream.host}/v2/": {"auth": account}}})
    for want in (upstream.want_basic, lambda user, password: upstream.want_token(user=user, password=password)):
        want("reader", "correct horse")
        assert _client(store, folder).resolve(REFERENCE, (AMD64,), _at(upstream)).blob.digest == BOTH.digest


def test_credentials_come_from_a_helper(
    upstream: Upstream, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-vault"
    helper.write_text(
        f'#!/bin/sh\nread server\n[ "$1 $server" = "get {upstream.host}" ] || exit 1\n'
        'echo \'{"Username": "reader", "Secret": "correct horse"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    upstream.add_image(REPOSITORY, "v1", BOTH)
    upstream.want_basic("reader", "correct horse")
    folder = _docker_config(tmp_path / "docker", {"credHelpers": {upstream.host: "vault"}})
    assert _client(store, folder).resolve(REFERENCE, (AMD64,), _at(upstream)).blob.digest == BOTH.digest


@pytest.mark.parametrize("scheme", ["basic", "token"])
def test_refused_credentials_are_told_without_showing_them(
    upstream: Upstream, store: Store, tmp_path: Path, scheme: str
) -> None:
    upstream.add_image(REPOSITORY, "v1", BOTH)
    if scheme == "basic":
        upstream.want_basic("reader", "correct horse")
    else:
        upstream.want_token(user="reader", password="correct horse")
    account = base64.b64encode(b"reader:battery staple").decode()
    folder = _docker_config(tmp_path / "docker", {"auths": {upstream.host: {"auth": account}}})
    for client, what in ((_client(store), "without credentials|holds none"), (_client(store, folder), "refuse")):
        with pytest.raises(SourceError) as caught:
            client.resolve(REFERENCE, (AMD64,), _at(upstream))
        told = "\n".join(caught.value.lines())
        assert any(part in told for part in what.split("|")), told
        assert "staple" not in told
        assert account not in told


def test_a_token_is_not_sent_to_the_host_a_blob_is_redirected_to(upstream: Upstream, store: Store) -> None:
    single = image("amd64")
    upstream.add_image(REPOSITORY, "v1", single)
    upstream.want_token()
    client = _client(store)
    resolved = client.resolve(REFERENCE, (AMD64,), _at(upstream))
    layer = resolved.platforms[AMD64].layers[0]
    with Upstream() as elsewhere:
        url = elsewhere.add("/bucket/layer", single.blobs[1]).replace("127.0.0.1", "localhost")
        upstream.plan(f"/v2/{REPOSITORY}/blobs/{layer}", redirect(url))
        _fetch(client, upstream, store, resolved)
        assert len(elsewhere.seen) == 1
        assert "Authorization" not in elsewhere.seen[0].headers
    assert store.has(layer)


def test_a_host_a_blob_is_redirected_to_cannot_ask_for_the_credentials(
    upstream: Upstream, store: Store, tmp_path: Path
) -> None:
    single = image("amd64")
    upstream.add_image(REPOSITORY, "v1", single)
    upstream.want_basic("reader", "correct horse")
    account = base64.b64encode(b"reader:correct horse").decode()
    folder = _docker_config(tmp_path / "docker", {"auths": {upstream.host: {"auth": account}}})
    client = _client(store, folder)
    resolved = client.resolve(REFERENCE, (AMD64,), _at(upstream))
    with Upstream() as elsewhere:
        url = f"{elsewhere.url}/bucket/layer".replace("127.0.0.1", "localhost")
        challenge = f'Bearer realm="{elsewhere.url}/token",service="{elsewhere.host}"'
        elsewhere.plan("/bucket/layer", *[status(401, WWW_Authenticate=challenge)] * 2)
        upstream.plan(f"/v2/{REPOSITORY}/blobs/{resolved.platforms[AMD64].layers[0]}", redirect(url))
        with pytest.raises(SourceError) as caught:
            _fetch(client, upstream, store, resolved)
        assert "HTTP 401" in str(caught.value.got)
        assert [seen.path for seen in elsewhere.seen] == ["/bucket/layer"]


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"auths": ["HOST"]}, "cannot be read"),
        ({"auths": {"HOST": {"auth": "!"}}}, "credentials cannot be read"),
        ({"auths": {"HOST": {"identitytoken": "x"}}}, "identity token"),
        ({"credHelpers": {"HOST": "../../bin/sh"}}, "not a credential helper"),
    ],
)
def test_an_unusable_docker_config_is_refused(
    upstream: Upstream, store: Store, tmp_path: Path, document: dict[str, object], what: str
) -> None:
    upstream.want_basic("reader", "correct horse")
    folder = _docker_config(tmp_path / "docker", {})
    (folder / "config.json").write_text(json.dumps(document).replace("HOST", upstream.host))
    with pytest.raises(InputError, match=what):
        _client(store, folder).resolve(REFERENCE, (AMD64,), _at(upstream))
