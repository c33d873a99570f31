"""A media set on the disk, put together as the builder does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bundler.assemble import assemble
from bundler.measure import UnpackedSizes
from tests.fakes.images import Parts


def assembled(parts: Parts, folder: Path, layers: str = "registry") -> Path:
    """The folder of a media set of ``parts``, its layers held as ``layers`` says."""
    lock = replace(parts.lock(), layers=layers)
    sizes = UnpackedSizes(folder / "sizes")
    return assemble(lock, parts.store, b"#!/bin/sh\n", folder / "dist", sizes=sizes, jobs=2).folder
