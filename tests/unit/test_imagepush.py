"""Which images go where in a registry of the site, and what its tags lead to: over a registry in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.assemble import assemble
from bundler.measure import UnpackedSizes
from installer.bundle import distribution
from installer.bundle.digest import Digest
from installer.bundle.distribution import Answer, NoAnswer, Repository
from installer.bundle.errors import InputError, IntegrityError, RegistryError
from installer.bundle.imagepush import ImagePush, PushedImages, demand_pushable, site_repository
from installer.bundle.platform import Platform
from installer.bundle.reader import Bundle, open_media_set
from installer.bundle.reference import Reference
from installer.bundle.siteregistry import SiteRegistry
from tests.fakes.images import AMD64, ARM64, small_parts, tar_of
from tests.fakes.memory_registry import MemoryRegistry


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Bundle]:
    yield from opened(tmp_path, (AMD64,))


def opened(folder: Path, platforms: tuple[Platform, ...]) -> Iterator[Bundle]:
    parts = small_parts(large_bytes=1000, platforms=platforms)
    parts.image("registry.plant.example:5000/lone:1", {AMD64: [tar_of({"lone": b"lone"})]}, single=True)
    made = assemble(
        parts.lock(platforms),
        parts.store,
        b"#!/bin/sh\n",
        folder / "dist",
        sizes=UnpackedSizes(folder / "sizes"),
        jobs=1,
    )
    with open_media_set(made.folder) as found:
        yield found


def pushed(bundle: Bundle, registry: MemoryRegistry, *, force: bool = False) -> PushedImages:
    return ImagePush(bundle, registry, "k8s").run(force=force)


def test_names_keep_their_registry_below_the_prefix() -> None:
    for text, there in (
        ("registry.k8s.io/coredns/coredns:v1", "k8s/registry.k8s.io/coredns/coredns"),
        ("busybox", "k8s/docker.io/library/busybox"),
        ("registry.plant.example:5000/a/b:1", "k8s/registry.plant.example-5000/a/b"),
    ):
        assert site_repository(Reference.parse(text), "k8s") == there
    assert site_repository(Reference.parse("quay.io/x:1"), "") == "quay.io/x"


def test_a_registry_that_takes_them_gets_indexes_as_they_are(bundle: Bundle) -> None:
    registry = MemoryRegistry(wants_children=False)
    result = pushed(bundle, registry)
    assert {image.kept for image in result.images} == {"whole"}
    for image in bundle.index.images:
        repository = site_repository(image.reference, "k8s")
        tag = image.reference.tag
        assert Digest.of(registry.manifests[repository, str(tag)]) == image.blob
    again = pushed(bundle, registry)
    assert (again.sent_bytes, again.present_bytes) == (0, result.sent_bytes + result.present_bytes)


def test_a_registry_that_wants_every_platform_gets_the_one_that_is_carried(bundle: Bundle) -> None:
    registry = MemoryRegistry()
    result = pushed(bundle, registry)
    assert {image.kept for image in result.images if image.reference.repository != "lone"} == {"part"}
    assert [image.kept for image in result.images if image.reference.repository == "lone"] == ["whole"]
    for image in bundle.index.images:
        found = registry.manifests[site_repository(image.reference, "k8s"), str(image.reference.tag)]
        assert Digest.of(found) == image.platforms[AMD64].manifest
    assert pushed(bundle, registry).sent_bytes == 0, "what an earlier run made is no other image"


def test_several_platforms_get_an_index_of_their_own(tmp_path: Path) -> None:
    for bundle in opened(tmp_path, (AMD64, ARM64)):
        registry = MemoryRegistry()
        pushed(bundle, registry)
        image = next(image for image in bundle.index.images if len(image.platforms) == 2)
        found = json.loads(registry.manifests[site_repository(image.reference, "k8s"), str(image.reference.tag)])
        assert [(entry["platform"]["architecture"], entry["digest"]) for entry in found["manifests"]] == [
            ("amd64", image.platforms[AMD64].manifest),
            ("arm64", image.platforms[ARM64].manifest),
        ]
        held = b"".join(bundle.chunks(image.blob))
        assert found["mediaType"] == json.loads(held)["mediaType"]


def test_a_bundle_of_more_platforms_takes_the_place_of_one(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    for folder, platforms in (("one", (AMD64,)), ("two", (AMD64, ARM64))):
        for bundle in opened(tmp_path / folder, platforms):
            pushed(bundle, registry)
    with pytest.raises(InputError, match="other images"):
        for bundle in opened(tmp_path / "less", (AMD64,)):
            pushed(bundle, registry)


def test_a_tag_with_another_image_stops_all_of_it(bundle: Bundle) -> None:
    registry = MemoryRegistry()
    image = bundle.index.images[0]
    place = (site_repository(image.reference, "k8s"), str(image.reference.tag))
    registry.manifests[place] = b'{"mediaType": "application/vnd.oci.image.manifest.v1+json"}'
    before = dict(registry.manifests)
    with pytest.raises(InputError, match="other images under these tags") as caught:
        pushed(bundle, registry)
    assert str(Digest.of(registry.manifests[place])) in str(caught.value.got)
    assert (registry.manifests, registry.blobs) == (before, {})
    pushed(bundle, registry, force=True)
    assert Digest.of(registry.manifests[place]) == image.platforms[AMD64].manifest


def test_a_dense_bundle_is_refused_with_the_way_out(tmp_path: Path) -> None:
    parts = small_parts(large_bytes=1000)
    lock = replace(parts.lock(), layers="dense")
    sizes = UnpackedSizes(tmp_path / "sizes")
    made = assemble(lock, parts.store, b"#!/bin/sh\n", tmp_path / "dist", sizes=sizes, jobs=1)
    with open_media_set(made.folder) as dense, pytest.raises(InputError, match="dense") as caught:
        demand_pushable(dense)
    assert "--layers registry" in str(caught.value.next_step)


class Breaking(MemoryRegistry):
    """Breaks the line at the piece that ``at`` names, ``times`` times, having kept ``kept_bytes`` of it."""

    def __init__(self, at: int, *, times: int = 1, forgets: bool = False, kept_bytes: int = 0) -> None:
        super().__init__()
        self.at, self.times, self.forgets, self.kept_bytes = at, times, forgets, kept_bytes
        self.patches = 0

    def ask(self, repository: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        if method == "PATCH":
            self.patches += 1
            if self.patches >= self.at and self.times:
                self.times -= 1
                if self.forgets:
                    self.uploads.clear()
                else:
                    super().ask(repository, method, url, headers, (body or b"")[: self.kept_bytes])
                raise NoAnswer("the line broke", temporary=True)
        return super().ask(repository, method, url, headers, body)


@pytest.mark.parametrize("kept_bytes", [1, 50, 100])
def test_an_upload_goes_on_where_the_registry_says(kept_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "PIECE_BYTES", 100)
    registry, data, counted = Breaking(3, kept_bytes=kept_bytes), bytes(range(250)) * 4, [0]
    count = lambda size_bytes: counted.append(counted.pop() + size_bytes)  # noqa: E731
    Repository(registry, "a").push_blob(Digest.of(data), len(data), lambda: [data], count)
    assert registry.blobs["a", Digest.of(data)] == data
    assert counted == [len(data)]
    assert registry.asked.count("POST") == 1
    assert registry.received_bytes == len(data), "nothing that arrived is sent again"


def test_an_upload_that_the_registry_forgot_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "PIECE_BYTES", 100)
    registry, data, counted = Breaking(3, forgets=True), bytes(range(250)) * 4, [0]
    count = lambda size_bytes: counted.append(counted.pop() + size_bytes)  # noqa: E731
    Repository(registry, "a").push_blob(Digest.of(data), len(data), lambda: [data], count)
    assert registry.blobs["a", Digest.of(data)] == data
    assert (counted, registry.asked.count("POST")) == ([len(data)], 2)


def test_a_registry_that_keeps_breaking_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "PIECE_BYTES", 100)
    with pytest.raises(RegistryError, match="does not answer"):
        Repository(Breaking(1, times=99, forgets=True), "a").push_blob(Digest.of(b"x" * 200), 200, lambda: [b"x" * 200])


class Elsewhere(MemoryRegistry):
    """Says another address for uploads than the one it is asked at."""

    location = ""

    def ask(self, repository: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        answer = super().ask(repository, method, url, headers, body)
        return replace(answer, headers={**answer.headers, "location": self.location}) if method == "POST" else answer


def test_a_registry_behind_another_server_is_asked_by_tls_all_the_same() -> None:
    registry, data = Elsewhere(), b"data"
    registry.location = "http://registry.plant.example/v2/a/blobs/uploads/1"
    Repository(registry, "a").push_blob(Digest.of(data), len(data), lambda: [data])
    assert registry.blobs["a", Digest.of(data)] == data


@pytest.mark.parametrize("location", ["", "http://elsewhere.example/x", "ftp://elsewhere.example/x", "https://[x/y"])
def test_bytes_go_nowhere_in_the_clear(location: str) -> None:
    registry = Elsewhere()
    registry.location = location
    with pytest.raises(RegistryError, match="where the upload goes on"):
        Repository(registry, "a").push_blob(Digest.of(b"data"), 4, lambda: [b"data"])
    assert registry.received_bytes == 0


def test_bytes_that_change_on_the_way_are_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="other bytes"):
        Repository(MemoryRegistry(), "a").push_blob(Digest.of(b"good"), 4, lambda: [b"evil"])


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("registry.plant.example/k8s", "https://registry.plant.example"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost:5000/a/b", "http://localhost:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_a_registry_of_the_site(text: str, base: str) -> None:
    assert SiteRegistry.parse(text, plain_http=False, has_ca=False, where="x").base == base
    assert SiteRegistry.parse(text, plain_http=False, has_ca=True, where="x").base.startswith("https://")


@pytest.mark.parametrize(
    "text", ["", "https://r.example", "r.example/UPPER", "user@r.example/x", "r.example/a:1", "r/.."]
)
def test_what_is_no_registry(text: str) -> None:
    with pytest.raises(InputError, match="not a registry's address"):
        SiteRegistry.parse(text, plain_http=False, has_ca=False, where="x")
