"""Which images of a bundle a node gets: those of its role, without what only another kind of endpoint runs."""

from __future__ import annotations

from installer.bundle.index import BundledImage, BundleIndex

_ENDPOINT_MODES = {"haproxy": "local", "kube-vip": "kube-vip"}
"""By an image's purpose, the one ``endpoint.mode`` that runs it."""


def node_images(index: BundleIndex, role: str, endpoint_mode: str) -> tuple[BundledImage, ...]:
    """The images a node of ``role`` needs in a cluster whose API is reached by ``endpoint_mode``."""
    return tuple(
        image for image in index.images_for(role) if _ENDPOINT_MODES.get(image.purpose, endpoint_mode) == endpoint_mode
    )
