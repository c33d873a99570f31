"""A node gets the images of its role and of its cluster's endpoint, and no others."""

from __future__ import annotations

import pytest

from installer.nodeimages import node_images
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
    got = {image.purpose for image in node_images(index, role, mode)}
    assert got & {"haproxy", "kube-vip"} == wanted
    assert got - wanted == {image.purpose for image in index.images_for(role)} - {"haproxy", "kube-vip"}
