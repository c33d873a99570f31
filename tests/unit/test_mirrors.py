"""Mirror profiles: what is asked where, in which order, and what a profile may not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundler.errors import InputError
from bundler.mirrors import (
    UPSTREAM,
    ImageLocation,
    MirrorProfile,
    file_urls,
    image_locations,
    load_profile,
    read_profile,
)
from installer.bundle.reference import Reference

BUILT_IN = Path(__file__).parents[2] / "manifests" / "mirrors.yaml"
COREDNS = Reference.parse("registry.k8s.io/coredns/coredns:v1.11.3")
KUBEADM = "https://dl.k8s.io/release/v1.30.14/bin/linux/amd64/kubeadm"


def profile(**fields: Any) -> MirrorProfile:
    return read_profile({"schema": 1, "name": "ours", **fields}, where="ours.yaml")


def refused(**fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        profile(**fields)
    return caught.value.got or ""


def test_upstream_asks_the_upstream() -> None:
    assert file_urls(UPSTREAM, KUBEADM) == (KUBEADM,)
    assert image_locations(UPSTREAM, COREDNS) == (ImageLocation("https", "registry.k8s.io", "coredns/coredns"),)
    assert load_profile("upstream", BUILT_IN) == UPSTREAM


def test_docker_io_is_served_by_its_api_host() -> None:
    assert image_locations(UPSTREAM, Reference.parse("busybox")) == (
        ImageLocation("https", "registry-1.docker.io", "library/busybox"),
    )


def test_aliyun_is_flat_and_has_no_files() -> None:
    aliyun = load_profile("aliyun", BUILT_IN)
    assert file_urls(aliyun, KUBEADM) == (KUBEADM,)
    assert [f"{place.registry}/{place.repository}" for place in image_locations(aliyun, COREDNS)] == [
        "registry.aliyuncs.com/google_containers/coredns",
        "registry.cn-hangzhou.aliyuncs.com/google_containers/coredns",
        "registry.k8s.io/coredns/coredns",
    ]


def test_daocloud_keeps_nested_paths_and_falls_back() -> None:
    daocloud = load_profile("daocloud", BUILT_IN)
    assert file_urls(daocloud, KUBEADM) == (
        "https://files.m.daocloud.io/dl.k8s.io/release/v1.30.14/bin/linux/amd64/kubeadm",
        KUBEADM,
    )
    assert [f"{place.registry}/{place.repository}" for place in image_locations(daocloud, COREDNS)] == [
        "k8s.m.daocloud.io/coredns/coredns",
        "m.daocloud.io/registry.k8s.io/coredns/coredns",
        "registry.k8s.io/coredns/coredns",
    ]


def test_rules_give_their_replacements_in_order_and_once() -> None:
    ours = profile(
        files=[
            {"prefix": "https://dl.k8s.io/", "replace": ["https://a.example/k8s/", "https://b.example/"]},
            {"prefix": "https://", "replace": ["https://cache.example/", "https://a.example/k8s/"]},
        ]
    )
    assert file_urls(ours, "https://dl.k8s.io/x") == (
        "https://a.example/k8s/x",
        "https://b.example/x",
        "https://cache.example/dl.k8s.io/x",
        "https://a.example/k8s/dl.k8s.io/x",
    )


def test_a_prefix_never_matches_half_a_name() -> None:
    ours = profile(fallback=True, images=[{"prefix": "quay.io/cilium/", "replace": [{"base": "m.example"}]}])
    assert image_locations(ours, Reference.parse("quay.io/ciliumx/a:1"))[0].registry == "quay.io"


def test_a_closed_profile_refuses_what_it_does_not_cover() -> None:
    closed = profile(images=[{"prefix": "registry.k8s.io/", "replace": [{"base": "127.0.0.1:5000"}]}])
    with pytest.raises(InputError, match="does not say where"):
        file_urls(closed, KUBEADM)
    with pytest.raises(InputError, match="does not say where"):
        image_locations(closed, Reference.parse("quay.io/a/b:1"))


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost:5000", "[::1]:5000", "127.8.8.8"])
def test_plain_http_is_for_loopback(host: str) -> None:
    ours = profile(
        files=[{"prefix": "https://dl.k8s.io/", "replace": [f"http://{host}/"]}],
        images=[{"prefix": "registry.k8s.io/", "replace": [{"base": host, "plain_http": True}]}],
    )
    assert image_locations(ours, COREDNS) == (ImageLocation("http", host, "coredns/coredns"),)


@pytest.mark.parametrize("host", ["mirror.example:5000", "10.0.0.1", "localhost.example", "127.0.0.1.example"])
def test_plain_http_beyond_loopback_must_be_said(host: str) -> None:
    files = [{"prefix": "https://dl.k8s.io/", "replace": [f"http://{host}/"]}]
    images = [{"prefix": "registry.k8s.io/", "replace": [{"base": host, "plain_http": True}]}]
    assert "files[0].replace" in refused(files=files)
    assert "images[0].replace[0].plain_http" in refused(images=images)
    allowed = profile(files=files, images=images, allow_plain_http=True)
    assert file_urls(allowed, KUBEADM)[0].startswith(f"http://{host}/release")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"mirrors": []}, "mirrors: unknown field"),
        ({"files": [{"prefix": "https://dl.k8s.io", "replace": ["https://a.example/"]}]}, "files[0].prefix"),
        ({"files": [{"prefix": "ftp://a/", "replace": ["https://a.example/"]}]}, "files[0].prefix"),
        ({"files": [{"prefix": "https://a/", "replace": ["https://u:p@a.example/"]}]}, "credentials"),
        ({"images": [{"prefix": "registry.k8s.io", "replace": [{"base": "a.example"}]}]}, "images[0].prefix"),
        ({"images": [{"prefix": "", "replace": [{"base": "https://a.example"}]}]}, "images[0].replace[0].base"),
        ({"fallback": "yes"}, "fallback"),
    ],
)
def test_says_where_a_profile_is_wrong(fields: dict[str, Any], path: str) -> None:
    assert path in refused(**fields)


def test_a_profile_of_a_newer_tool_says_so() -> None:
    with pytest.raises(InputError, match="newer"):
        read_profile({"schema": 2}, where="x")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_profile("alyun", BUILT_IN)
    assert "upstream, aliyun, daocloud" in (caught.value.wanted or "")
    file = tmp_path / "m.yaml"
    file.write_text("schema: 1\nname: ours\nfallback: true\n")
    assert load_profile(str(file), BUILT_IN).name == "ours"


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("schema: 1\nname: ours\nfallback: true\nfallback: false\n")
    with pytest.raises(InputError) as caught:
        load_profile(str(file), BUILT_IN)
    assert "'fallback' is given twice" in (caught.value.got or "")


def test_a_registry_may_be_served_below_a_path() -> None:
    images = [{"prefix": "", "replace": [{"base": "site.example/lab", "api_path": "/hosted/registry"}]}]
    (location,) = image_locations(profile(images=images), COREDNS)
    assert (location.registry, location.api_path) == ("site.example", "/hosted/registry")
    assert location.repository == "lab/registry.k8s.io/coredns/coredns"


@pytest.mark.parametrize("path", ["registry", "/registry/", "/../x", "/a?b", "/a b", "//a"])
def test_a_path_before_the_api_is_a_path(path: str) -> None:
    told = refused(images=[{"prefix": "", "replace": [{"base": "site.example", "api_path": path}]}])
    assert "images[0].replace[0].api_path" in told
