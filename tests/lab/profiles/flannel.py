"""Flannel as its project publishes it: two images, and the chart that names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.lab import release_tree
from tests.lab.errors import LabError
from tests.lab.images import ImageConfig, ImageParts, Layer, image, layer
from tests.lab.profiles import pieces
from tests.lab.profiles.compiled import FLANNEL, FLANNEL_CNI_PLUGIN
from tests.lab.release_tree import chart_files
from tests.lab.toolchain import module_source

FLANNEL_IMAGE = f"ghcr.io/flannel-io/flannel:v{FLANNEL}"
PLUGIN_IMAGE = f"ghcr.io/flannel-io/flannel-cni-plugin:v{FLANNEL_CNI_PLUGIN}"
CHART_MADE = "upstream's chart out of its module, packed as its release job does"
PLUGIN_MADE = (
    "compiled from upstream's source, but older than its tag says: containernetworking/plugins 0.9.1, "
    "the last release of the project that the plugin was part of before it had its own"
)
_FIRST_TAG = re.compile(r"^    tag: .*", re.MULTILINE)
_NOT_PACKED = ("tests", ".helmignore")
"""What the chart's own ``.helmignore`` names."""


def images(programs: Mapping[str, Path]) -> list[tuple[str, str, ImageParts]]:
    """Each image with its reference and the program it is for: flanneld beside the iptables it calls; the plugin."""
    shell = pieces.shell("cp", "sh")  # the real images are Alpine's, of which the chart's init containers call cp
    flanneld = layer({"opt/bin/flanneld": programs["flanneld"]})
    network = _image(pieces.iptables_userland(), shell, flanneld, entrypoint=("/opt/bin/flanneld",))
    plugin = _image(shell, layer({"flannel": programs["flannel"]}))
    return [
        (FLANNEL_IMAGE, "flanneld", network),
        (PLUGIN_IMAGE, "flannel", plugin),
    ]


def _image(*layers: Layer, entrypoint: tuple[str, ...] = ()) -> ImageParts:
    return image({"amd64": layers}, ImageConfig(entrypoint=entrypoint), flavour="oci", attested=True)


def packed_chart() -> bytes:
    """``flannel.tgz``: the chart at our version of flannel."""
    folder = module_source("flannel", "github.com/flannel-io/flannel") / "chart" / "kube-flannel"
    return pack_chart(chart_files(folder), f"v{FLANNEL}")


def pack_chart(files: Mapping[str, bytes], tag: str) -> bytes:
    """The chart ``files`` as flannel's release job packs them for ``tag``.

    The first image tag in the values and both versions in ``Chart.yaml`` become ``tag``; the same bytes every time.
    """
    kept = {name: data for name, data in files.items() if Path(name).parts[0] not in _NOT_PACKED}
    values, count = _FIRST_TAG.subn(f"    tag: {tag}", kept["values.yaml"].decode(), count=1)
    if not count:
        raise LabError("the chart's values name no image tag", where="values.yaml", wanted="a line '    tag: …'")
    return release_tree.packed_chart({**kept, "values.yaml": values.encode()}, tag, tag)
