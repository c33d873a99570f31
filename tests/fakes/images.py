"""Tiny images and bundles in the real formats: multi-platform indexes, gzip and zstd layers, OCI and Docker types."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import zstandard

from bundler.lockfile import Lock
from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest, HashingReader
from installer.bundle.errors import IntegrityError
from installer.bundle.index import BundledFile, BundledImage, Pause, PlatformImage
from installer.bundle.pack import VerifiedReader
from installer.bundle.placement import Placement
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from installer.bundle.source import Source

AMD64 = Platform("linux/amd64")
ARM64 = Platform("linux/arm64")
PAUSE = "registry.k8s.io/pause:3.9"
CREATED_SECONDS = 1_700_000_000


@dataclass
class FakeStore:
    """Blobs in memory, verified while they are read, as the real store does."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)

    def add(self, data: bytes) -> Digest:
        """Puts ``data`` in under its digest."""
        digest = Digest.of(data)
        self.blobs[digest] = data
        return digest

    @contextmanager
    def open(self, digest: Digest, /) -> Iterator[VerifiedReader]:
        """The blob for reading."""
        if digest not in self.blobs:
            raise IntegrityError("a blob is missing from the store", wanted=digest)
        data = self.blobs[digest]
        yield HashingReader(io.BytesIO(data), digest, len(data), f"store {digest}")


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed tar of regular files, mode 0755, everything else fixed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o755, CREATED_SECONDS
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def tar_gzip_of(files: Mapping[str, bytes]) -> bytes:
    """The same, through gzip."""
    return gzip.compress(tar_of(files), mtime=0)


def noise(size_bytes: int, seed: int) -> bytes:
    """Bytes that no compressor can shrink, the same for the same seed."""
    return random.Random(seed).randbytes(size_bytes)  # noqa: S311 - the same bytes every time, not secrets


@dataclass
class Parts:
    """What a bundle is made from: a store and the records that name its blobs."""

    store: FakeStore = field(default_factory=FakeStore)
    descriptors: dict[Digest, Descriptor] = field(default_factory=dict)
    files: list[BundledFile] = field(default_factory=list)
    images: list[BundledImage] = field(default_factory=list)

    def blob(self, data: bytes, media_type: str) -> Digest:
        """Adds a blob and its descriptor."""
        digest = self.store.add(data)
        self.descriptors[digest] = Descriptor(digest, len(data), media_type)
        return digest

    def file(self, component: str, data: bytes, placement: Placement, platform: Platform = AMD64) -> BundledFile:
        """Adds a release file for both roles."""
        media_type = mediatypes.TAR_GZIP if placement.archive else mediatypes.OCTET_STREAM
        source = Source(f"https://example.invalid/{component}", "upstream")
        item = BundledFile(
            component, "1.0.0", platform, self.blob(data, media_type), ("cp", "worker"), placement, source
        )
        self.files.append(item)
        return item

    def image(
        self,
        reference: str,
        layers: Mapping[Platform, list[bytes]],
        *,
        roles: tuple[str, ...] = ("cp", "worker"),
        docker: bool = False,
        zstd: bool = False,
        single: bool = False,
    ) -> BundledImage:
        """Adds an image of uncompressed tar ``layers``; ``single`` makes it a lone manifest without an index."""
        by_platform = {
            platform: self._platform_image(platform, tars, docker, zstd) for platform, tars in layers.items()
        }
        if single:
            (only,) = by_platform.values()
            named = only.manifest
        else:
            named = self._index(by_platform, docker)
        image = BundledImage(
            Reference.parse(reference), named, "kubernetes", roles, by_platform, Source(reference, "first-seen")
        )
        self.images.append(image)
        return image

    def _platform_image(self, platform: Platform, tars: list[bytes], docker: bool, zstd: bool) -> PlatformImage:
        layer_type = "application/vnd.oci.image.layer.v1.tar+" + ("zstd" if zstd else "gzip")
        if docker:
            layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        packed = [zstandard.compress(tar) if zstd else gzip.compress(tar, mtime=0) for tar in tars]
        layers = [self.blob(data, layer_type) for data in packed]
        config = self._document(
            {
                "architecture": platform.architecture,
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [Digest.of(tar) for tar in tars]},
            },
            mediatypes.DOCKER_CONFIG if docker else mediatypes.OCI_CONFIG,
        )
        media_type = mediatypes.DOCKER_MANIFEST if docker else mediatypes.OCI_MANIFEST
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self._pointer(config),
            "layers": [self._pointer(layer) for layer in layers],
        }
        return PlatformImage(self._document(manifest, media_type), config, tuple(layers))

    def _index(self, images: Mapping[Platform, PlatformImage], docker: bool) -> Digest:
        """An index that also lists a platform whose blobs are nowhere, as upstream's do for us."""
        media_type = mediatypes.DOCKER_INDEX if docker else mediatypes.OCI_INDEX
        manifests = [
            self._pointer(image.manifest) | {"platform": {"os": "linux", "architecture": platform.architecture}}
            for platform, image in images.items()
        ]
        absent = {"mediaType": manifests[0]["mediaType"], "digest": Digest.of(b"elsewhere"), "size": 9}
        manifests.append(absent | {"platform": {"os": "linux", "architecture": "s390x"}})
        return self._document({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}, media_type)

    def _document(self, content: object, media_type: str) -> Digest:
        return self.blob(json.dumps(content, indent=3).encode(), media_type)

    def _pointer(self, digest: Digest) -> dict[str, object]:
        blob = self.descriptors[digest]
        return {"mediaType": blob.media_type, "digest": str(digest), "size": blob.size_bytes}

    def lock(self, platforms: tuple[Platform, ...] = (AMD64,)) -> Lock:
        """The lock for everything added, without a runtime."""
        return Lock(
            kubernetes="1.30.14",
            platforms=platforms,
            cni="none",
            created_seconds=CREATED_SECONDS,
            zstd=".".join(map(str, zstandard.ZSTD_VERSION)),
            pause=Pause(Reference.parse(PAUSE), "catalogue"),
            runtimes=(),
            files=tuple(self.files),
            images=tuple(self.images),
            blobs=tuple(sorted(self.descriptors.values())),
        )


def small_parts(*, large_bytes: int = 100_000, platforms: tuple[Platform, ...] = (AMD64,)) -> Parts:
    """A plain file, an archive and four images, one of each kind; ``large_bytes`` is the size of two of the blobs."""
    parts = Parts()
    for number, platform in enumerate(platforms):
        plain = Placement(0o755, "/usr/local/bin/kubeadm")
        parts.file("kubeadm", b"kubeadm for " + platform.encode() + bytes(large_bytes), plain, platform)
        archive = Placement(0o755, archive="tar+gzip", members={"/": "/opt/cni/bin/"})
        content = tar_gzip_of({"./bridge": b"bridge", "./host-local": noise(2000, number)})
        parts.file("cni-plugins", content, archive, platform)
    shared = tar_of({"etc/os-release": b"NAME=shared\n"})

    def layers(name: str, size_bytes: int) -> dict[Platform, list[bytes]]:
        return {
            platform: [shared, tar_of({name: platform.encode() + noise(size_bytes, len(name))})]
            for platform in platforms
        }

    parts.image(PAUSE, layers("pause", 100))
    parts.image("registry.k8s.io/etcd:3.5.15-0", layers("etcd", large_bytes), roles=("cp",))
    parts.image("docker.io/library/demo:1.0", layers("demo", 3000), docker=True)
    parts.image("quay.io/site/modern:2", layers("modern", 500), zstd=True)
    return parts
