"""A real media set on disk made from the small bundle in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from installer.bundle.digest import Digest, HashingReader
from installer.bundle.pack import write_tarball
from installer.bundle.sums import signature_name, signature_names
from tests.fakes.small_bundle import SmallBundle, small_bundle

if TYPE_CHECKING:
    from bundler.signkey import SigningKey

INSTALL = b"#!/bin/sh\n"


class _Blobs:
    def __init__(self, bundle: SmallBundle) -> None:
        self._bundle = bundle

    @contextmanager
    def open(self, digest: Digest) -> Iterator[HashingReader]:
        """The blob for reading."""
        data = self._bundle.blobs[digest]
        yield HashingReader(io.BytesIO(data), digest, len(data), str(digest))


def lab_key(number: int = 1) -> SigningKey:
    """A signing key that is the same every time."""
    # Imported here: whoever wants media and no keys is spared the 20 MB of a library for them.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bundler.signkey import SigningKey

    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32), Path("lab-key"))


def sign(folder: Path, *keys: SigningKey) -> Path:
    """Signs a media set with each of ``keys`` in place of what signatures it had; returns it."""
    for name in signature_names(folder):
        (folder / name).unlink()
    for number, key in enumerate(keys, start=1):
        (folder / signature_name(number)).write_bytes(key.signature_of((folder / "SHA256SUMS").read_bytes()))
    return folder


def media_set(folder: Path, bundle: SmallBundle | None = None) -> Path:
    """Writes a media set (install, tarball, sums) into ``folder``, signs it with the lab's key and returns it."""
    bundle = bundle or small_bundle()
    folder.mkdir(parents=True)
    name = f"{bundle.index.name}.tar.zst"
    with (folder / name).open("w+b") as out:
        write_tarball(bundle.index, _Blobs(bundle), out, jobs=1)
    (folder / "install").write_bytes(INSTALL)
    (folder / "bundle.json").write_bytes(bundle.index.to_bytes())
    sums = {path: Digest.of((folder / path).read_bytes()).hex for path in ("install", "bundle.json", name)}
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items())))
    return sign(folder, lab_key())
