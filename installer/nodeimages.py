"""Which images of a bundle a node gets: those of its role, without what a cluster of another kind runs."""

from __future__ import annotations

from installer.bundle.index import BundledImage, BundleIndex
from installer.config import ClusterConfig

_ENDPOINT_MODES = {"haproxy": "local", "kube-vip": "kube-vip"}
"""By an image's purpose, the one ``endpoint.mode`` that runs it."""


def node_images(index: BundleIndex, role: str, config: ClusterConfig) -> tuple[BundledImage, ...]:
    """The images a node of ``role`` needs in the cluster: of one way to the API, and kube-proxy's if it has one."""
    mode = config.endpoint_mode
    return tuple(
        image
        for image in index.images_for(role)
        if _ENDPOINT_MODES.get(image.purpose, mode) == mode
        and (config.kube_proxy_mode != "none" or not _is_kube_proxy(image))
    )


def _is_kube_proxy(image: BundledImage) -> bool:
    return image.purpose == "kubernetes" and image.reference.repository.rpartition("/")[2] == "kube-proxy"
