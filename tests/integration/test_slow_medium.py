"""A slow medium for real: a throttled block device, read once where there is room to spool, and else twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.assemble import assemble
from bundler.measure import UnpackedSizes
from installer.bundle.reader import Bundle, open_media_set
from installer.bundle.verify import Portion
from installer.config import ClusterConfig
from installer.localnode import LocalNode
from installer.node import DiskSpace
from installer.preflight.disk import needed_bytes
from installer.preflight.subject import Subject
from installer.reading import LEFT_FREE_BYTES, Reading, needed_by, read_for
from tests.fakes.images import AMD64, ARM64, small_parts
from tests.lab.errors import LabError
from tests.lab.slowmedium import SlowMedium, forget, slow_medium
from tests.unit.test_preflight import subject

LAYER_BYTES = 16_000_000
USB_2, DVD = 30_000_000, 20_000_000


class Quiet:
    """Hears of the reading."""

    def verifying(self, _total_bytes: int) -> Callable[[int], None]:
        """See :class:`~installer.reading.Watching`."""
        return lambda _read: None

    def verified(self, _bundle: Bundle, _reading: Reading) -> None:
        """See :class:`~installer.reading.Watching`."""


@pytest.fixture(params=["registry", "dense"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A media set for two platforms whose layers cannot shrink."""
    parts = small_parts(large_bytes=LAYER_BYTES, platforms=(AMD64, ARM64))
    lock = replace(parts.lock((AMD64, ARM64)), layers=request.param)
    sizes = UnpackedSizes(tmp_path / "sizes")
    return assemble(lock, parts.store, b"#!/bin/sh\n", tmp_path / "dist", sizes=sizes, jobs=2).folder


@pytest.fixture(params=[USB_2, DVD], ids=["usb 2", "dvd"])
def medium(request: pytest.FixtureRequest, content: Path, tmp_path: Path) -> Iterator[SlowMedium]:
    try:
        with slow_medium(content, tmp_path / "lab", request.param) as mounted:
            yield mounted
    except LabError as error:
        if error.wanted is None:
            raise
        pytest.skip(str(error))


def judged(bundle: Bundle, folder: Path, room_bytes: int) -> Subject:
    """A control plane whose containerd lies in ``folder``, with so much room to spool."""
    config = ClusterConfig(containerd_root=str(folder))
    found = replace(subject(config=config), index=bundle.index)
    disks = dict.fromkeys(found.facts.disks, DiskSpace("/", 10**12, 0, 10**6))
    found = replace(found, facts=replace(found.facts, disks=disks))
    free_bytes = sum(needed_bytes(found).values()) + LEFT_FREE_BYTES + room_bytes
    disks = dict.fromkeys(disks, DiskSpace("/", 10**12, free_bytes, 10**6))
    return replace(found, facts=replace(found.facts, disks=disks))


def install(bundle: Bundle, found: Subject) -> Reading:
    """Reads and proves, forgets what the kernel has kept, and takes everything."""
    reading = read_for(bundle, found, Quiet(), LocalNode())
    forget(bundle.path)
    for item in bundle.index.files_for("cp", AMD64):
        assert sum(map(len, bundle.chunks(item.blob)))
    assert sum(map(len, bundle.oci_tar(bundle.index.images_for("cp"), (AMD64,)))) > LAYER_BYTES
    return reading


@pytest.mark.parametrize(("room_bytes", "times", "says"), [(10**9, 1, "read once"), (0, 2, "read twice, no room on /")])
def test_what_is_needed_is_read_from_the_device_once_if_there_is_room(
    medium: SlowMedium, tmp_path: Path, room_bytes: int, times: int, says: str
) -> None:
    with open_media_set(medium.folder) as bundle, medium.felt():
        found = judged(bundle, tmp_path, room_bytes)
        before_bytes = medium.read_bytes
        reading = install(bundle, found)
        read_bytes = medium.read_bytes - before_bytes
        needed_size = Portion.of(bundle, needed_by(found)).read_bytes(bundle)
    assert reading.read_bytes < bundle.size_bytes * 0.6, "what another platform needs is not read"
    # The kernel reads ahead of what is asked for, a few MB on a medium as small as this one.
    assert times * needed_size * 0.95 < read_bytes < times * needed_size * 1.1 + 5_000_000
    assert says in reading.words()
