"""Image lists: full names only, every bad line named, and what a release needs for which role."""

from __future__ import annotations

import pytest

from bundler.catalog import Catalog
from bundler.errors import InputError
from bundler.imagelist import kubernetes_images, parse_image_list, render_addon_list, render_image_list

BUILT_IN = Catalog.load()


def test_reads_one_reference_per_line() -> None:
    text = "# a list\n\nregistry.k8s.io/pause:3.9   # the sandbox\r\n  docker.io/library/busybox:1\n"
    found = parse_image_list(text, where="x")
    assert [str(reference) for reference in found] == ["registry.k8s.io/pause:3.9", "docker.io/library/busybox:1"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("busybox:1", "line 2: wanted the full name docker.io/library/busybox:1"),
        ("quay.io/a/b", "line 2: wanted the full name quay.io/a/b:latest"),
        ("quay.io/A:1", "line 2: not an image reference"),
        ("quay.io/a/b:1 quay.io/c/d:1", "line 2: not an image reference"),
        ("quay.io/x/y:1", "line 2: quay.io/x/y:1 is also in line 1"),
    ],
)
def test_names_the_bad_line(line: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_image_list(f"quay.io/x/y:1\n{line}\n", where="list.txt")
    assert problem in (caught.value.got or "")
    assert caught.value.where == "list.txt"


def test_roles_of_the_kubernetes_images() -> None:
    images = {image.purpose: image for image in kubernetes_images(BUILT_IN.release("1.30"))}
    both = {name for name, image in images.items() if image.roles == ("cp", "worker")}
    assert both == {"kube-proxy", "coredns", "pause"}
    assert str(images["coredns"].reference) == "registry.k8s.io/coredns/coredns:v1.11.3"


def test_every_list_is_what_a_tool_would_write() -> None:
    release = BUILT_IN.release("1.31.14")
    assert parse_image_list(render_image_list(release), where="x") == BUILT_IN.image_list("1.31.14")
    flannel = BUILT_IN.addon("cni", "flannel")
    for version in flannel.versions.values():
        listed = parse_image_list(render_addon_list(flannel, version), where="x")
        assert listed == BUILT_IN.addon_list("cni", "flannel", version.version)
