"""Registries and images of rare shapes, from real registries: built whole where they may be, refused with a reason."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.build import Builder, Built, Request
from bundler.errors import SourceError
from bundler.mirrors import ImageBase, ImageRule, MirrorProfile
from bundler.progress import Progress
from bundler.sources.download import Download, Wanted
from bundler.sources.http import HttpSettings
from bundler.sources.upstreams import Upstreams
from bundler.store import Store
from installer.bundle.digest import Digest
from installer.bundle.platform import Platform
from installer.bundle.reader import open_media_set
from installer.bundle.reference import Reference
from tests.fakes.authority import authority
from tests.fakes.disturbance import ALWAYS, Planned
from tests.fakes.disturbing_proxy import DisturbingProxy
from tests.fakes.docker_registry import docker_registry
from tests.fakes.images import noise, tar_of
from tests.fakes.odd_images import FOREIGN, GZIP, add_artifact, add_image, add_index, odd_images, on, plain, single
from tests.fakes.small_release import SmallRelease, small_release
from tests.fakes.upstream import Upstream
from tests.lab.images import ImageParts
from tests.lab.registry import push

pytestmark = pytest.mark.network

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
LARGE = single(plain(GZIP, tar_of({"large": noise(2_000_000, 60)})))


@pytest.fixture(scope="module")
def images() -> dict[str, ImageParts]:
    return odd_images()


@pytest.fixture(scope="module")
def release(images: dict[str, ImageParts], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallRelease]:
    with small_release(tmp_path_factory.mktemp("release"), images) as served:
        yield served


@pytest.fixture(scope="module")
def proxy(release: SmallRelease) -> Iterator[DisturbingProxy]:
    """In front of the registry: what is asked for."""
    with Upstream(address="127.0.0.2") as elsewhere, DisturbingProxy(release.registry, elsewhere) as server:
        yield server


@pytest.fixture(scope="module")
def built(release: SmallRelease, proxy: DisturbingProxy, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A media set with all of the odd images."""
    folder = tmp_path_factory.mktemp("built")
    request = Request(
        k8s="1.30", arch="amd64", cni="site", addon=(), addon_file=(), values=None, runtime=str(release.runtime),
        mirror=str(release.mirror(folder / "mirror.yaml", registry=proxy.host)), catalog=(release.catalog,),
        ca_file=None, store=folder / "store", jobs=4,
    )  # fmt: skip
    builder = Builder(request, Progress())
    return builder.build(builder.resolve(), folder / "dist")


@pytest.fixture(scope="module")
def layout(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The media set's tarball, unpacked by GNU tar: an OCI layout."""
    folder = tmp_path_factory.mktemp("layout")
    subprocess.run(["tar", "--zstd", "-xf", str(built.media_set.tarball), "-C", str(folder)], check=True)
    return folder


def test_every_odd_image_is_in_the_media_set_with_its_bytes(
    built: Built, layout: Path, images: dict[str, ImageParts]
) -> None:
    with open_media_set(built.media_set.folder) as bundle:
        carried = {str(image.reference): image for image in bundle.index.images}
        sizes = {blob.digest: blob.unpacked_size_bytes for blob in bundle.index.blobs}
    assert set(images) <= set(carried)
    assert len(images) == 20
    assert len(carried["quay.io/odd/many:v1"].platforms[AMD64].layers) == 400
    for reference, parts in images.items():
        image = carried[reference]
        assert str(image.blob) == parts.top
        its = image.platforms[AMD64]
        for digest in image.blobs():
            data = (layout / "blobs" / "sha256" / digest.hex).read_bytes()
            assert data == (parts.blobs | {name: body for name, (_, body) in parts.manifests.items()})[str(digest)]
        config = json.loads(parts.blobs[str(its.config)])
        assert len(its.layers) == len(config["rootfs"]["diff_ids"])
        assert config["architecture"] == "amd64"
        assert all((sizes[layer] or 0) % 512 == 0 for layer in its.layers)


@pytest.mark.parametrize("name", ["estargz", "chunked"])
def test_the_unpacked_size_of_a_layer_in_many_pieces_is_that_of_its_tar(
    built: Built, images: dict[str, ImageParts], name: str
) -> None:
    with open_media_set(built.media_set.folder) as bundle:
        image = next(image for image in bundle.index.images if str(image.reference) == f"quay.io/odd/{name}:v1")
        (layer,) = image.platforms[AMD64].layers
        size_bytes = bundle.index.descriptors()[layer].unpacked_size_bytes
    files = {f"lazy{number}": noise(9_000, number) for number in range(5)}
    if name == "estargz":
        files["stargz.index.json"] = json.dumps({"version": 1, "entries": sorted(files)}).encode()
    assert size_bytes == len(tar_of(files))


def test_a_blob_that_many_images_share_is_fetched_once(built: Built, proxy: DisturbingProxy) -> None:
    with open_media_set(built.media_set.folder) as bundle:
        sharing = [image for image in bundle.index.images if "sharing" in str(image.reference)]
    (shared,) = set.intersection(*(set(image.platforms[AMD64].layers) for image in sharing))
    assert len(sharing) == 12
    assert len([seen for seen in proxy.seen if str(shared) in seen.path]) == 1


def test_other_tools_read_them(layout: Path, tmp_path: Path, images: dict[str, ImageParts]) -> None:
    # of entries without a platform skopeo takes the first, whatever it is
    for reference in set(images) - {"quay.io/odd/artifacts:v1"}:
        target = tmp_path / reference.replace("/", "_").replace(":", "_")
        argv = ["skopeo", "--override-arch", "amd64", "copy", "--quiet", f"oci:{layout}:{reference}", f"dir:{target}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class _Site:
    """A store, and the registry at ``base`` through a mirror profile."""

    def __init__(self, folder: Path, base: str, ca_file: Path | None = None, **more: Any) -> None:
        self.store = Store(folder / "store")
        profile = MirrorProfile("site", (), (ImageRule("", (ImageBase(base, **more),)),), fallback=False)
        settings = HttpSettings(ca_file=ca_file, read_timeout_seconds=5, attempts=3, backoff_seconds=0.01)
        self.upstreams = Upstreams(self.store, profile, settings, {"DOCKER_CONFIG": str(folder)})

    def fetch(self, name: str, *platforms: Platform) -> str:
        """All of one image; the digest it has."""
        reference = Reference("quay.io", f"odd/{name}", "v1")
        resolved = self.upstreams.resolve(reference, platforms or (AMD64,))
        for blob in resolved.blobs:
            wanted = Wanted(blob.digest, blob.size_bytes, name)
            Download(self.upstreams.http, self.store).run(wanted, self.upstreams.blob_openings(reference, blob))
        assert all(self.store.verify(blob.digest) for blob in resolved.blobs)
        return str(resolved.blob.digest)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, images: dict[str, ImageParts]) -> Path:
    """A registry's data, with images that can be carried and others that cannot."""
    folder = tmp_path_factory.mktemp("data")
    refused = {
        "foreign": single(plain(FOREIGN, tar_of({"windows": b"base"})), plain(GZIP, tar_of({"own": b"own"}))),
        "artifact": ImageParts(),
        "arm": ImageParts(),
    }
    refused["artifact"].top = add_artifact(refused["artifact"])["digest"]
    arm = refused["arm"]
    add_index(arm, *(add_image(arm, [], "arm") | on("arm", variant) for variant in ("v6", "v7")))
    carried = {"large": LARGE, "variants": images["quay.io/odd/variants:v1"]}
    with docker_registry(folder) as host:
        for name, parts in {**carried, **refused}.items():
            push(host, f"quay.io/odd/{name}", "v1", parts)
            push(host, f"lab/quay.io/odd/{name}", "v1", parts)
    return folder


def test_a_registry_below_a_path_of_a_server(data: Path, tmp_path: Path) -> None:
    with docker_registry(data, prefix="/hosted/registry/") as host:
        site = _Site(tmp_path, f"{host}/lab", plain_http=True, api_path="/hosted/registry")
        assert site.fetch("large") == LARGE.top
        with pytest.raises(SourceError) as caught:
            site.fetch("nothing")
    assert caught.value.where == f"http://{host}/hosted/registry/v2/lab/quay.io/odd/nothing/manifests/v1"


def test_tls_of_a_private_authority(data: Path, tmp_path: Path) -> None:
    ca, certificate, key = authority(tmp_path)
    with docker_registry(data, tls={"certificate": str(certificate), "key": str(key)}) as host:
        with pytest.raises(SourceError) as caught:
            _Site(tmp_path, host).fetch("large")
        assert "certificate" in str(caught.value.got)
        assert "--ca-file" in str(caught.value.next_step)
        assert _Site(tmp_path, host, ca).fetch("large") == LARGE.top


def test_a_registry_without_ranges(data: Path, tmp_path: Path) -> None:
    (layer,) = (digest for digest, blob in LARGE.blobs.items() if len(blob) > 1_000_000)
    path = f"/v2/quay.io/odd/large/blobs/{layer}"
    broken = Planned("truncated", "GET", path, 0, 1, 0.5)
    without = Planned("range ignored", "GET", path, 1, ALWAYS, 0)
    with (
        docker_registry(data) as host,
        Upstream(address="127.0.0.2") as elsewhere,
        DisturbingProxy(host, elsewhere) as server,
    ):
        server.follow((broken, without))
        assert _Site(tmp_path, server.host, plain_http=True).fetch("large") == LARGE.top
        asked = [seen.headers.get("Range") for seen in server.requests(path)]
    assert len(asked) == 2
    assert asked[1] is not None


def test_variants_of_a_processor_are_told_apart(data: Path, images: dict[str, ImageParts], tmp_path: Path) -> None:
    parts = images["quay.io/odd/variants:v1"]
    with docker_registry(data) as host:
        site = _Site(tmp_path, host, plain_http=True)
        site.fetch("variants", AMD64, ARM64)
        texts = {_only_file(data) for digest, data in parts.blobs.items() if (site.store.path(Digest(digest))).exists()}
        with pytest.raises(SourceError) as caught:
            site.fetch("arm", ARM64)
    assert texts - {None} == {b"amd64", b"arm64v8"}
    assert str(caught.value.got) == "linux/arm/v6, linux/arm/v7"
    assert "not made for linux/arm64" in caught.value.message


def _only_file(data: bytes) -> bytes | None:
    """What the file of a layer says; ``None`` for what is no layer."""
    if not data.startswith(b"\x1f\x8b"):
        return None
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (member,) = archive
        return archive.extractfile(member).read()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "told", "next_step"),
    [
        ("foreign", "a layer that its registry may not distribute", "built with all of its layers"),
        ("artifact", "an artifact, not a container image", "check the reference"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_the_reason(
    data: Path, tmp_path: Path, name: str, told: str, next_step: str
) -> None:
    with docker_registry(data) as host:
        site = _Site(tmp_path, host, plain_http=True)
        with pytest.raises(SourceError) as caught:
            site.fetch(name)
    assert f"odd/{name}:v1" in caught.value.message
    assert caught.value.where == f"http://{host}/v2/quay.io/odd/{name}/manifests/v1"
    assert told in str(caught.value.got)
    assert next_step in str(caught.value.next_step)
    assert not list((site.store.root / "blobs" / "sha256").iterdir()), "nothing of it is kept"


def test_docker_schema_1_is_refused_with_the_reason(tmp_path: Path) -> None:
    body = json.dumps({"schemaVersion": 1, "name": "odd/old", "tag": "v1", "fsLayers": [], "history": []}).encode()
    with Upstream() as old:
        old.add_manifest("quay.io/odd/old", body, "application/vnd.docker.distribution.manifest.v1+prettyjws", "v1")
        served = old.replies["/v2/quay.io/odd/old/manifests/v1"]
        old.plan("/v2/quay.io/odd/old/manifests/v1", lambda handler, _reply: handler.serve(served))
        with pytest.raises(SourceError) as caught:
            _Site(tmp_path, old.host, plain_http=True).fetch("old")
    assert "the retired Docker schema 1" in str(caught.value.got)
    assert "newer tag" in str(caught.value.next_step)
