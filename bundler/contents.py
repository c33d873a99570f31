"""What a media set, a tarball, an index or a lock says it holds, in one form, for whoever explains or compares it.

Only the index is read, no blob: nothing here proves that the bytes are there. ``bundle verify`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bundler.errors import InputError, IntegrityError
from bundler.licenses import Licenses
from bundler.lockfile import Lock, LockedRuntime
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import MAXIMUM_BYTES, BundledFile, BundledImage, BundleIndex, Pause
from installer.bundle.mediatypes import OCTET_STREAM
from installer.bundle.platform import Platform
from installer.bundle.reader import open_media_set
from installer.bundle.regularfile import read_regular
from installer.bundle.sums import INSTALL_NAME, read_sums

KINDS = ("media set", "tarball", "index", "lock")


@dataclass(frozen=True)
class Contents:
    """What one of :data:`KINDS` holds.

    ``identity`` is the digest of ``bundle.json``, or of a lock its own. ``blobs`` are those held; in a dense bundle
    ``plain`` leads from a layer's digest in the registry to the blob that is held in its place. ``tarball_bytes`` is
    its size on the medium and ``install`` the launcher as ``SHA256SUMS`` lists it, ``None`` where there is none.
    ``runtimes`` and ``licenses`` are known from a lock only.
    """

    kind: str
    name: str
    identity: Digest
    kubernetes: str
    platforms: tuple[Platform, ...]
    cni: str
    created_seconds: int
    pause: Pause
    files: tuple[BundledFile, ...]
    images: tuple[BundledImage, ...]
    addons: tuple[BundledAddon, ...]
    blobs: Mapping[Digest, Descriptor]
    is_dense: bool = False
    plain: Mapping[Digest, Digest] = field(default_factory=dict)
    tarball_bytes: int | None = None
    install: Descriptor | None = None
    runtimes: tuple[LockedRuntime, ...] = ()
    licenses: Licenses = field(default_factory=Licenses)

    @classmethod
    def of_index(cls, index: BundleIndex, kind: str = "index") -> Contents:
        """What ``bundle.json`` says."""
        return cls(
            kind=kind,
            name=index.name,
            identity=Digest.of(index.to_bytes()),
            kubernetes=index.kubernetes,
            platforms=index.platforms,
            cni=index.cni,
            created_seconds=index.created_seconds,
            pause=index.pause,
            files=index.files,
            images=index.images,
            addons=index.addons,
            blobs=index.descriptors(),
            is_dense=bool(index.layers),
            plain={layer.digest: layer.diff_id for layer in index.layers},
        )

    @classmethod
    def of_lock(cls, lock: Lock) -> Contents:
        """What a lock says; of a dense bundle it knows the layers as the registry serves them."""
        return cls(
            kind="lock",
            name=lock.name,
            identity=Digest.of(lock.to_bytes()),
            kubernetes=lock.kubernetes,
            platforms=lock.platforms,
            cni=lock.cni,
            created_seconds=lock.created_seconds,
            pause=lock.pause,
            files=lock.files,
            images=lock.images,
            addons=lock.addons,
            blobs={blob.digest: blob for blob in lock.blobs},
            is_dense=lock.layers == "dense",
            runtimes=lock.runtimes,
            licenses=lock.licenses,
        )

    @classmethod
    def of_build(cls, lock: Lock, index: BundleIndex) -> Contents:
        """What a media set has that is made of ``lock`` with this ``index``."""
        return replace(cls.of_index(index, "media set"), runtimes=lock.runtimes, licenses=lock.licenses)

    def held(self, image: BundledImage) -> tuple[Digest, ...]:
        """The blobs of ``image`` that are held, each once."""
        return tuple(dict.fromkeys(self.plain.get(digest, digest) for digest in image.blobs()))


def read_contents(path: Path) -> Contents:
    """What the media set (its folder), tarball, ``bundle.json`` or lock at ``path`` says; raises as reading does."""
    if path.suffix == ".json":
        return _read_document(path)
    with open_media_set(path) as bundle:
        contents = Contents.of_index(bundle.index, "tarball" if bundle.folder is None else "media set")
        install = _install(bundle.folder) if bundle.folder else None
        return replace(contents, tarball_bytes=bundle.size_bytes, install=install)


def _install(folder: Path) -> Descriptor | None:
    """The launcher by its listed digest; ``None`` in a folder that is not whole, which is for ``verify`` to judge."""
    try:
        return Descriptor(read_sums(folder)[INSTALL_NAME], (folder / INSTALL_NAME).stat().st_size, OCTET_STREAM)
    except (OSError, IntegrityError, KeyError):
        return None


def _read_document(path: Path) -> Contents:
    try:
        data = read_regular(path, MAXIMUM_BYTES + 1)
    except OSError as error:
        raise InputError(
            "the file cannot be read", where=str(path), wanted="a lock or a bundle.json", got=error.strerror
        ) from None
    if _is_index(data):
        return Contents.of_index(BundleIndex.from_bytes(data, where=str(path)))
    return Contents.of_lock(Lock.from_bytes(data, where=str(path)))


def _is_index(data: bytes) -> bool:
    """Only an index has totals; what is too large or no JSON is for the index's reader to refuse."""
    if len(data) > MAXIMUM_BYTES:
        return True
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "totals" in document
