"""Media types of the OCI and Docker image formats, and which of them are already compressed."""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_ZSTD = f"{OCI_LAYER}+zstd"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCTET_STREAM = "application/octet-stream"
TAR_GZIP = "application/gzip"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
LAYERS = frozenset({OCI_LAYER, f"{OCI_LAYER}+gzip", OCI_LAYER_ZSTD, DOCKER_LAYER})
"""The layers whose plain tar can be had."""
ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))


def is_compressed(media_type: str) -> bool:
    """Whether bytes of this type cannot shrink further (gzip and zstd archives and layers)."""
    return media_type.endswith(("gzip", "zstd")) or media_type == TAR_GZIP
