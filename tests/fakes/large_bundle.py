"""A bundle of any size whose bytes are made as they are read: a few unique ones at the end of each layer's zeros.

``python -m tests.fakes.large_bundle build|verify|plan FOLDER IMAGES LAYER_BYTES`` does that one thing and prints, as
JSON, how large it is and the most memory that the process had.
"""

from __future__ import annotations

import hashlib
import io
import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest, HashingReader
from installer.bundle.index import BundledImage, PlatformImage
from installer.bundle.pack import write_tarball
from installer.bundle.reader import open_media_set
from installer.bundle.reference import Reference
from installer.bundle.sums import sums_text
from installer.bundle.verify import verify
from installer.execute import look
from installer.forecast import forecast
from installer.plan import build_plan
from installer.reading import Reading, needed_blobs
from tests.fakes.machine import Machine
from tests.fakes.media import INSTALL
from tests.fakes.small_bundle import PLATFORM, SmallBundle, small_bundle, source
from tests.unit.test_plan import ADDRESS, CONFIG, facts

LAYERS = 4
"""Of each image."""
_SUFFIX_BYTES = 64
_ZEROS = memoryview(bytes(4 * 1024 * 1024))


class LargeBlobs:
    """The blobs of ``bundle``, and those that are zeros with a number at the end."""

    def __init__(self, bundle: SmallBundle, layer_bytes: int) -> None:
        self.index = bundle.index
        self._small = dict(bundle.blobs)
        self._suffixes: dict[Digest, bytes] = {}
        self._layer_bytes = layer_bytes
        self._zeros = hashlib.sha256()
        for offset in range(0, layer_bytes - _SUFFIX_BYTES, len(_ZEROS)):
            self._zeros.update(_ZEROS[: layer_bytes - _SUFFIX_BYTES - offset])

    def add_image(self, number: int) -> tuple[BundledImage, list[Descriptor]]:
        """One more image, with its blobs."""
        layers = [self._layer(number * LAYERS + layer) for layer in range(LAYERS)]
        config = self._document({"os": "linux", "number": number}, mediatypes.OCI_CONFIG)
        manifest = self._document({"config": str(config.digest), "number": number}, mediatypes.OCI_MANIFEST)
        reference = f"registry.example/site/image-{number:04d}:v1"
        held = PlatformImage(manifest.digest, config.digest, tuple(layer.digest for layer in layers))
        name, roles = Reference.parse(reference), ("cp", "worker")
        image = BundledImage(name, manifest.digest, "site", roles, {PLATFORM: held}, source(reference))
        return image, [manifest, config, *layers]

    def _document(self, content: dict[str, object], media_type: str) -> Descriptor:
        data = json.dumps(content).encode()
        self._small[Digest.of(data)] = data
        return Descriptor(Digest.of(data), len(data), media_type)

    def _layer(self, number: int) -> Descriptor:
        suffix = f"{number:0{_SUFFIX_BYTES}d}".encode()
        digest = self._zeros.copy()
        digest.update(suffix)
        found = Digest.from_hex(digest.hexdigest())
        self._suffixes[found] = suffix
        return Descriptor(found, self._layer_bytes, mediatypes.OCI_LAYER)

    @contextmanager
    def open(self, digest: Digest) -> Iterator[HashingReader]:
        """The blob for reading."""
        if digest in self._small:
            data = self._small[digest]
            yield HashingReader(io.BytesIO(data), digest, len(data), str(digest))
        else:
            stream = cast("BinaryIO", _Zeros(self._layer_bytes - _SUFFIX_BYTES, self._suffixes[digest]))
            yield HashingReader(stream, digest, self._layer_bytes, str(digest))


class _Zeros:
    def __init__(self, zeros_bytes: int, suffix: bytes) -> None:
        self._left_bytes = zeros_bytes
        self._suffix = io.BytesIO(suffix)

    def read(self, size: int = -1) -> bytes:
        if not self._left_bytes:
            return self._suffix.read(size)
        length_bytes = min(self._left_bytes, len(_ZEROS), size if size >= 0 else len(_ZEROS))
        self._left_bytes -= length_bytes
        return bytes(_ZEROS[:length_bytes])


def build(folder: Path, images: int, layer_bytes: int) -> int:
    """Writes the media set; the bytes of its blobs."""
    blobs = LargeBlobs(small_bundle(), layer_bytes)
    made = [blobs.add_image(number) for number in range(images)]
    more = tuple(blob for _, found in made for blob in found)
    index = blobs.index
    index = replace(index, images=(*index.images, *(image for image, _ in made)), blobs=(*index.blobs, *more))
    folder.mkdir(parents=True)
    name = f"{index.name}.tar.zst"
    with (folder / name).open("w+b") as out:
        digest = write_tarball(index, blobs, out, jobs=2).digest
    (folder / "install").write_bytes(INSTALL)
    (folder / "bundle.json").write_bytes(index.to_bytes())
    sums = {name: digest, "install": Digest.of(INSTALL), "bundle.json": Digest.of(index.to_bytes())}
    (folder / "SHA256SUMS").write_text(sums_text(sums))
    return sum(blob.size_bytes for blob in index.blobs)


def plan(folder: Path) -> int:
    """What a control plane would do with it, on a fresh machine; the number of images it would import."""
    with open_media_set(folder) as bundle:
        assert needed_blobs(bundle.index, "cp", PLATFORM, CONFIG)
        steps = look(build_plan(bundle, "cp", CONFIG, facts(), address=ADDRESS), Machine().node)
        assert forecast(bundle.index, PLATFORM, steps, bundle.size_bytes, Reading(bundle.size_bytes))
        return sum(len(item.check.changes) for item in steps if item.step.id == "images/import")


def main(verb: str, folder: Path, images: int, layer_bytes: int) -> None:
    """Does one thing and prints what it took."""
    if verb == "build":
        figure = build(folder, images, layer_bytes)
    elif verb == "verify":
        with open_media_set(folder) as bundle:
            figure = verify(bundle, jobs=2).members
    else:
        figure = plan(folder)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"figure": figure, "peak_bytes": peak_bytes}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
