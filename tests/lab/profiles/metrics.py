"""What the nodes and pods use, by metrics-server; and the approver that gives kubelets a certificate it believes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bundler.catalog import Catalog
from tests.lab import release_tree
from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles.compiled import METRICS_SERVER
from tests.lab.release_tree import chart_files
from tests.lab.toolchain import module_source

SERVER = "metrics-server"
SERVER_CHART = "3.12.2"
"""The release of the chart that is for our version of the program."""
CHART_MADE = "upstream's chart out of the program's module, packed as the release that came after it"
APPROVER = "kubelet-csr-approver"
APPROVER_MADE = "the lab's own on upstream's client: the module of the real one was not to be had"
_APPROVER_CHART = Path(__file__).parents[1] / "charts" / APPROVER
_APPROVER_CHART_MADE = "a chart of the lab's, in the shape of kubelet-csr-approver's"


def charts() -> list[tuple[str, str, bytes, str]]:
    """Each chart's name, version and archive, and what it really is."""
    upstream = module_source(SERVER, "sigs.k8s.io/metrics-server") / "charts" / SERVER
    packed = release_tree.packed_chart(chart_files(upstream), SERVER_CHART, METRICS_SERVER)
    version = _approver()
    return [
        (SERVER, SERVER_CHART, packed, CHART_MADE),
        (APPROVER, version, packed_approver(version), _APPROVER_CHART_MADE),
    ]


def packed_approver(version: str) -> bytes:
    """The lab's chart of the approver at ``version``, which is its program's too."""
    return release_tree.packed_chart(chart_files(_APPROVER_CHART), version, f"v{version}")


def images(programs: Mapping[str, Path]) -> list[tuple[str, str, ImageParts]]:
    """Each image with its reference and the program it is for."""
    references = {
        SERVER: f"registry.k8s.io/metrics-server/metrics-server:v{METRICS_SERVER}",
        APPROVER: f"ghcr.io/postfinance/kubelet-csr-approver:v{_approver()}",
    }
    return [(reference, name, _image(name, programs[name])) for name, reference in references.items()]


def _image(name: str, program: Path) -> ImageParts:
    return image({"amd64": [layer({name: program})]}, ImageConfig(entrypoint=(f"/{name}",), user="65532"))


def _approver() -> str:
    """The version that the built-in catalogue means."""
    return Catalog.load().addon("addon", APPROVER).default
