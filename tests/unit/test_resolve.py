"""Resolving: a request and what the outside tells make one lock, whatever the order of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bundler.catalog import Catalog
from bundler.errors import InputError, IntegrityError
from bundler.imagelist import kubernetes_images
from bundler.lockfile import Lock
from bundler.resolve import BuildRequest, resolve
from installer.bundle import mediatypes
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from tests.fakes.outside import SHARED_LAYER, Image, Outside, image
from tests.unit.catalogue_folders import minor_document, overlaid, sums

A = TypeVar("A")
B = TypeVar("B")
AMD64 = Platform("linux/amd64")
ARM64 = Platform("linux/arm64")
BUILT_IN = Catalog.load()
REQUEST = BuildRequest("1.30", (AMD64,), zstd="1.5.7", cni="none")


def listed(version: str) -> tuple[Reference, ...]:
    return tuple(image.reference for image in kubernetes_images(BUILT_IN.release(version)))


def test_a_lock_holds_files_images_and_their_blobs_once() -> None:
    lock = resolve(REQUEST, BUILT_IN, Outside())
    assert (lock.kubernetes, lock.name, lock.zstd, lock.cni) == ("1.30.14", "k8s-v1.30.14-linux-amd64", "1.5.7", "none")
    assert [file.component for file in lock.files] == [
        "cni-plugins", "containerd", "crictl", "etcdctl", "kubeadm", "kubectl", "kubelet", "runc",
    ]  # fmt: skip
    endpoint = ["docker.io/library/haproxy:3.2.21-alpine", "ghcr.io/kube-vip/kube-vip:v1.0.3"]
    assert [str(image.reference) for image in lock.images] == sorted([*map(str, listed("1.30.14")), *endpoint])
    roles = {image.purpose: image.roles for image in lock.images}
    assert (roles["haproxy"], roles["kube-vip"]) == (("cp", "worker"), ("cp",))
    digests = [blob.digest for blob in lock.blobs]
    assert digests == sorted(set(digests))
    named = {file.blob for file in lock.files} | {digest for image in lock.images for digest in image.blobs()}
    assert set(digests) == named
    assert Lock.from_bytes(lock.to_bytes(), where="lock") == lock


def test_media_types_and_sizes_of_the_files() -> None:
    lock = resolve(REQUEST, BUILT_IN, Outside())
    blobs = {blob.digest: blob for blob in lock.blobs}
    kinds = {file.component: blobs[file.blob].media_type for file in lock.files}
    assert kinds["kubeadm"] == kinds["runc"] == mediatypes.OCTET_STREAM
    assert kinds["containerd"] == kinds["etcdctl"] == mediatypes.TAR_GZIP
    assert all(blobs[file.blob].size_bytes == len(file.source.origin) for file in lock.files)


def test_whose_word_each_digest_is() -> None:
    lock = resolve(REQUEST, BUILT_IN, Outside())
    assert {file.source.trust for file in lock.files} == {"upstream"}
    assert {image.source.trust for image in lock.images} == {"first-seen"}
    assert [(runtime.trust, runtime.catalogue) for runtime in lock.runtimes] == [("upstream", "built-in")]


def test_entries_of_an_overlay_are_the_users_word(tmp_path: Path) -> None:
    images = {"coredns": "v1.11.3", "etcd": "3.5.15-0", "pause": "3.9"}
    release = {"1.30.14": {"images": images, "sha256": {"kubelet": sums("a")}}}
    runtime = {"url": "https://site.example/python.tar.gz", "sha256": "b" * 64}
    catalog = overlaid(
        tmp_path / "site",
        {
            "kubernetes/v1.30.yaml": minor_document(releases=release),
            "runtime.yaml": {"schema": 1, "pythons": {"3.14.7": {"archives": {"amd64": runtime}}}},
        },
    )
    lock = resolve(REQUEST, catalog, Outside())
    assert [file.component for file in lock.files if file.source.trust == "user"] == ["kubelet"]
    whose = {image.purpose: image.source.catalogue for image in lock.images}
    assert {name for name, catalogue in whose.items() if catalogue == "built-in"} == {"haproxy", "kube-vip"}
    (locked,) = lock.runtimes
    assert (locked.origin, locked.trust, locked.catalogue) == ("https://site.example/python.tar.gz", "user", "site")
    assert [wheel.name for wheel in locked.wheels] == ["click", "pyyaml", "tqdm", "zstandard"]


def test_the_lock_does_not_depend_on_the_order_of_the_questions() -> None:
    def backwards(question: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
        answers = [question(item) for item in reversed(list(items))]
        return iter(answers[::-1])

    request = replace(REQUEST, platforms=(ARM64, AMD64, ARM64))
    one = resolve(request, BUILT_IN, Outside())
    other = resolve(replace(request, platforms=(AMD64, ARM64)), BUILT_IN, Outside(), backwards)
    assert one.to_bytes() == other.to_bytes()
    assert one.platforms == (AMD64, ARM64)
    assert one.name == "k8s-v1.30.14-linux-amd64-arm64"
    assert [runtime.platform for runtime in one.runtimes] == [AMD64, ARM64]


def test_the_time_is_the_catalogues_date_unless_given() -> None:
    assert resolve(REQUEST, BUILT_IN, Outside()).created_seconds == BUILT_IN.created_seconds
    assert resolve(replace(REQUEST, created_seconds=0), BUILT_IN, Outside()).created_seconds == 0


def test_kubeadm_tells_the_pause_image_where_it_can_be_executed() -> None:
    outside = Outside(told={ARM64: listed("1.30.14")})
    both = resolve(replace(REQUEST, platforms=(AMD64, ARM64)), BUILT_IN, outside)
    assert (str(both.pause.reference), both.pause.told_by) == ("registry.k8s.io/pause:3.9", "kubeadm")
    assert resolve(REQUEST, BUILT_IN, outside).pause.told_by == "catalogue"


def test_kubeadm_and_catalogue_must_agree() -> None:
    told = tuple(
        Reference.parse("registry.k8s.io/pause:3.10") if "pause" in reference.repository else reference
        for reference in listed("1.30.14")
    )
    outside = Outside(told={AMD64: told})
    with pytest.raises(InputError) as caught:
        resolve(REQUEST, BUILT_IN, outside)
    assert caught.value.wanted == "registry.k8s.io/pause:3.10"
    assert caught.value.got == "registry.k8s.io/pause:3.9"
    assert not any(asked.startswith("registry.k8s.io") for asked in outside.asked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cni": "weave"}, "no such pod network"),
        ({"cni": ""}, "no such pod network"),
        ({"cni": "flannel@v0.1.0"}, "no such version of flannel"),
        ({"cni": "flannel@"}, "not an add-on"),
        ({"runtime": "conda"}, "no such runtime"),
        ({"platforms": ()}, "nothing to build for"),
        ({"version": "1.99"}, "there is no Kubernetes 1.99"),
    ],
)
def test_refuses_what_it_cannot_build_before_asking_anything(change: dict[str, Any], message: str) -> None:
    outside = Outside()
    with pytest.raises(InputError, match=message):
        resolve(replace(REQUEST, **change), BUILT_IN, outside)
    assert outside.asked == []


def test_a_host_runtime_comes_from_the_lookup() -> None:
    (runtime,) = resolve(replace(REQUEST, runtime="host"), BUILT_IN, Outside()).runtimes
    assert (runtime.kind, runtime.origin, runtime.trust, runtime.catalogue) == (
        "host",
        "this interpreter",
        "user",
        None,
    )


class HalfAnImage(Outside):
    """Has images for one platform only, whatever was asked."""

    def image(self, reference: Reference, platforms: tuple[Platform, ...]) -> Image:
        return image(reference, platforms[:1])


def test_an_image_without_a_platform_is_named() -> None:
    with pytest.raises(InputError) as caught:
        resolve(replace(REQUEST, platforms=(AMD64, ARM64)), BUILT_IN, HalfAnImage())
    assert (caught.value.wanted, caught.value.got) == ("linux/amd64, linux/arm64", "linux/amd64")


class TwoSizes(Outside):
    """Tells the shared layer with another size for one image."""

    def image(self, reference: Reference, platforms: tuple[Platform, ...]) -> Image:
        found = image(reference, platforms)
        if "pause" not in reference.repository:
            return found
        return replace(found, blobs=(*found.blobs, replace(SHARED_LAYER, size_bytes=11)))


def test_one_digest_with_two_sizes_is_refused() -> None:
    with pytest.raises(IntegrityError, match="two sizes"):
        resolve(REQUEST, BUILT_IN, TwoSizes())
