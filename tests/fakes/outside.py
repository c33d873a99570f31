"""What ``resolve`` asks of the outside, answered from memory: every image and file there is, always the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bundler.addon_choice import ChosenAddon
from bundler.catalog_types import ReleaseFile
from bundler.charts import ChartRelease
from bundler.lockfile import LockedRuntime
from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import PlatformImage
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference

SHARED_LAYER = Descriptor(Digest.of(b"base layer"), 10, mediatypes.TAR_GZIP)


@dataclass(frozen=True)
class Image:
    """An image as a registry client resolves it."""

    blob: Descriptor
    blobs: tuple[Descriptor, ...]
    platforms: dict[Platform, PlatformImage]


def blob(name: str, media_type: str = mediatypes.OCI_MANIFEST) -> Descriptor:
    return Descriptor(Digest.of(name.encode()), len(name), media_type)


def image(reference: Reference, platforms: Iterable[Platform]) -> Image:
    top = blob(f"index of {reference}", mediatypes.OCI_INDEX)
    blobs, images = [top, SHARED_LAYER], {}
    for platform in platforms:
        manifest = blob(f"{reference} {platform}")
        config = blob(f"config of {reference} {platform}", mediatypes.OCI_CONFIG)
        blobs += [manifest, config]
        images[platform] = PlatformImage(manifest.digest, config.digest, (SHARED_LAYER.digest,))
    return Image(top, tuple(blobs), images)


@dataclass
class Outside:
    """Answers every question the same way.

    ``told`` is what kubeadm lists for a platform, ``text`` what helm renders every chart to (and ``again`` what it does
    the second time, where that differs), nothing where they cannot be executed. ``asked`` are the questions,
    ``releases`` what helm was told.
    """

    told: dict[Platform, tuple[Reference, ...]] = field(default_factory=dict)
    text: str | None = None
    again: str | None = None
    releases: list[ChartRelease] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def file_size_bytes(self, url: str) -> int:
        """The length of the URL."""
        self.asked.append(url)
        return len(url)

    def image(self, reference: Reference, platforms: tuple[Platform, ...]) -> Image:
        """An index with a manifest per platform."""
        self.asked.append(str(reference))
        return image(reference, platforms)

    def kubeadm_images(
        self, url: str, digest: Digest, size_bytes: int, version: str, platform: Platform
    ) -> tuple[Reference, ...] | None:
        """What ``told`` has."""
        assert size_bytes == len(url)
        self.asked.append(f"{url} {digest.short} {version}")
        return self.told.get(platform)

    def runtime(self, kind: str, platform: Platform) -> LockedRuntime:
        """A made-up one."""
        return LockedRuntime(kind, platform, "3.11.7", "this interpreter", Digest.of(b"runtime"), 7)

    def chart(self, chosen: ChosenAddon) -> Descriptor:
        """A chart that is its URL."""
        url = chosen.version.source.origin
        self.asked.append(url)
        digest = chosen.version.digest or Digest.of(url.encode())
        return Descriptor(digest, len(url), mediatypes.HELM_CHART)

    def rendered(self, helm: ReleaseFile, size_bytes: int, chart: Descriptor, release: ChartRelease) -> str | None:
        """``text``."""
        assert (helm.component, size_bytes) == ("helm", len(helm.url))
        self.asked.append(f"{helm.platform} renders {chart.digest.short}")
        self.releases.append(release)
        return self.text if self.again is None or len(self.releases) % 2 else self.again
