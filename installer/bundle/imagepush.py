"""All images of a bundle into a registry of the site, each under its own name below a prefix.

``registry.k8s.io/coredns/coredns:v1.11.3`` becomes ``<prefix>/registry.k8s.io/coredns/coredns:v1.11.3`` there, so that
images of several registries never meet, and a node finds them through one mirror entry for each of those registries.
Bytes are pushed as the bundle holds them, so digests hold. An image index that names platforms which the bundle does
not carry is pushed as it is where the registry takes it. Most refuse it; the tag then leads to what is carried.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from installer.bundle.digest import Digest
from installer.bundle.distribution import Exchange, Repository, refusal
from installer.bundle.errors import FormatError, InputError
from installer.bundle.index import BundledImage, BundleIndex
from installer.bundle.mediatypes import INDEXES
from installer.bundle.platform import Platform
from installer.bundle.reader import Bundle
from installer.bundle.reference import Reference

_NAMED_AT_MOST = 8

Kept = Literal["whole", "part"]
"""Whether the image's own digest can be asked for there, or its tag leads to the carried platforms alone."""


@dataclass(frozen=True)
class PushedImage:
    """One image at the registry: its ``reference`` in the bundle, its name there, and how much of it holds."""

    reference: Reference
    name: str
    kept: Kept


@dataclass(frozen=True)
class PushedImages:
    """All of them, and the bytes that were sent and that were there already."""

    images: tuple[PushedImage, ...]
    sent_bytes: int
    present_bytes: int


@dataclass(frozen=True)
class _Manifest:
    """A manifest or index to put, with the media type to say."""

    data: bytes
    media_type: str

    @property
    def digest(self) -> Digest:
        return Digest.of(self.data)


def site_repository(reference: Reference, prefix: str) -> str:
    """The repository of an image there; a port cannot be part of a path, so ``host:5000`` becomes ``host-5000``."""
    path = f"{registry_path(reference.registry)}/{reference.repository}"
    return f"{prefix}/{path}" if prefix else path


def registry_path(registry: str) -> str:
    """A registry's name as the first part of a repository."""
    return registry.lower().replace(":", "-").strip("[]")


def demand_pushable(bundle: Bundle) -> None:
    """Raises :class:`InputError` for a dense bundle, which has no layers that a registry could serve."""
    if bundle.index.layers:
        raise InputError(
            "the images of a dense bundle cannot be pushed",
            where=str(bundle.path),
            wanted="layers as their registry served them, so that the images' digests hold",
            got="plain tars, which every node packs to other digests",
            next_step="bundle build --layers registry makes one whose images can be pushed",
        )


def image_bytes(index: BundleIndex, image: BundledImage) -> int:
    """The size of an image's configs and layers."""
    sizes = index.descriptors()
    return sum(sizes[digest].size_bytes for digest in _content_of(image))


class ImagePush:
    """Pushes the images of ``bundle`` below ``prefix``; ``advance`` gets the bytes that are done, sent or found."""

    def __init__(
        self, bundle: Bundle, exchange: Exchange, prefix: str, advance: Callable[[int], None] = lambda _bytes: None
    ) -> None:
        demand_pushable(bundle)
        self._bundle = bundle
        self._exchange = exchange
        self._prefix = prefix
        self._advance = advance
        self._blobs = bundle.index.descriptors()
        self._sent_bytes = 0
        self._present_bytes = 0

    def run(self, *, force: bool, done: Callable[[PushedImage], None] = lambda _image: None) -> PushedImages:
        """Pushes all; ``done`` is called for each image. Without ``force``, a tag that leads to another image there is
        an :class:`InputError` before anything is pushed.
        """
        images = self._bundle.index.images
        if not force:
            self._demand_no_others(images)
        pushed = []
        for image in images:
            pushed.append(self._push(image))
            done(pushed[-1])
        return PushedImages(tuple(pushed), self._sent_bytes, self._present_bytes)

    def _demand_no_others(self, images: tuple[BundledImage, ...]) -> None:
        others = [f"{self._name(image)} leads to {found}" for image in images if (found := self._other(image))]
        if others:
            more = [f"and {len(others) - _NAMED_AT_MOST} more"] if len(others) > _NAMED_AT_MOST else []
            raise InputError(
                "the registry has other images under these tags",
                where=f"{self._exchange.base}/{self._prefix}",
                wanted="tags that are free, or lead to the bundle's own images",
                got="\n".join([*others[:_NAMED_AT_MOST], *more]),
                next_step="push below another prefix, or with --force, which lets those tags lead to the bundle's",
            )

    def _other(self, image: BundledImage) -> Digest | None:
        """The digest of what the image's tag leads to there, if that is none of what it may."""
        if image.reference.tag is None:
            return None
        found = self._repository(image).manifest(image.reference.tag)
        if found is None:
            return None
        digest = Digest.of(found[0])
        carried = {its.manifest for its in image.platforms.values()}  # a bundle of fewer platforms may have been here
        return None if digest in {image.blob, self._carried(image).digest, *carried} else digest

    def _push(self, image: BundledImage) -> PushedImage:
        repository = self._repository(image)
        for digest in _content_of(image):
            self._push_blob(repository, digest)
        for its in image.platforms.values():
            manifest = self._held(its.manifest)
            repository.demand_manifest(str(its.manifest), manifest.data, manifest.media_type)
        tag = image.reference.tag
        if self._blobs[image.blob].media_type not in INDEXES or self._push_indexes(repository, image):
            top = self._held(image.blob)
        else:
            top = self._carried(image)
        repository.demand_manifest(tag or str(top.digest), top.data, top.media_type)
        return PushedImage(image.reference, self._name(image), "whole" if top.digest == image.blob else "part")

    def _push_indexes(self, repository: Repository, image: BundledImage) -> bool:
        """The image's indexes as they are, innermost first; false where the registry wants all that they name."""
        nested = [digest for its in image.platforms.values() for digest in reversed(its.indexes)]
        for digest in (*dict.fromkeys(nested), image.blob):
            index = self._held(digest)
            answer = repository.put_manifest(str(digest), index.data, index.media_type)
            if answer.status in (400, 404, 422):
                return False
            if not answer.ok:
                raise refusal(answer, f"{repository.where}, {digest}")
        return True

    def _push_blob(self, repository: Repository, digest: Digest) -> None:
        size_bytes = self._blobs[digest].size_bytes
        if repository.has_blob(digest, size_bytes):
            self._present_bytes += size_bytes
            self._advance(size_bytes)
            return
        repository.push_blob(digest, size_bytes, lambda: self._bundle.chunks(digest), self._advance)
        self._sent_bytes += size_bytes

    def _carried(self, image: BundledImage) -> _Manifest:
        """What the tag leads to where the index is refused: the one platform's manifest, or an index of those here."""
        if self._blobs[image.blob].media_type not in INDEXES:
            return self._held(image.blob)
        if len(image.platforms) == 1:
            (only,) = image.platforms.values()
            return self._held(only.manifest)
        index = self._held(image.blob)
        entries = [self._entry(image, platform) for platform in sorted(image.platforms)]
        document = {"schemaVersion": 2, "mediaType": index.media_type, "manifests": entries}
        data = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
        return _Manifest(data, index.media_type)

    def _entry(self, image: BundledImage, platform: Platform) -> dict[str, Any]:
        blob = self._blobs[image.platforms[platform].manifest]
        return {
            "mediaType": blob.media_type,
            "digest": str(blob.digest),
            "size": blob.size_bytes,
            "platform": {"os": "linux", "architecture": platform.architecture},
        }

    def _held(self, digest: Digest) -> _Manifest:
        """A manifest of the bundle, and its media type: the one it states itself, which registries compare."""
        data = b"".join(self._bundle.chunks(digest))
        try:
            stated = json.loads(data).get("mediaType")
        except (ValueError, AttributeError, RecursionError):
            raise FormatError(
                "not a manifest", where=f"{self._bundle.path}, {digest}", wanted="a JSON object"
            ) from None
        return _Manifest(data, stated if isinstance(stated, str) else self._blobs[digest].media_type)

    def _repository(self, image: BundledImage) -> Repository:
        return Repository(self._exchange, site_repository(image.reference, self._prefix))

    def _name(self, image: BundledImage) -> str:
        repository = self._repository(image)
        tag = image.reference.tag
        return f"{repository.where}:{tag}" if tag else f"{repository.where}@{image.blob}"


def _content_of(image: BundledImage) -> tuple[Digest, ...]:
    """An image's configs and layers, each once."""
    return tuple(dict.fromkeys(digest for its in image.platforms.values() for digest in (its.config, *its.layers)))
