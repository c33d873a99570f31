"""The row of a slow medium: what an install takes from it, beside reading it and importing what was read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from installer.bundle.reader import Bundle, open_media_set
from installer.bundle.spool import Spool
from installer.bundle.verify import Portion, verify
from installer.config import ClusterConfig
from installer.reading import needed_blobs
from tests.bench.importing import PLATFORM, ROLE, imported, in_containerd, remnants
from tests.bench.rows import Goal, Row, unmeasured
from tests.bench.site import Site
from tests.integration.containerd_lab import ContainerdLab, LabNode, is_root
from tests.lab.errors import LabError
from tests.lab.progress import say
from tests.lab.slowmedium import SlowMedium, forget, slow_medium

RATES = {"USB 2": 30_000_000, "DVD": 20_000_000}
SLOW = Goal(1.1)


def slow_media(site: Site) -> Iterator[Row]:
    """An install's reading and importing from media of two rates, and of the same bytes in two parts of their own."""
    if not is_root():
        yield unmeasured("install from a slow medium", "containerd and a slow medium need root", goal=SLOW)
        return
    for name, rate in RATES.items():
        what = f"install from {name}, {site.size} GiB"
        try:
            with slow_medium(site.media(), site.folder / "slow", rate) as medium, remnants() as left:
                yield _row(site, what, medium, left)
        except LabError as error:
            yield unmeasured(what, str(error), goal=SLOW)
        (site.folder / "slow" / "medium").rmdir()


def _row(site: Site, what: str, medium: SlowMedium, left: Path) -> Row:
    tarball = next(medium.folder.glob("*.tar.zst"))
    mine, others, read_bytes = [], [], []
    for number in range(1, site.runs + 1):
        forget(tarball)
        with medium.felt():
            reading_seconds = _seconds(lambda: _only_read(medium.folder))
        fast = in_containerd(left, lambda lab, node: _from(site.media(), lab, node, proves=False))
        others.append(reading_seconds + fast.seconds)
        forget(tarball)
        before_bytes = medium.read_bytes
        with medium.felt():
            slow = in_containerd(left, lambda lab, node: _from(medium.folder, lab, node, proves=True))
        mine.append(slow.seconds)
        read_bytes.append((medium.read_bytes - before_bytes) / tarball.stat().st_size)
        say("run", f"{what}, {number} of {site.runs}: {mine[-1]:.2f} s, parts {others[-1]:.2f} s")
    notes = (
        "theirs: reading what the role needs, nothing else; and then our own files and import from a fast medium",
        f"the device was read {median(read_bytes):.2f} x the tarball's size",
    )
    return Row(what, "s", median(mine), median(others), SLOW, notes=notes, runs={"ours": mine, "theirs": others})


def _seconds(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _needed_frames(bundle: Bundle) -> Portion:
    return Portion.of(bundle, needed_blobs(bundle.index, ROLE, PLATFORM, ClusterConfig()))


def _only_read(media: Path) -> None:
    """The bytes that the role needs, as fast as the medium gives them."""
    with open_media_set(media) as bundle, bundle.path.open("rb") as stream:
        for frame in _needed_frames(bundle).frames:
            os.pread(stream.fileno(), frame.compressed_bytes, frame.offset_bytes)


def _from(media: Path, lab: ContainerdLab, node: LabNode, *, proves: bool) -> None:
    """What an install takes from a medium: first proven and spooled, if asked for; then files and images."""
    with open_media_set(media) as bundle:
        if proves:
            needed = needed_blobs(bundle.index, ROLE, PLATFORM, ClusterConfig())
            spool = Spool(1 << 40, lambda: node.unnamed_file(str(lab.folder)))
            bundle.read_through(spool, needed)
            verify(bundle, needed=needed)
            spool.filled()
            forget(bundle.path)
        for item in bundle.index.files_for(ROLE, PLATFORM):
            for _ in bundle.chunks(item.blob):
                pass
        imported(lab, node, bundle)
