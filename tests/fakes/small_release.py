"""A whole release in about two megabytes, behind a real registry and a real file server: quick enough to build often.

Everything has upstream's names and layouts. kubeadm and helm are shell scripts that answer what a build asks, images
are tiny (one of each kind), and two blobs are large enough to break in the middle. The add-on's chart has no checksum,
so that what is fetched first is what is locked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bundler.runtime import DEPENDENCIES, PYTHON, Entry, archive_bytes
from tests.fakes.charts import about, packed
from tests.fakes.images import noise
from tests.lab.filetree import serving_tree
from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles import CRICTL, ENDPOINT_IMAGES, ETCD, IMAGES, KUBERNETES
from tests.lab.profiles.compiled import HELM
from tests.lab.registry import running_registry
from tests.lab.release_tree import ReleaseTree, archive

NAME = f"k8s-v{KUBERNETES}-linux-amd64"
FILE_HOSTS = ("dl.k8s.io", "get.helm.sh", "github.com", "charts.invalid")
CHART_PATH = "/charts.invalid/site-v1.2.3.tgz"
LARGE_BYTES = 300_000
_LISTED = "\n".join(f"registry.k8s.io/{name}:{tag}" for name, tag in IMAGES.items())
_KUBEADM = f"#!/bin/sh\ncat <<'END'\n{_LISTED}\nEND\nexit\n"
_ADDON_IMAGE = "quay.io/site/daemon:v1.2.3"
_ADDON = {
    "schema": 1,
    "name": "site",
    "kind": "cni",
    "default": "v1.2.3",
    "chart": {"name": "site", "url": "https://charts.invalid/site-{version}.tgz"},
    "namespace": "site",
    "values": {},
    "ready": ["daemonset/site"],
    "roles": ["cp", "worker"],
}


@dataclass(frozen=True)
class SmallRelease:
    """Where the release is served (``host:port`` of each server), its catalogue, and a runtime for ``--runtime``."""

    files: str
    registry: str
    catalog: Path
    runtime: Path

    def mirror(self, path: Path, files: str = "", registry: str = "") -> Path:
        """Writes the mirror profile that sends a builder here, or to what stands in front of it."""
        files, registry = files or self.files, registry or self.registry
        document = {
            "schema": 1,
            "name": "small",
            "fallback": False,
            "files": [{"prefix": f"https://{host}/", "replace": [f"http://{files}/{host}/"]} for host in FILE_HOSTS],
            "images": [{"prefix": "", "replace": [{"base": registry, "plain_http": True}]}],
        }
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path


@contextmanager
def small_release(folder: Path, more: Mapping[str, ImageParts] = {}) -> Iterator[SmallRelease]:
    """Serves the release from ``folder`` while the block runs; the add-on has ``more`` images, by reference."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = ReleaseTree(folder, "small", KUBERNETES)
    wanted = (_ADDON_IMAGE, *more)
    _add_files(tree, wanted)
    with running_registry(folder / "registry", read_only=False) as address:
        for number, (reference, parts) in enumerate({**_images(), **more}.items()):
            tree.add_image(address, reference, parts, f"image {number}")
    tree.finish()
    _write_addon(folder, wanted)
    runtime = folder / "runtime.tar.gz"
    names = (PYTHON, "lib/installer/__init__.py", *(f"lib/{name}/__init__.py" for name in DEPENDENCIES))
    runtime.write_bytes(archive_bytes({name: Entry(b"", executable=name == PYTHON) for name in names}))
    with serving_tree(folder / "files") as files, running_registry(folder / "registry", read_only=True) as registry:
        yield SmallRelease(files.removeprefix("http://").rstrip("/"), registry, folder / "catalog", runtime)


def _add_files(tree: ReleaseTree, images: Sequence[str]) -> None:
    made = "a script or noise"
    tree.add_file("kubeadm", KUBERNETES, _KUBEADM.encode() + noise(5_000, 1), made)
    tree.add_file("kubelet", KUBERNETES, noise(LARGE_BYTES, 2), made)
    tree.add_file("kubectl", KUBERNETES, noise(20_000, 3), made)
    facts: dict[str, Any] = {"config_schema": 2, "sandbox": "registry.k8s.io/pause:3.9", "runc": "1.1.15"}
    programs = ("containerd", "containerd-shim-runc-v2", "ctr")
    tree.add_containerd("2.0.11", archive({f"bin/{name}": noise(5_000, 4) for name in programs}), made, facts)
    tree.add_file("runc", "1.1.15", noise(9_000, 5), made)
    tree.add_file("cni-plugins", "1.6.2", archive({"./bridge": noise(5_000, 6)}), made)
    tree.add_file("crictl", CRICTL, archive({"crictl": noise(5_000, 7)}), made)
    clients = {f"etcd-v{ETCD}-linux-amd64/{name}": noise(5_000, 8) for name in ("etcdctl", "etcdutl")}
    tree.add_file("etcdctl", ETCD, archive(clients), made)
    containers = json.dumps({"spec": {"containers": [{"image": image} for image in images]}})
    helm = f"#!/bin/sh\n[ -s chart.tgz ] || exit 2\necho '{containers}'\n"
    tree.add_file("helm", HELM, archive({"linux-amd64/helm": helm.encode()}), made)


def _images() -> dict[str, ImageParts]:
    """Docker's and OCI's formats; the API server has a large layer."""
    references = [f"registry.k8s.io/{name}:{tag}" for name, tag in IMAGES.items()]
    made = {}
    for number, reference in enumerate((*references, *ENDPOINT_IMAGES.values(), _ADDON_IMAGE)):
        size_bytes = LARGE_BYTES if "apiserver" in reference else 2_000
        layers = {"amd64": [layer({"program": noise(size_bytes, number)})]}
        flavour = "oci" if number % 2 else "docker"
        made[reference] = image(layers, ImageConfig((f"/{number}",)), flavour=flavour, attested=flavour == "oci")
    return made


def _write_addon(folder: Path, images: Sequence[str]) -> None:
    path = folder / "files" / CHART_PATH.removeprefix("/")
    path.parent.mkdir(parents=True)
    path.write_bytes(packed({"site/Chart.yaml": about("site", "v1.2.3"), "site/templates/x.yaml": "# one"}))
    overlay = folder / "catalog" / "cni" / "site.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.write_text(yaml.safe_dump(_ADDON | {"versions": {"v1.2.3": {"images": list(images)}}}), encoding="utf-8")
