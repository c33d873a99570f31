"""What a catalogue says, as frozen values: releases, components and the installer's runtime, each with its source."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bundler.lockfile import LockedWheel
from bundler.versions import VersionRange
from installer.bundle import mediatypes
from installer.bundle.digest import Digest
from installer.bundle.placement import Placement
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from installer.bundle.source import Proof, Source

BINARIES = ("kubeadm", "kubectl", "kubelet")
KUBEADM_APIS = ("v1beta3", "v1beta4")
ENDPOINT_IMAGES = ("haproxy", "kube-vip")
"""What the API's endpoint may run on a node."""
CARRIED = ("always", "with-charts")
"""When a component travels: in every bundle, or only in one that carries Helm charts."""


@dataclass(frozen=True)
class Layer:
    """One catalogue among several laid over each other: its ``name`` in messages, and whose word its checksums are."""

    name: str
    trust: str

    def source(self, origin: str, proof: Proof | None = None) -> Source:
        """The source of something this catalogue says is at ``origin``; upstream has proven only what is upstream's."""
        return Source(origin, self.trust, self.name, proof if self.trust == "upstream" else None)


BUILT_IN = Layer("built-in", "upstream")


@dataclass(frozen=True)
class ReleaseFile:
    """One file to download: its canonical URL and catalogue (``source``), the digest it must have, where it lands."""

    component: str
    version: str
    platform: Platform
    digest: Digest
    roles: tuple[str, ...]
    placement: Placement
    source: Source

    @property
    def url(self) -> str:
        """The canonical URL; a mirror profile may say where else to ask."""
        return self.source.origin

    @property
    def media_type(self) -> str:
        """The media type its blob gets."""
        return mediatypes.TAR_GZIP if self.placement.archive else mediatypes.OCTET_STREAM


@dataclass(frozen=True)
class FileTemplate:
    """What all versions of a file have in common; ``{version}`` and ``{arch}`` stand for what differs."""

    url: str
    roles: tuple[str, ...]
    placement: Placement
    proof: Proof | None = None

    def file(self, component: str, version: str, platform: Platform, digest: Digest, layer: Layer) -> ReleaseFile:
        """The file for one version and platform."""

        def fill(text: str) -> str:
            return text.replace("{version}", version).replace("{arch}", platform.architecture)

        members = {fill(member): fill(target) for member, target in self.placement.members.items()}
        placement = replace(self.placement, members=members)
        proof = Proof(fill(self.proof.checksum), fill(self.proof.signature)) if self.proof else None
        source = layer.source(fill(self.url), proof)
        return ReleaseFile(component, version, platform, digest, self.roles, placement, source)


@dataclass(frozen=True)
class ContainerdFacts:
    """Of one containerd release: the newest config schema it reads, its built-in sandbox image, the runc tested."""

    config_schema: int
    sandbox: Reference
    runc: str


@dataclass(frozen=True)
class ComponentVersion:
    """One version of a component: a file per platform, and for containerd its facts."""

    version: str
    files: dict[Platform, ReleaseFile]
    containerd: ContainerdFacts | None = None


@dataclass(frozen=True)
class Component:
    """A component that is not Kubernetes itself: containerd, runc, cni-plugins, crictl, etcdctl, helm."""

    name: str
    carried: str
    template: FileTemplate
    versions: dict[str, ComponentVersion]


@dataclass(frozen=True)
class ComponentChoice:
    """For one Kubernetes minor: the version of a component a build takes, the range that is supported, and why."""

    component: str
    default: str
    supported: VersionRange
    reason: str
    catalogue: str


@dataclass(frozen=True)
class ImageTags:
    """The tags kubeadm wants for the images that do not follow Kubernetes' own version."""

    coredns: str
    etcd: str
    pause: str


@dataclass(frozen=True)
class Release:
    """One Kubernetes patch release: files by binary and platform, image tags; ``catalogue`` gave the tags.

    ``extrapolated``: the tags were taken from the patch before and are not yet seen from this release's kubeadm.
    """

    version: str
    images: ImageTags
    extrapolated: bool
    files: dict[str, dict[Platform, ReleaseFile]]
    catalogue: str

    @property
    def minor(self) -> str:
        """``1.30``."""
        return self.version.rpartition(".")[0]


@dataclass(frozen=True)
class Minor:
    """One Kubernetes minor: the config API its kubeadm writes, its releases by version, components by name."""

    minor: str
    kubeadm_api: str
    binaries: dict[str, FileTemplate]
    choices: dict[str, ComponentChoice]
    releases: dict[str, Release]


@dataclass(frozen=True)
class RuntimeArchive:
    """A CPython archive for one platform."""

    digest: Digest
    source: Source


@dataclass(frozen=True)
class RuntimePython:
    """One CPython version: an archive and the installer's wheels for each platform."""

    version: str
    archives: dict[Platform, RuntimeArchive]
    wheels: dict[Platform, tuple[LockedWheel, ...]]


@dataclass(frozen=True)
class RuntimeChoice:
    """The installer's own Python: the version a build takes, and every version there is."""

    default: str
    pythons: dict[str, RuntimePython]
