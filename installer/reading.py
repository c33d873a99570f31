"""Reading the medium: what this node needs of it, proven before anything is changed, and once where reading is slow.

A fast medium is read twice, once to prove it and once to use it, and takes no room on the node. What a slow one gives
is spooled on the node while it is proven, as far as there is room beyond what the install itself needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from installer.bundle.digest import Digest
from installer.bundle.index import BundleIndex
from installer.bundle.platform import Platform
from installer.bundle.reader import Bundle
from installer.bundle.spool import Spool
from installer.bundle.verify import bytes_to_read, verify
from installer.config import ClusterConfig
from installer.node import Node
from installer.nodeimages import node_images
from installer.preflight.disk import disk_of, needed_bytes
from installer.preflight.subject import Subject
from installer.wording import size

SPOOL_FOLDER = "/var/lib/airgap-bundle"
LEFT_FREE_BYTES = 256 * 1024 * 1024
"""What spooling leaves free of a file system, beyond what the install needs there."""
_MOSTLY = 0.05
"""A medium that is slow for less than this share of its bytes is a fast one."""


class Watching(Protocol):
    """Who is told of the reading: see :class:`~installer.install.Report`."""

    def verifying(self, total_bytes: int) -> Callable[[int], None]:
        """The medium is about to be read."""

    def verified(self, bundle: Bundle, reading: Reading) -> None:
        """What was read is whole."""


@dataclass(frozen=True)
class Reading:
    """``read_bytes`` of the medium are needed; they took ``seconds`` to read and prove (``None``: not read yet).

    ``medium_seconds`` is the part of that time the medium was waited for. ``slow_bytes`` came slowly; of these
    ``spooled_bytes`` are kept on the file system at ``mount``, or would be by an install. ``unexpected`` are files on
    the medium that nothing proves.
    """

    read_bytes: int
    seconds: float | None = None
    medium_seconds: float = 0.0
    slow_bytes: int = 0
    spooled_bytes: int = 0
    mount: str = ""
    unexpected: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether the medium was read."""
        return self.seconds is not None

    @property
    def again(self) -> float:
        """The share of the bytes that is going to be read from the medium once more."""
        return 1 - self.spooled_bytes / max(self.read_bytes, 1)

    def words(self) -> str:
        """What an operator is told about it."""
        rate = f"{size(int(self.read_bytes / max(self.medium_seconds, 1e-6)))}/s"
        if self.slow_bytes <= _MOSTLY * self.read_bytes:
            return f"{size(self.read_bytes)} at {rate}: read twice, nothing spooled"
        if self.spooled_bytes >= self.slow_bytes:
            return f"{size(self.read_bytes)} at {rate}: read once, {size(self.spooled_bytes)} spooled on {self.mount}"
        missing = f"no room on {self.mount} to spool {size(self.slow_bytes - self.spooled_bytes)}"
        return f"{size(self.read_bytes)} at {rate}: read twice, {missing}"


def needed_blobs(index: BundleIndex, role: str, platform: Platform, config: ClusterConfig) -> frozenset[Digest]:
    """The blobs that a node of ``role`` is given in a cluster with ``config``."""
    needed = {item.blob for item in index.files_for(role, platform)}
    for image in node_images(index, role, config):
        if platform in image.platforms:
            its = image.platforms[platform]
            named = {image.blob, *its.indexes} - {its.manifest}
            held = set(index.held(image, (platform,)))
            needed |= held - named if index.layers else held  # a dense bundle's images get here by manifests alone
    if role == "cp":
        needed |= {addon.chart for addon in index.addons}
    return frozenset(needed)


def needed_by(subject: Subject) -> frozenset[Digest]:
    """The same for the node that was judged; nothing for a machine no bundle is for."""
    platform = subject.facts.platform
    return needed_blobs(subject.index, subject.role, platform, subject.config) if platform else frozenset()


def bytes_needed(bundle: Bundle, subject: Subject) -> int:
    """How many bytes of the medium ``subject`` needs."""
    return bytes_to_read(bundle, needed_by(subject))


def read_for(bundle: Bundle, subject: Subject, watching: Watching, node: Node | None) -> Reading:
    """Reads and proves what ``subject`` needs; :class:`IntegrityError` names the first damage.

    Spools on ``node``; without one, as in a dry run, it only counts what an install would spool.
    """
    folder, mount, room_bytes = _room(subject)
    spool = Spool(room_bytes, (lambda: node.unnamed_file(folder)) if node is not None else None)
    return _read(bundle, needed_by(subject), watching, spool, mount)


def read_without_spool(bundle: Bundle, needed: Collection[Digest], watching: Watching) -> Reading:
    """Reads and proves the blobs in ``needed``; :class:`IntegrityError` names the first damage."""
    return _read(bundle, needed, watching, Spool(0), "")


def _read(bundle: Bundle, needed: Collection[Digest], watching: Watching, spool: Spool, mount: str) -> Reading:
    began = time.monotonic()
    bundle.read_through(spool, needed)
    progress = watching.verifying(bytes_to_read(bundle, needed))
    verified = verify(bundle, needed=needed, progress=progress)
    spool.filled()
    seconds = time.monotonic() - began
    read_bytes, slow_bytes, spooled_bytes = verified.read_bytes, spool.slow_bytes, spool.kept_bytes
    reading = Reading(read_bytes, seconds, spool.medium_seconds, slow_bytes, spooled_bytes, mount, verified.unexpected)
    watching.verified(bundle, reading)
    return reading


def _room(subject: Subject) -> tuple[str, str, int]:
    """The folder to spool in, the mount point it is on, and how many bytes there are not needed for the install."""
    needs = needed_bytes(subject)
    places = []
    for folder in (subject.config.containerd_root, SPOOL_FOLDER):
        disk = disk_of(subject.facts.disks, folder)
        places.append((disk.free_bytes - needs.get(disk.file_system, 0) - LEFT_FREE_BYTES, folder, disk.mount))
    room_bytes, folder, mount = max(places)
    return folder, mount, max(room_bytes, 0)
