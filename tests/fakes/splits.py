"""Small split media sets: blocks of 4 KiB instead of 1 MiB, so that a few hundred kilobytes have many."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bundler.assemble import assemble
from bundler.cutting import Medium
from bundler.measure import UnpackedSizes
from bundler.split import SplitSet, split_media_set
from installer.bundle import layout, seekable
from installer.bundle.parts import HEADER_BYTES, PartSet
from installer.bundle.reader import open_media_set
from installer.bundle.sums import SUMS_NAME, read_sums, sums_text
from installer.bundle.verify import Verified, verify
from tests.fakes.images import AMD64, ARM64, small_parts
from tests.fakes.media import lab_key

BLOCK_BYTES = 4096
INSTALL = b"#!/bin/sh\n# a launcher\n"


def small_blocks(patch: pytest.MonkeyPatch) -> None:
    """Makes blocks, frames and the least part small."""
    for module in ("installer.bundle.parts", "installer.bundle.joined", "installer.bundle.repair", "bundler.split"):
        patch.setattr(f"{module}.BLOCK_BYTES", BLOCK_BYTES)
    patch.setattr("bundler.cutting.BLOCK_BYTES", BLOCK_BYTES)
    patch.setattr("bundler.cutting._LEAST_PART_BYTES", 1000)
    patch.setattr("bundler.cutting._FIXED_BYTES", 0)
    patch.setattr("bundler.split._SLICE_BYTES", 1000)
    patch.setattr("installer.bundle.repair._SLICE_BYTES", 1500)
    patch.setattr("installer.bundle.copying._CHUNK_BYTES", BLOCK_BYTES)
    patch.setattr(seekable, "MAXIMUM_SMALL_BYTES", 10_000)
    patch.setattr(layout, "FRAME_BYTES", 8192)
    patch.setattr("installer.bundle.pack.FRAME_BYTES", 8192)
    patch.setattr(layout, "LONG_FRAME_BYTES", 5 * 8192)


def whole_set(root: Path, layers: str = "registry") -> Path:
    """A media set for two platforms, not split; its folder."""
    made = small_parts(large_bytes=90_000, platforms=(AMD64, ARM64))
    lock = replace(made.lock((AMD64, ARM64)), layers=layers)
    folder = assemble(lock, made.store, INSTALL, root, sizes=UnpackedSizes(root / "sizes"), jobs=1).folder
    kept = {name: digest for name, digest in read_sums(folder).items() if not name.startswith("sbom.")}
    for path in folder.glob("sbom.*"):  # larger than these discs; a media set may have them or not
        path.unlink()
    (folder / SUMS_NAME).write_text(sums_text(kept))
    return folder


def split(source: Path, out: Path, disc_bytes: int | None, percent: int) -> SplitSet:
    """Splits ``source`` into ``out``, and signs it."""
    return split_media_set(
        source, out, Medium("a test", disc_bytes), percent, key=lab_key(), progress=lambda _total: lambda _read: None
    )


@dataclass(frozen=True)
class Discs:
    """The discs of a set, to be harmed."""

    cut: PartSet
    folders: tuple[Path, ...]

    @classmethod
    def copied(cls, made: SplitSet, to: Path) -> Discs:
        """The discs, each copied to a folder that nothing is beside."""
        folders = []
        for number, (folder, _) in enumerate(made.discs, start=1):
            mounted = to / f"drive{number}" / "disc"
            shutil.copytree(folder, mounted)
            folders.append(mounted)
        return cls(made.cut, tuple(folders))

    def path(self, number: int) -> Path:
        """A part's file."""
        return self.folders[self.cut.disc_of(number) - 1] / self.cut.file_name(number)

    def flip(self, number: int, at_bytes: int) -> None:
        """Flips a bit behind the header."""
        with self.path(number).open("r+b") as stream:
            stream.seek(HEADER_BYTES + at_bytes)
            (was,) = stream.read(1)
            stream.seek(HEADER_BYTES + at_bytes)
            stream.write(bytes([was ^ 4]))

    def verified(self) -> Verified:
        """Verifies all of it, with every disc named."""
        with open_media_set(self.folders[0], self.folders[1:]) as bundle:
            return verify(bundle)

    def contents(self) -> dict[Path, bytes]:
        """Every file of every disc."""
        return {path: path.read_bytes() for folder in self.folders for path in folder.iterdir()}
