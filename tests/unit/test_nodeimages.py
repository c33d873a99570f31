"""A node gets the images of its role and of its cluster's endpoint, and no others."""

from __future__ import annotations

import pytest

from installer.config import ClusterConfig
from installer.endpoint import ApiEndpoint
from installer.nodeimages import node_images
from installer.settings import Endpoint
from tests.fakes.small_bundle import small_bundle


@pytest.mark.parametrize(
    ("mode", "role", "wanted"),
    [
        ("direct", "cp", set()),
        ("external", "worker", set()),
        ("local", "cp", {"haproxy"}),
        ("local", "worker", {"haproxy"}),
        ("kube-vip", "cp", {"kube-vip"}),
        ("kube-vip", "worker", set()),
    ],
)
def test_only_the_endpoint_of_this_cluster_brings_its_image(mode: str, role: str, wanted: set[str]) -> None:
    index = small_bundle().index
    config = ClusterConfig(endpoint=ApiEndpoint(mode, Endpoint("10.0.24.100")))
    got = {image.purpose for image in node_images(index, role, config)}
    assert got & {"haproxy", "kube-vip"} == wanted
    assert got - wanted == {image.purpose for image in index.images_for(role)} - {"haproxy", "kube-vip"}


@pytest.mark.parametrize("role", ["cp", "worker"])
def test_a_cluster_without_kube_proxy_does_not_carry_its_image(role: str) -> None:
    index = small_bundle().index

    def names(mode: str) -> set[str]:
        return {str(image.reference) for image in node_images(index, role, ClusterConfig(kube_proxy_mode=mode))}

    assert names("auto") - names("none") == {"registry.k8s.io/kube-proxy:v1.30.14"}
    assert names("none") < names("auto")
