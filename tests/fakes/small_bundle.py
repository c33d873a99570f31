"""A bundle in memory with everything a node needs, in the real shapes and a few kilobytes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from installer.bundle import mediatypes
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import BundledFile, BundledImage, BundleIndex, Pause, PlatformImage
from installer.bundle.placement import Placement
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from installer.bundle.source import Source

PLATFORM = Platform("linux/amd64")
PAUSE = "registry.k8s.io/pause:3.9"
HAPROXY = "docker.io/library/haproxy:3.2.21-alpine"
KUBE_VIP = "ghcr.io/kube-vip/kube-vip:v1.0.3"
_OTHER_PLATFORM = "arm64"
_BOTH, _CP = ("cp", "worker"), ("cp",)


@dataclass(frozen=True)
class SmallBundle:
    """What the steps take from a bundle, from blobs in memory; an OCI tar is the real thing."""

    index: BundleIndex
    blobs: dict[Digest, bytes]

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """A blob in small pieces."""
        data = self.blobs[digest]
        yield from (data[start : start + 1000] for start in range(0, len(data), 1000))

    def oci_tar(
        self, images: Iterable[BundledImage], platforms: tuple[Platform, ...], later: Iterable[BundledImage] = ()
    ) -> Iterator[bytes]:
        """An OCI layout of ``images``; what comes later makes no difference in memory."""
        del later
        chosen = tuple(images)
        descriptors = self.index.descriptors()
        entries = [
            {
                "mediaType": descriptors[image.blob].media_type,
                "digest": str(image.blob),
                "size": descriptors[image.blob].size_bytes,
                "annotations": {"io.containerd.image.name": name},
            }
            for image in chosen
            for name in image.names()
        ]
        members = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": json.dumps({"schemaVersion": 2, "manifests": entries}).encode(),
        }
        for image in chosen:
            members |= {f"blobs/sha256/{digest.hex}": self.blobs[digest] for digest in image.blobs(platforms)}
        yield tar_of(members)


class Maker:
    """Collects blobs while files and images are made."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.descriptors: dict[Digest, Descriptor] = {}

    def blob(self, data: bytes, media_type: str, unpacked_size_bytes: int | None = None) -> Digest:
        """Adds a blob."""
        digest = Digest.of(data)
        self.blobs[digest] = data
        self.descriptors[digest] = Descriptor(digest, len(data), media_type, unpacked_size_bytes)
        return digest

    def binary(
        self, component: str, target: str, roles: tuple[str, ...] = _BOTH, version: str = "1.30.14"
    ) -> BundledFile:
        """A release file that is one binary."""
        blob = self.blob(f"#!{component} {version}\n".encode(), mediatypes.OCTET_STREAM)
        return BundledFile(component, version, PLATFORM, blob, roles, Placement(0o755, target), source(component))

    def archive(
        self,
        component: str,
        version: str,
        members: dict[str, str],
        files: dict[str, bytes],
        roles: tuple[str, ...] = _BOTH,
    ) -> BundledFile:
        """A release file that is an archive."""
        tar = tar_of(files)
        blob = self.blob(gzip.compress(tar, mtime=0), mediatypes.TAR_GZIP, len(tar))
        placement = Placement(0o755, None, "tar+gzip", members)
        return BundledFile(component, version, PLATFORM, blob, roles, placement, source(component))

    def addon(self, addon: BundledAddon) -> BundledAddon:
        """The add-on with a packed chart of its name and version."""
        described = f"apiVersion: v2\nname: {addon.name}\nversion: {addon.version}\n".encode()
        packed = gzip.compress(tar_of({f"{addon.name}/Chart.yaml": described}), mtime=0)
        return replace(addon, chart=self.blob(packed, mediatypes.TAR_GZIP))

    def image(
        self, reference: str, roles: tuple[str, ...], content: bytes | None = None, purpose: str = "kubernetes"
    ) -> BundledImage:
        """An image index for two platforms, of which only ours has its blobs here, as in a bundle for one platform."""
        layer = tar_of({"content": content or reference.encode()})
        packed = self.blob(gzip.compress(layer, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip", len(layer))
        config = self._document(
            {
                "architecture": PLATFORM.architecture,
                "os": "linux",
                "config": {"Entrypoint": ["/content"]},
                "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer))]},
            },
            mediatypes.OCI_CONFIG,
        )
        manifest = self._document(
            {
                "schemaVersion": 2,
                "mediaType": mediatypes.OCI_MANIFEST,
                "config": self._pointer(config),
                "layers": [self._pointer(packed)],
            },
            mediatypes.OCI_MANIFEST,
        )
        absent = {"mediaType": mediatypes.OCI_MANIFEST, "digest": str(Digest.of(b"not here")), "size": 8}
        index = self._document(
            {
                "schemaVersion": 2,
                "mediaType": mediatypes.OCI_INDEX,
                "manifests": [
                    {**self._pointer(manifest), "platform": {"os": "linux", "architecture": PLATFORM.architecture}},
                    {**absent, "platform": {"os": "linux", "architecture": _OTHER_PLATFORM}},
                ],
            },
            mediatypes.OCI_INDEX,
        )
        platforms = {PLATFORM: PlatformImage(manifest, config, (packed,))}
        return BundledImage(Reference.parse(reference), index, purpose, roles, platforms, source(reference))

    def _document(self, document: dict[str, object], media_type: str) -> Digest:
        return self.blob(json.dumps(document).encode(), media_type)

    def _pointer(self, digest: Digest) -> dict[str, object]:
        found = self.descriptors[digest]
        return {"mediaType": found.media_type, "digest": str(digest), "size": found.size_bytes}


def source(name: str) -> Source:
    """Where a made-up blob says that it came from."""
    return Source(f"https://dl.k8s.io/{name}", "upstream")


def tar_of(files: dict[str, bytes]) -> bytes:
    """An uncompressed tar of plain files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _files(make: Maker, containerd_version: str) -> tuple[BundledFile, ...]:
    """The release files that every node gets."""
    plugins = ("bridge", "host-local", "portmap")
    cni = {"./LICENSE": b"license"} | {f"./{name}": name.encode() for name in plugins}
    return (
        make.binary("kubeadm", "/usr/local/bin/kubeadm"),
        make.binary("kubelet", "/usr/local/bin/kubelet"),
        make.binary("kubectl", "/usr/local/bin/kubectl"),
        make.archive(
            "containerd",
            containerd_version,
            {"bin/": "/usr/local/bin/"},
            {"bin/containerd": b"containerd", "bin/ctr": b"ctr", "bin/containerd-shim-runc-v2": b"shim"},
        ),
        make.binary("runc", "/usr/local/sbin/runc", version="1.2.6"),
        make.archive("cni-plugins", "1.6.2", {"/": "/opt/cni/bin/"}, cni),
        make.archive("crictl", "1.30.1", {"crictl": "/usr/local/bin/crictl"}, {"crictl": b"crictl", "README": b"-"}),
    )


def small_bundle(
    containerd_version: str = "1.7.27", pause: str = PAUSE, addons: tuple[BundledAddon, ...] = ()
) -> SmallBundle:
    """A bundle of Kubernetes 1.30.14 for linux/amd64; with ``addons``, their charts, an image each and Helm."""
    make = Maker()
    files = _files(make, containerd_version)
    images = tuple(
        make.image(f"registry.k8s.io/{name}", roles)
        for name, roles in (
            ("coredns/coredns:v1.11.3", _BOTH),
            ("etcd:3.5.15-0", _CP),
            ("kube-apiserver:v1.30.14", _CP),
            ("kube-controller-manager:v1.30.14", _CP),
            ("kube-proxy:v1.30.14", _BOTH),
            ("kube-scheduler:v1.30.14", _CP),
        )
    )
    images = (
        *images,
        make.image(pause, _BOTH),
        make.image(HAPROXY, _BOTH, purpose="haproxy"),
        make.image(KUBE_VIP, _CP, purpose="kube-vip"),
    )
    if addons:
        helm = {"linux-amd64/helm": b"helm", "linux-amd64/README.md": b"-"}
        files = (*files, make.archive("helm", "3.18.4", {"linux-amd64/helm": "/usr/local/bin/helm"}, helm, _CP))
        images = (*images, *(make.image(f"ghcr.io/{addon.name}/{addon.name}:v1", _BOTH) for addon in addons))
        addons = tuple(make.addon(addon) for addon in addons)
    index = BundleIndex(
        name="k8s-v1.30.14-linux-amd64",
        kubernetes="1.30.14",
        platforms=(PLATFORM,),
        cni=next((addon.name for addon in addons if addon.kind == "cni"), "none"),
        created_seconds=1_718_000_000,
        minimum_installer="0.1.0",
        pause=Pause(Reference.parse(pause), "catalogue"),
        blobs=tuple(sorted(make.descriptors.values())),
        files=files,
        images=images,
        addons=addons,
    )
    return SmallBundle(index, make.blobs)


def without_component(bundle: SmallBundle, component: str) -> SmallBundle:
    """The same bundle lacking one release file."""
    files = tuple(item for item in bundle.index.files if item.component != component)
    return replace(bundle, index=replace(bundle.index, files=files))
