"""A pod network named cilium: a chart of our own in the shape of the real one, and tiny images under its names.

Version, names and tags are what the built-in catalogue says of its default version; the digests are the lab's own, and
the chart names every image with its digest, as the real one does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bundler.addon_types import AddonVersion
from bundler.catalog import Catalog
from installer.bundle.digest import Digest
from installer.bundle.reference import Reference
from tests.lab import release_tree
from tests.lab.errors import LabError
from tests.lab.images import ImageParts
from tests.lab.release_tree import chart_files

NAME = "cilium"
CHART = Path(__file__).parents[1] / "charts" / NAME
CHART_MADE = "a chart of the lab's, in the shape of Cilium's"
IMAGES = ("cilium", "operator-generic", "cilium-envoy")
"""The images of a default install, by the last part of their names."""


def version() -> AddonVersion:
    """What the built-in catalogue says of the default version."""
    network = Catalog.load().addon("cni", NAME)
    return network.versions[network.default]


def references(known: AddonVersion) -> dict[str, Reference]:
    """The catalogue's references of the images that are served, by :data:`IMAGES`."""
    found = {image.repository.rpartition("/")[2]: image for image in known.images or ()}
    if missing := [name for name in IMAGES if name not in found or not found[name].tag]:
        raise LabError("the catalogue lists other images", where=f"{NAME} {known.version}", wanted=", ".join(missing))
    return {name: found[name] for name in IMAGES}


def pinned(served: Mapping[str, Reference], images: Mapping[str, ImageParts]) -> dict[str, Reference]:
    """The same references with the digests of ``images``, which the lab serves under them."""
    return {
        name: Reference(image.registry, image.repository, image.tag, Digest(images[name].top))
        for name, image in served.items()
    }


def packed_chart(chart_version: str, images: Mapping[str, Reference]) -> bytes:
    """The packed chart at ``chart_version`` that names ``images`` (see :func:`pinned`); the same bytes every time."""
    files = chart_files(CHART)
    values = yaml.safe_load(files["values.yaml"])
    _name(values["image"], images["cilium"], "digest")
    _name(values["operator"]["image"], images["operator-generic"], "genericDigest")
    _name(values["envoy"]["image"], images["cilium-envoy"], "digest")
    files["values.yaml"] = yaml.safe_dump(values, sort_keys=False).encode()
    return release_tree.packed_chart(files, chart_version, chart_version)


def _name(values: dict[str, Any], image: Reference, digest_key: str) -> None:
    """Writes tag and digest of ``image`` into the chart's values for it."""
    values |= {"tag": image.tag, digest_key: str(image.digest)}
