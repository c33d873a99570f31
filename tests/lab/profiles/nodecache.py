"""The DNS cache for nodes: a program of ours around CoreDNS, in an image of the real name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles import pieces
from tests.lab.profiles.compiled import NODE_CACHE

PROGRAM = "node-cache"
IMAGE = f"registry.k8s.io/dns/k8s-dns-node-cache:{NODE_CACHE}"
MADE = (
    "the lab's own around CoreDNS compiled from upstream's source: the module of the real one (k8s.io/dns) "
    "was not to be had"
)


def image_of(programs: Mapping[str, Path]) -> tuple[str, str, ImageParts]:
    """The image with its reference and the program it is for, which calls iptables."""
    layers = [pieces.iptables_userland(), layer({PROGRAM: programs[PROGRAM]})]
    return IMAGE, PROGRAM, image({"amd64": layers}, ImageConfig(entrypoint=(f"/{PROGRAM}",)))
