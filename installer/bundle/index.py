"""``bundle.json``, the checksum index: what a bundle holds, what each blob is for and where it came from.

It is the first member of the tarball; the digest of its bytes is the bundle's identity. The order of ``blobs`` is the
order of the tarball's members, so every member's place follows from the index alone (see ``layout``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from installer.bundle.addon import BundledAddon, order_problems
from installer.bundle.denselayer import DenseLayer
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.placement import Placement
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from installer.bundle.roles import read_roles
from installer.bundle.source import Source
from installer.bundle.strict import Fields, Problems

SCHEMA = 1
MAXIMUM_BYTES = 16 * 1024 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
_VERSION = re.compile(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}")


@dataclass(frozen=True)
class BundledFile:
    """A release file: ``component`` (``kubeadm``, ``containerd``…), version, platform, roles, placement and source."""

    component: str
    version: str
    platform: Platform
    blob: Digest
    roles: tuple[str, ...]
    placement: Placement
    source: Source

    @classmethod
    def read(cls, fields: Fields) -> BundledFile:
        """A file from its mapping."""
        bundled = cls(
            _shaped(fields, "component", _NAME, "lower-case letters, digits, '.' and '-'"),
            fields.text("version"),
            fields.parsed("platform", Platform),
            fields.parsed("blob", Digest),
            read_roles(fields),
            Placement.read(fields.mapping("placement")),
            Source.read(fields.mapping("source")),
        )
        fields.finish()
        return bundled

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {
            "component": self.component,
            "version": self.version,
            "platform": str(self.platform),
            "blob": str(self.blob),
            "roles": list(self.roles),
            "placement": self.placement.to_dict(),
            "source": self.source.to_dict(),
        }


@dataclass(frozen=True)
class PlatformImage:
    """One platform of an image: the digests of its manifest, config and layers, in manifest order.

    ``indexes`` are the nested image indexes between the blob the image names and the manifest, outermost first.
    ``packed_manifest`` is, in a dense bundle, the digest of the manifest that a node gets (:mod:`dense`).
    """

    manifest: Digest
    config: Digest
    layers: tuple[Digest, ...]
    indexes: tuple[Digest, ...] = ()
    packed_manifest: Digest | None = None

    @classmethod
    def read(cls, fields: Fields) -> PlatformImage:
        """A platform's image from its mapping."""
        layers = fields.parsed_list("layers", Digest)
        indexes = fields.parsed_list("indexes", Digest) if "indexes" in fields else ()
        packed = fields.parsed("packed_manifest", Digest) if "packed_manifest" in fields else None
        image = cls(fields.parsed("manifest", Digest), fields.parsed("config", Digest), layers, indexes, packed)
        fields.finish()
        return image

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        out: dict[str, Any] = {
            "manifest": str(self.manifest),
            "config": str(self.config),
            "layers": [str(layer) for layer in self.layers],
        }
        if self.indexes:
            out["indexes"] = [str(index) for index in self.indexes]
        if self.packed_manifest:
            out["packed_manifest"] = str(self.packed_manifest)
        return out

    def blobs(self) -> tuple[Digest, ...]:
        """Every blob of this platform: nested indexes, manifest, config, layers."""
        return (*self.indexes, self.manifest, self.config, *self.layers)


@dataclass(frozen=True)
class BundledImage:
    """An image: canonical ``reference``, the blob it names (index or manifest, kept as fetched), its platforms."""

    reference: Reference
    blob: Digest
    purpose: str
    roles: tuple[str, ...]
    platforms: dict[Platform, PlatformImage]
    source: Source

    @classmethod
    def read(cls, fields: Fields) -> BundledImage:
        """An image from its mapping."""
        platforms = fields.mapping("platforms")
        by_platform = {}
        for key in platforms.keys():  # noqa: SIM118 - Fields is not a dict
            image = PlatformImage.read(platforms.mapping(key))
            try:
                by_platform[Platform(key)] = image
            except FormatError as error:
                platforms.note(key, f"{error.message}: wanted {error.wanted}")
        bundled = cls(
            fields.parsed("reference", Reference.parse),
            fields.parsed("blob", Digest),
            fields.text("purpose"),
            read_roles(fields),
            by_platform,
            Source.read(fields.mapping("source")),
        )
        fields.finish()
        return bundled

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {
            "reference": str(self.reference),
            "blob": str(self.blob),
            "purpose": self.purpose,
            "roles": list(self.roles),
            "platforms": {str(key): self.platforms[key].to_dict() for key in sorted(self.platforms)},
            "source": self.source.to_dict(),
        }

    def names(self) -> tuple[str, ...]:
        """The names the image store gets: ``repo:tag`` (if tagged) and ``repo@digest``, never both in one."""
        tagged = self.reference.tagged
        return ((tagged,) if tagged else ()) + (self.reference.pinned(self.blob),)

    @property
    def stored_digests(self) -> frozenset[Digest]:
        """What the image's names may lead to in a node's store: what the registry served, or made of it (``dense``)."""
        packed = {its.packed_manifest for its in self.platforms.values() if its.packed_manifest}
        return frozenset({self.blob, *packed})

    def blobs(self, platforms: tuple[Platform, ...] | None = None) -> Iterator[Digest]:
        """The image's blobs for ``platforms`` (all by default), the named one first, each once."""
        seen = {self.blob}
        yield self.blob
        for platform in sorted(self.platforms) if platforms is None else platforms:
            for digest in self.platforms[platform].blobs():
                if digest not in seen:
                    seen.add(digest)
                    yield digest


@dataclass(frozen=True)
class Pause:
    """The sandbox image the bundled kubeadm wants, and who said so: ``kubeadm`` itself, or the ``catalogue``."""

    reference: Reference
    told_by: str

    @classmethod
    def read(cls, fields: Fields) -> Pause:
        """The pause image from its mapping."""
        pause = cls(fields.parsed("reference", Reference.parse), fields.choice("told_by", ("kubeadm", "catalogue")))
        fields.finish()
        return pause

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"reference": str(self.reference), "told_by": self.told_by}


@dataclass(frozen=True)
class BundleIndex:
    """The whole index. ``created_seconds`` (Unix time) is the mtime of everything in the bundle.

    ``layers`` are those of a dense bundle, and ``zstd`` the version of the library that packs them on a node.
    """

    name: str
    kubernetes: str
    platforms: tuple[Platform, ...]
    cni: str
    created_seconds: int
    minimum_installer: str
    pause: Pause
    blobs: tuple[Descriptor, ...]
    files: tuple[BundledFile, ...]
    images: tuple[BundledImage, ...]
    addons: tuple[BundledAddon, ...] = ()
    zstd: str | None = None
    layers: tuple[DenseLayer, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> BundleIndex:
        """The index in ``data``; raises :class:`FormatError` naming every problem with its path."""
        if len(data) > MAXIMUM_BYTES:
            wanted = f"at most {MAXIMUM_BYTES} bytes"
            raise FormatError("bundle.json is too large", where=where, wanted=wanted, got=f"{len(data)}")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FormatError("bundle.json is not JSON", where=where, got=str(error)[:200]) from None
        demand_schema(document, SCHEMA, where)
        problems = Problems()
        fields = Fields(document, problems)
        index = cls._read(fields)
        if not problems:
            index._demand_whole(problems)
        problems.check("bundle.json does not have its format", FormatError, where=where)
        return index

    @classmethod
    def _read(cls, fields: Fields) -> BundleIndex:
        fields.integer("schema")
        fields.raw("totals")
        index = cls(
            _shaped(fields, "name", _NAME, "lower-case letters, digits, '.' and '-'"),
            _shaped(fields, "kubernetes", _VERSION, "a version such as 1.30.14"),
            fields.parsed_list("platforms", Platform),
            fields.text("cni"),
            fields.integer("created_seconds"),
            _shaped(fields, "minimum_installer", _VERSION, "a version such as 0.1.0"),
            Pause.read(fields.mapping("pause")),
            tuple(Descriptor.read(item) for item in fields.mappings("blobs")),
            tuple(BundledFile.read(item) for item in fields.mappings("files")),
            tuple(BundledImage.read(item) for item in fields.mappings("images")),
            tuple(BundledAddon.read(item) for item in fields.mappings("addons", optional=True)),
            fields.text("zstd", None),
            tuple(DenseLayer.read(item) for item in fields.mappings("layers", optional=True)),
        )
        fields.finish()
        return index

    def _demand_whole(self, problems: Problems) -> None:
        """Every blob named is listed once and every blob listed is named."""
        listed = [blob.digest for blob in self.blobs]
        if len(listed) != len(set(listed)):
            problems.append("blobs: a digest is listed twice")
        named = {item.blob for item in self.files} | {blob for image in self.images for blob in self.held(image)}
        named |= {addon.chart for addon in self.addons}
        problems.extend(f"blobs: {digest} is named but not listed" for digest in sorted(named - set(listed)))
        problems.extend(f"blobs: {digest} is listed but not named" for digest in sorted(set(listed) - named))
        problems.extend(order_problems(self.addons))
        problems.extend(self._dense_problems())
        if not any(image.reference == self.pause.reference for image in self.images):
            problems.append(f"pause: {self.pause.reference} is not among the images")

    def _dense_problems(self) -> Iterator[str]:
        """All layers are dense, each once, or none is."""
        known = [layer.digest for layer in self.layers]
        if len(known) != len(set(known)):
            yield "layers: a digest is listed twice"
        images = [image for named in self.images for image in named.platforms.values()]
        used = {digest for image in images for digest in image.layers} if self.layers else set()
        yield from (f"layers: {digest} is an image's and not listed" for digest in sorted(used - set(known)))
        yield from (f"layers: {digest} is no image's" for digest in sorted(set(known) - used))
        if (self.zstd is not None) != bool(self.layers):
            yield "zstd: wanted beside layers, and nowhere else"
        if any((image.packed_manifest is not None) != bool(self.layers) for image in images):
            yield "images: wanted a packed_manifest for every platform where there are layers, and nowhere else"

    def to_dict(self) -> dict[str, Any]:
        """The index as plain values, ``totals`` included."""
        dense = {"zstd": self.zstd, "layers": [layer.to_dict() for layer in self.layers]} if self.layers else {}
        return dense | {
            "schema": SCHEMA,
            "name": self.name,
            "kubernetes": self.kubernetes,
            "platforms": [str(platform) for platform in self.platforms],
            "cni": self.cni,
            "created_seconds": self.created_seconds,
            "minimum_installer": self.minimum_installer,
            "pause": self.pause.to_dict(),
            "blobs": [blob.to_dict() for blob in self.blobs],
            "files": [item.to_dict() for item in self.files],
            "images": [image.to_dict() for image in self.images],
            "addons": [addon.to_dict() for addon in self.addons],
            "totals": {
                "blobs": len(self.blobs),
                "files": len(self.files),
                "images": len(self.images),
                "size_bytes": sum(blob.size_bytes for blob in self.blobs),
                "unpacked_size_bytes": sum(blob.unpacked_size_bytes or blob.size_bytes for blob in self.blobs),
            },
        }

    def to_bytes(self) -> bytes:
        """The one canonical encoding: sorted keys, two spaces, a newline at the end. Its digest is the identity."""
        return (json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")

    @cached_property
    def dense_layers(self) -> dict[Digest, DenseLayer]:
        """The layers of a dense bundle, by their digests in the registry."""
        return {layer.digest: layer for layer in self.layers}

    def held(self, image: BundledImage, platforms: tuple[Platform, ...] | None = None) -> Iterator[Digest]:
        """The blobs of ``image`` that the bundle holds for ``platforms`` (all by default), each once."""
        dense = self.dense_layers
        digests = image.blobs(platforms)
        yield from dict.fromkeys(dense[digest].diff_id if digest in dense else digest for digest in digests)

    def descriptors(self) -> dict[Digest, Descriptor]:
        """Every blob by digest."""
        return {blob.digest: blob for blob in self.blobs}

    def images_for(self, role: str) -> tuple[BundledImage, ...]:
        """The images a node of ``role`` needs."""
        return tuple(image for image in self.images if role in image.roles)

    def files_for(self, role: str, platform: Platform) -> tuple[BundledFile, ...]:
        """The files a node of ``role`` on ``platform`` needs."""
        return tuple(item for item in self.files if role in item.roles and item.platform == platform)

    def targets_for(self, role: str) -> tuple[str, ...]:
        """The files and folders that the files for ``role`` are placed at, on any platform."""
        paths = {path for item in self.files if role in item.roles for path in item.placement.targets}
        return tuple(sorted(path.rstrip("/") for path in paths))


def _shaped(fields: Fields, key: str, shape: re.Pattern[str], wanted: str) -> str:
    text: str = fields.text(key)
    if text and not shape.fullmatch(text):
        fields.note(key, f"wanted {wanted}, got {text[:100]!r}")
    return text


def demand_schema(document: object, known: int, where: str) -> None:
    """Raises :class:`FormatError` unless ``document`` has the schema read here; a newer one is named as such."""
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > known:
        raise FormatError(
            "made by a newer builder",
            where=where,
            wanted=f"schema {known}, which this version reads",
            got=f"schema {schema}"[:100],
            next_step="use the version of this tool that made it, or a newer one",
        )
    if schema != known or isinstance(schema, bool):
        raise FormatError("no known schema", where=where, wanted=f"schema: {known}", got=f"schema: {schema!r}"[:100])
