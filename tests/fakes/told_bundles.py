"""Indexes and locks of two releases with sizes as the real ones have, for what only reads them. There are no blobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bundler.licenses import Licenses
from bundler.lockfile import Lock, LockedRuntime, LockedWheel
from installer.bundle import mediatypes
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import BundledFile, BundledImage, BundleIndex, Pause, PlatformImage
from installer.bundle.placement import Placement
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from installer.bundle.source import Source

AMD64, ARM64 = Platform("linux/amd64"), Platform("linux/arm64")
_BOTH, _CP = ("cp", "worker"), ("cp",)
_GITHUB = "https://github.com"
_BASE = ("distroless", 1_900_000)


class Telling:
    """Collects descriptors while things are named."""

    def __init__(self, platforms: tuple[Platform, ...]) -> None:
        self.platforms = platforms
        self.blobs: dict[Digest, Descriptor] = {}

    def blob(self, name: str, size_bytes: int, media_type: str, unpacked_bytes: int | None = None) -> Digest:
        """A blob that is known by name only."""
        digest = Digest.of(name.encode())
        self.blobs[digest] = Descriptor(digest, size_bytes, media_type, unpacked_bytes)
        return digest

    def files(
        self, component: str, version: str, size_bytes: int, url: str, target: str | None = None
    ) -> list[BundledFile]:
        """A release file for each platform: an archive unless it has a target."""
        kind = mediatypes.OCTET_STREAM if target else mediatypes.TAR_GZIP
        placement = Placement(0o755, target) if target else Placement(0o755, None, "tar+gzip", {"/": "/usr/local/bin/"})
        return [
            BundledFile(
                component,
                version,
                platform,
                self.blob(f"{component} {version} {platform}", size_bytes, kind, None if target else 3 * size_bytes),
                _BOTH,
                placement,
                Source(url.format(v=version, a=platform.architecture), "upstream"),
            )
            for platform in self.platforms
        ]

    def image(
        self, text: str, purpose: str, layers: list[tuple[str, int]], roles: tuple[str, ...] = _BOTH
    ) -> BundledImage:
        """An image of layers that are known by name and size; equal names are one layer."""
        reference = Reference.parse(text)
        platforms = {}
        for platform in self.platforms:
            named = [(f"{name} {platform}", size_bytes) for name, size_bytes in layers]
            digests = tuple(self.blob(name, size, mediatypes.DOCKER_LAYER, 3 * size) for name, size in named)
            manifest = self.blob(f"manifest {text} {platform}", 1_200, mediatypes.OCI_MANIFEST)
            config = self.blob(f"config {text} {platform}", 2_400, mediatypes.OCI_CONFIG)
            platforms[platform] = PlatformImage(manifest, config, digests)
        index = self.blob(f"index {text}", 1_600, mediatypes.OCI_INDEX)
        return BundledImage(reference, index, purpose, roles, platforms, Source(text, "first-seen"))


def told_index(
    version: str = "1.30.14",
    *,
    platforms: tuple[Platform, ...] = (AMD64,),
    cilium: str = "1.18.12",
    pause: str = "3.9",
    values: dict[str, Any] | None = None,
) -> BundleIndex:
    """A release with Cilium; what is not named by ``version`` is the same in all of them."""
    tell = Telling(platforms)
    dl = "https://dl.k8s.io/release/v{v}/bin/linux/{a}"
    files = [
        *tell.files("kubeadm", version, 50_200_000, f"{dl}/kubeadm", "/usr/local/bin/kubeadm"),
        *tell.files("kubectl", version, 51_400_000, f"{dl}/kubectl", "/usr/local/bin/kubectl"),
        *tell.files("kubelet", version, 100_100_000, f"{dl}/kubelet", "/usr/local/bin/kubelet"),
        *tell.files("containerd", "2.0.11", 33_900_000, _release("containerd/containerd")),
        *tell.files("runc", "1.3.6", 11_700_000, _release("opencontainers/runc"), "/usr/local/sbin/runc"),
        *tell.files("cni-plugins", "1.9.1", 53_000_000, _release("containernetworking/plugins")),
        *tell.files("crictl", "1.30.1", 19_000_000, _release("kubernetes-sigs/cri-tools")),
        *tell.files("etcdctl", "3.5.15", 20_100_000, _release("etcd-io/etcd")),
        *tell.files("helm", "3.18.4", 17_300_000, "https://get.helm.sh/helm-v{v}-linux-{a}.tar.gz"),
    ]
    images = [
        tell.image(f"registry.k8s.io/kube-{name}:v{version}", f"kube-{name}", [_BASE, (f"{name} {version}", size)],
                   roles)
        for name, size, roles in (
            ("apiserver", 31_000_000, _CP),
            ("controller-manager", 29_300_000, _CP),
            ("scheduler", 18_000_000, _CP),
            ("proxy", 27_700_000, _BOTH),
        )
    ]  # fmt: skip
    images += [
        tell.image("registry.k8s.io/coredns/coredns:v1.11.3", "coredns", [_BASE, ("coredns", 16_700_000)]),
        tell.image(f"registry.k8s.io/pause:{pause}", "pause", [(f"pause {pause}", 318_000)]),
        tell.image("registry.k8s.io/etcd:3.5.15-0", "etcd", [_BASE, ("etcd", 54_900_000)], _CP),
        tell.image("docker.io/library/haproxy:3.2.21-alpine", "haproxy", [("haproxy", 13_400_000)]),
        tell.image("ghcr.io/kube-vip/kube-vip:v1.0.3", "kube-vip", [("kube-vip", 19_800_000)], _CP),
        tell.image(f"quay.io/cilium/cilium:v{cilium}", "cilium", [(f"cilium {cilium}", 236_000_000)]),
        tell.image(f"quay.io/cilium/cilium-envoy:v1.34.4-{cilium}", "cilium", [("envoy", 62_100_000)]),
        tell.image(f"quay.io/cilium/operator-generic:v{cilium}", "cilium", [(f"operator {cilium}", 24_600_000)]),
    ]
    chart = tell.blob(f"chart {cilium}", 198_000, mediatypes.TAR_GZIP, 1_400_000)
    network = BundledAddon(
        name="cilium",
        version=cilium,
        kind="cni",
        chart=chart,
        namespace="kube-system",
        values={"routingMode": "tunnel", "operator": {"replicas": 1}, "hubble": {"enabled": False}} | (values or {}),
        ready=("daemonset/cilium", "deployment/cilium-operator"),
        images_told_by="helm",
        source=Source(f"https://helm.cilium.io/cilium-{cilium}.tgz", "upstream"),
    )
    architectures = "-".join(platform.architecture for platform in platforms)
    return BundleIndex(
        name=f"k8s-v{version}-linux-{architectures}",
        kubernetes=version,
        platforms=platforms,
        cni="cilium",
        created_seconds=1_763_683_200,
        minimum_installer="0.1.0",
        pause=Pause(Reference.parse(f"registry.k8s.io/pause:{pause}"), "kubeadm"),
        blobs=tuple(sorted(tell.blobs.values())),
        files=tuple(files),
        images=tuple(images),
        addons=(network,),
    )


def _release(project: str) -> str:
    return f"{_GITHUB}/{project}/releases/download/v{{v}}/{project.rpartition('/')[2]}-{{v}}-linux-{{a}}.tar.gz"


def told_lock(index: BundleIndex) -> Lock:
    """The lock that such an index could have been made of."""
    wheels = tuple(
        LockedWheel(name, version, f"{name}-{version}-py3-none-any.whl", Digest.of(name.encode()))
        for name, version in (("click", "8.5.1"), ("pyyaml", "6.0.3"), ("tqdm", "4.70.1"), ("zstandard", "0.25.0"))
    )
    archive = f"{_GITHUB}/astral-sh/python-build-standalone/releases/download/20260814/cpython-3.14.7.tar.gz"
    return Lock(
        kubernetes=index.kubernetes,
        platforms=index.platforms,
        cni=index.cni,
        created_seconds=index.created_seconds,
        zstd="1.5.7",
        pause=index.pause,
        runtimes=tuple(
            LockedRuntime("catalogue", platform, "3.14.7", archive, Digest.of(f"cpython {platform}".encode()),
                          33_100_000, wheels, "upstream", "built-in")
            for platform in index.platforms
        ),
        files=index.files,
        images=index.images,
        blobs=tuple(replace(blob, unpacked_size_bytes=None) for blob in index.blobs),
        addons=index.addons,
        licenses=Licenses(
            components={"kubelet": "Apache-2.0", "runc": "Apache-2.0"},
            charts={"cilium": "Apache-2.0"},
            images={"docker.io/library/haproxy": "GPL-2.0-or-later AND LGPL-2.1-or-later"},
            runtime={"airgap-bundle": "Apache-2.0", "cpython": "Python-2.0.1", "tqdm": "MPL-2.0 AND MIT"},
        ),
    )  # fmt: skip
