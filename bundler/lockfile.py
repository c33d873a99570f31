"""The lock: everything one build resolved, by digest. The same lock gives the same bundle, years later.

Written beside the bundle as ``<name>.lock.json``. A lock holds what ``bundle.json`` will hold (files, images, their
blobs) except the unpacked sizes, which only the bytes themselves tell, and how the installer's runtime is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bundler.licenses import Licenses
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.index import BundledFile, BundledImage, Pause, demand_schema
from installer.bundle.platform import Platform
from installer.bundle.source import TRUSTS
from installer.bundle.strict import Fields, Problems

SCHEMA = 1
LAYERS = ("registry", "dense")
"""As the registry serves them, or as plain tars compressed together (``installer.bundle.dense``)."""
RUNTIME_KINDS = ("catalogue", "file", "host")
PROGRAM, INTERPRETER = "airgap-bundle", "cpython"
"""What every runtime has beside its wheels, by the names their licences have."""
_VERSION = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}")


@dataclass(frozen=True)
class LockedWheel:
    """One wheel of the runtime, asked for by name and version and taken only with this digest."""

    name: str
    version: str
    filename: str
    digest: Digest

    @classmethod
    def read(cls, fields: Fields) -> LockedWheel:
        """A wheel from its mapping."""
        wheel = cls(
            fields.text("name"), fields.text("version"), fields.text("filename"), fields.parsed("digest", Digest)
        )
        fields.finish()
        return wheel

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"name": self.name, "version": self.version, "filename": self.filename, "digest": str(self.digest)}


@dataclass(frozen=True)
class LockedRuntime:
    """The installer's runtime for one platform.

    ``catalogue``: a CPython archive (``origin`` URL, ``digest``, ``size_bytes``) and wheels. ``file``: an archive the
    user gave (``origin`` is its name). ``host``: made from the running interpreter (``origin`` says which); ``digest``
    and ``size_bytes`` are those of the finished archive. ``trust`` says whose word the digest is, as for every other
    item, and ``catalogue`` which catalogue gave it (``None`` for ``file`` and ``host``).
    """

    kind: str
    platform: Platform
    python: str
    origin: str
    digest: Digest
    size_bytes: int
    wheels: tuple[LockedWheel, ...] = ()
    trust: str = "user"
    catalogue: str | None = None

    @classmethod
    def read(cls, fields: Fields) -> LockedRuntime:
        """A runtime from its mapping."""
        runtime = cls(
            fields.choice("kind", RUNTIME_KINDS),
            fields.parsed("platform", Platform),
            fields.text("python"),
            fields.text("origin"),
            fields.parsed("digest", Digest),
            fields.integer("size_bytes"),
            tuple(LockedWheel.read(item) for item in fields.mappings("wheels", optional=True)),
            fields.choice("trust", TRUSTS, "user"),
            fields.text("catalogue", None),
        )
        fields.finish()
        return runtime

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {
            "kind": self.kind,
            "platform": str(self.platform),
            "python": self.python,
            "origin": self.origin,
            "digest": str(self.digest),
            "size_bytes": self.size_bytes,
            "wheels": [wheel.to_dict() for wheel in self.wheels],
            "trust": self.trust,
            "catalogue": self.catalogue,
        }


@dataclass(frozen=True)
class Lock:
    """One resolved release. ``zstd`` is the compressor's version: with another one the tarball's bytes may differ.

    ``layers`` is how layers are held, one of :data:`LAYERS`. ``licenses`` are those the catalogue knew.
    """

    kubernetes: str
    platforms: tuple[Platform, ...]
    cni: str
    created_seconds: int
    zstd: str
    pause: Pause
    runtimes: tuple[LockedRuntime, ...]
    files: tuple[BundledFile, ...]
    images: tuple[BundledImage, ...]
    blobs: tuple[Descriptor, ...]
    addons: tuple[BundledAddon, ...] = ()
    layers: str = "registry"
    licenses: Licenses = field(default_factory=Licenses)

    @property
    def name(self) -> str:
        """The media set's name: ``k8s-v1.30.14-linux-amd64``."""
        architectures = "-".join(platform.architecture for platform in self.platforms)
        return f"k8s-v{self.kubernetes}-linux-{architectures}"

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Lock:
        """The lock in ``data``; raises :class:`FormatError` naming every problem with its path."""
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FormatError("the lock is not JSON", where=where, got=str(error)[:200]) from None
        demand_schema(document, SCHEMA, where)
        problems = Problems()
        fields = Fields(document, problems)
        fields.integer("schema")
        lock = cls(
            fields.text("kubernetes"),
            fields.parsed_list("platforms", Platform),
            fields.text("cni"),
            fields.integer("created_seconds"),
            fields.text("zstd"),
            Pause.read(fields.mapping("pause")),
            tuple(LockedRuntime.read(item) for item in fields.mappings("runtimes")),
            tuple(BundledFile.read(item) for item in fields.mappings("files")),
            tuple(BundledImage.read(item) for item in fields.mappings("images")),
            tuple(Descriptor.read(item) for item in fields.mappings("blobs")),
            tuple(BundledAddon.read(item) for item in fields.mappings("addons", optional=True)),
            fields.choice("layers", LAYERS, "registry"),
            Licenses.read(fields.mapping("licenses", optional=True)),
        )
        fields.finish()
        if not problems:
            problems.extend(lock._problems())
        problems.check("the lock does not have its format", FormatError, where=where)
        return lock

    def _problems(self) -> Iterator[str]:
        """What makes the lock not whole: names that are no names, and parts that do not fit each other."""
        if not _VERSION.fullmatch(self.kubernetes):
            yield f"kubernetes: wanted a version like 1.30.14, got {self.kubernetes!r}"
        if not self.platforms or list(self.platforms) != sorted(set(self.platforms)):
            yield "platforms: wanted at least one, each once, sorted"
        if tuple(runtime.platform for runtime in self.runtimes) != self.platforms:
            yield "runtimes: wanted one for each platform, in their order"
        for item in self.files:
            if item.platform not in self.platforms:
                yield f"files: {item.component} is for {item.platform}, which the lock is not"
        for image in self.images:
            if set(image.platforms) != set(self.platforms):
                yield f"images: {image.reference} has other platforms than the lock"
        if self.pause.reference not in {image.reference for image in self.images}:
            yield f"pause: {self.pause.reference} is not among the images"
        yield from self._blob_problems()

    def _blob_problems(self) -> Iterator[str]:
        listed = [blob.digest for blob in self.blobs]
        named = {item.blob for item in self.files} | {blob for image in self.images for blob in image.blobs()}
        named |= {addon.chart for addon in self.addons}
        if len(listed) != len(set(listed)):
            yield "blobs: a digest is listed twice"
        yield from (f"blobs: {digest} is named but not listed" for digest in sorted(named - set(listed)))
        yield from (f"blobs: {digest} is listed but not named" for digest in sorted(set(listed) - named))

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`from_bytes` takes."""
        further: dict[str, Any] = {"layers": self.layers} if self.layers != "registry" else {}
        if licenses := self.licenses.to_dict():
            further["licenses"] = licenses
        return further | {
            "schema": SCHEMA,
            "kubernetes": self.kubernetes,
            "platforms": [str(platform) for platform in self.platforms],
            "cni": self.cni,
            "created_seconds": self.created_seconds,
            "zstd": self.zstd,
            "pause": self.pause.to_dict(),
            "runtimes": [runtime.to_dict() for runtime in self.runtimes],
            "files": [item.to_dict() for item in self.files],
            "images": [image.to_dict() for image in self.images],
            "blobs": [blob.to_dict() for blob in self.blobs],
            "addons": [addon.to_dict() for addon in self.addons],
        }

    def to_bytes(self) -> bytes:
        """The one canonical encoding."""
        return (json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")
