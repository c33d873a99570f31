"""An upstream's files as they are published: release files with their checksum files, images, and a catalogue overlay.

A tree is made once into a folder of the cache::

    files/<host>/<path>      what the HTTP server serves: https://<host>/<path>, with each project's checksum file
    registry/                the store of the OCI registry; repositories have their registry's name in front
    catalog/                 the overlay for ``bundle build --catalog``: the lab's own checksums and versions
    parts.json               what each part is: compiled from upstream's source, Debian's, ours, or a stand-in
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from bundler.addon_types import FOLDERS
from installer.bundle.reference import Reference
from tests.lab.images import ImageParts
from tests.lab.registry import push

_KUBERNETES_BINARIES = ("kubeadm", "kubelet", "kubectl")
_GITHUB = "https://github.com"


@dataclass(frozen=True)
class Layout:
    """How a project publishes: the URL of a file, the name of its checksum file, and the format of that one."""

    url: str
    sums: str
    form: str


LAYOUTS = {
    "containerd": Layout(
        f"{_GITHUB}/containerd/containerd/releases/download/v{{version}}/containerd-static-{{version}}-linux-{{arch}}.tar.gz",
        "{file}.sha256sum",
        "named",
    ),
    "runc": Layout(
        f"{_GITHUB}/opencontainers/runc/releases/download/v{{version}}/runc.{{arch}}", "runc.sha256sum", "clear-signed"
    ),
    "cni-plugins": Layout(
        f"{_GITHUB}/containernetworking/plugins/releases/download/v{{version}}/cni-plugins-linux-{{arch}}-v{{version}}.tgz",
        "{file}.sha256",
        "named",
    ),
    "crictl": Layout(
        f"{_GITHUB}/kubernetes-sigs/cri-tools/releases/download/v{{version}}/crictl-v{{version}}-linux-{{arch}}.tar.gz",
        "{file}.sha256",
        "bare",
    ),
    "etcdctl": Layout(
        f"{_GITHUB}/etcd-io/etcd/releases/download/v{{version}}/etcd-v{{version}}-linux-{{arch}}.tar.gz",
        "SHA256SUMS",
        "named",
    ),
    "helm": Layout("https://get.helm.sh/helm-v{version}-linux-{arch}.tar.gz", "{file}.sha256sum", "named"),
    **{
        name: Layout(f"https://dl.k8s.io/release/v{{version}}/bin/linux/{{arch}}/{name}", "{file}.sha256", "bare")
        for name in _KUBERNETES_BINARIES
    },
}
CHARTS = {
    "cilium": "https://helm.cilium.io/cilium-{version}.tgz",
    "flannel": f"{_GITHUB}/flannel-io/flannel/releases/download/{{version}}/flannel.tgz",
    "kubelet-csr-approver": "https://postfinance.github.io/kubelet-csr-approver/kubelet-csr-approver-{version}.tgz",
    "metrics-server": f"{_GITHUB}/kubernetes-sigs/metrics-server/releases/download/"
    "metrics-server-helm-chart-{version}/metrics-server-{version}.tgz",
}
"""Where an add-on's project publishes its chart; there is no checksum file beside it."""


@dataclass(frozen=True)
class Part:
    """One thing the upstream serves, and in plain words what it really is."""

    name: str
    version: str
    made: str


class ReleaseTree:
    """Fills one tree; :meth:`finish` writes the overlay and the list of parts."""

    def __init__(self, out: Path, profile: str, kubernetes: str) -> None:
        self._out = out
        self._profile = profile
        self._kubernetes = kubernetes
        self._sums: dict[tuple[str, str], dict[str, str]] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._parts: list[Part] = []
        (out / "files").mkdir()

    def add_file(self, name: str, version: str, data: bytes, made: str, *, architecture: str = "amd64") -> None:
        """Publishes ``data`` as the release file of ``name``, with its checksum file."""
        layout = LAYOUTS[name]
        path = self._out / "files" / _filled(layout.url, version, architecture).removeprefix("https://")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        (path.parent / layout.sums.format(file=path.name)).write_text(
            _checksum_file(layout.form, path.name, digest), encoding="ascii"
        )
        self._sums.setdefault((name, version), {})[architecture] = digest
        self._parts.append(Part(name, version, made))

    def add_containerd(self, version: str, data: bytes, made: str, facts: Mapping[str, Any]) -> None:
        """Publishes a containerd archive; ``facts`` are its config schema, sandbox image and tested runc."""
        self.add_file("containerd", version, data, made)
        self._facts[version] = dict(facts)

    def add_chart(
        self, kind: str, name: str, version: str, chart: bytes, made: str, *, images: Iterable[Reference] | None = None
    ) -> None:
        """Publishes the packed ``chart`` of an add-on (of :data:`FOLDERS`' ``kind``) as the overlay's version of it.

        ``images`` are the overlay's list of what it uses; without them the built-in catalogue's holds.
        """
        path = self._out / "files" / CHARTS[name].replace("{version}", version).removeprefix("https://")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chart)
        digest = hashlib.sha256(chart).hexdigest()
        document = {"schema": 1, "name": name, "kind": kind, "default": version}
        entry: dict[str, Any] = {"sha256": digest}
        if images is not None:
            entry["images"] = sorted(map(str, images))
        overlay = self._out / "catalog" / FOLDERS[kind] / f"{name}.yaml"
        _write_yaml(overlay, {**document, "versions": {version: entry}})
        self._parts.append(Part(path.name, version, made))

    def add_image(self, address: str, reference: str, parts: ImageParts, made: str) -> None:
        """Pushes an image to the registry at ``address`` under its whole name."""
        name = Reference.parse(reference)
        push(address, name.name, name.tag or "latest", parts)
        self._parts.append(Part(name.name, name.tag or "latest", made))

    def finish(self) -> None:
        """Writes ``catalog/`` and ``parts.json``."""
        catalog = self._out / "catalog"
        _write_yaml(catalog / "catalogue.yaml", {"schema": 1, "name": f"lab-{self._profile}"})
        components = {key: sums for key, sums in self._sums.items() if key[0] not in _KUBERNETES_BINARIES}
        for (name, version), sums in components.items():
            _write_yaml(catalog / "components" / f"{name}.yaml", self._component(name, version, sums))
        minor = self._kubernetes.rpartition(".")[0]
        document = {
            "schema": 1,
            "minor": minor,
            "components": {name: self._choice(version) for name, version in components},
            "releases": {
                self._kubernetes: {
                    "sha256": {key[0]: sums for key, sums in self._sums.items() if key not in components}
                }
            },
        }
        _write_yaml(catalog / "kubernetes" / f"v{minor}.yaml", document)
        parts = json.dumps([asdict(part) for part in self._parts], indent=2)
        (self._out / "parts.json").write_text(f"{parts}\n", encoding="utf-8")

    def _component(self, name: str, version: str, sums: Mapping[str, str]) -> dict[str, Any]:
        entry: dict[str, Any] = {"sha256": dict(sums)}
        if name == "containerd":
            entry["containerd"] = self._facts[version]
        return {"schema": 1, "component": name, "versions": {version: entry}}

    def _choice(self, version: str) -> dict[str, str]:
        major, minor, patch = version.split(".")
        return {
            "default": version,
            "supported": f">={version} <{major}.{minor}.{int(patch) + 1}",
            "reason": f"the one version the lab's {self._profile} upstream serves",
        }


def archive(members: Mapping[str, Path | bytes], *, mode: int = 0o755) -> bytes:
    """A gzip'd tar as releases are packed: these files with this mode, in this order, the same bytes every time."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            member = tarfile.TarInfo(name)
            member.mode, member.size = mode, len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), 4, mtime=0)


def packed_chart(files: Mapping[str, bytes], version: str, program: str) -> bytes:
    """The chart of ``files`` (paths within it) at ``version``, for that version of its ``program``.

    The same bytes every time, whatever order the files come in.
    """
    about = {**yaml.safe_load(files["Chart.yaml"]), "version": version, "appVersion": program}
    members = {**dict(sorted(files.items())), "Chart.yaml": yaml.safe_dump(about, sort_keys=False).encode()}
    return archive({f"{about['name']}/{name}": data for name, data in members.items()}, mode=0o644)


def chart_files(folder: Path) -> dict[str, bytes]:
    """What is in the folder of a chart, by path within it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _filled(template: str, version: str, architecture: str) -> str:
    return template.replace("{version}", version).replace("{arch}", architecture)


def _checksum_file(form: str, name: str, digest: str) -> str:
    if form == "bare":
        return f"{digest}\n"
    if form == "named":
        return f"{digest}  {name}\n"
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{digest} *{name}\n"
        "-----BEGIN PGP SIGNATURE-----\n\n(not signed: served by a test lab)\n-----END PGP SIGNATURE-----\n"
    )


def _write_yaml(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
