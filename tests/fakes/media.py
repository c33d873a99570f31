"""A real media set on disk made from the small bundle in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installer.bundle.digest import Digest, HashingReader
from installer.bundle.pack import write_tarball
from tests.fakes.small_bundle import SmallBundle, small_bundle

INSTALL = b"#!/bin/sh\n"


class _Blobs:
    def __init__(self, bundle: SmallBundle) -> None:
        self._bundle = bundle

    @contextmanager
    def open(self, digest: Digest) -> Iterator[HashingReader]:
        """The blob for reading."""
        data = self._bundle.blobs[digest]
        yield HashingReader(io.BytesIO(data), digest, len(data), str(digest))


def media_set(folder: Path, bundle: SmallBundle | None = None) -> Path:
    """Writes a media set (install, tarball, sums) into ``folder`` and returns it."""
    bundle = bundle or small_bundle()
    folder.mkdir(parents=True)
    name = f"{bundle.index.name}.tar.zst"
    with (folder / name).open("w+b") as out:
        write_tarball(bundle.index, _Blobs(bundle), out, jobs=1)
    (folder / "install").write_bytes(INSTALL)
    (folder / "bundle.json").write_bytes(bundle.index.to_bytes())
    sums = {path: Digest.of((folder / path).read_bytes()).hex for path in ("install", "bundle.json", name)}
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items())))
    return folder
