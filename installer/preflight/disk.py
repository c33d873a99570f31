"""Checks of disk space: what the bundle's contents need, added up per file system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.imagesizes import plain_sizes, stored_sizes
from installer.bundle.platform import Platform
from installer.check import Finding, check, ok, problem, warn
from installer.config import ClusterConfig
from installer.node import DiskSpace
from installer.nodeimages import node_images
from installer.preflight.subject import Subject

ETCD_BYTES = 512_000_000
"""What etcd takes on an empty cluster: its write-ahead log is allocated in 64 MB pieces, and one snapshot."""
KUBELET_BYTES = 100_000_000
_MEGA = 1_000_000
_USABLE = 0.95
"""What a file system leaves of its device."""


@check("disk", reads="free bytes of each mount, the bundle's unpacked sizes")
def space(subject: Subject) -> Iterator[Finding]:
    """What the bundle unpacks to, and what etcd and the kubelet write, must fit: the bytes are known beforehand, and
    added up for every mount.

    A disk that fills up half-way leaves a node that neither works nor goes back.
    """
    if subject.again:
        yield ok("disk", "already installed")
        return
    needs = needed_bytes(subject)
    for mount in sorted(needs):
        disk = next(disk for disk in subject.facts.disks.values() if disk.mount == mount)
        yield _judge(disk, needs[mount], subject.config)


def _judge(disk: DiskSpace, need_bytes: int, config: ClusterConfig) -> Finding:
    name = f"disk {disk.mount}"
    seen = f"{need_bytes / _MEGA:.1f} MB needed, {disk.free_bytes / _MEGA:.1f} MB free"
    if disk.free_bytes < need_bytes:
        larger = f"put {config.containerd_root} on a larger disk (containerd.root in cluster.yaml)"
        fix = f"free space on {disk.mount}, or {larger}"
        return problem(name, seen, "the install would fill it", fix)
    left = (disk.free_bytes - need_bytes) / max(disk.total_bytes, 1)
    least = 1 - config.kubelet.image_gc_high_percent / 100
    if left < least:
        why = f"{left:.0%} would be left; below {least:.0%} the kubelet starts to remove images"
        return warn(name, seen, why)
    return ok(name, seen)


def needed_bytes(subject: Subject) -> dict[str, int]:
    """The bytes each file system needs, by mount point."""
    needs: dict[str, int] = defaultdict(int)
    for folder, size_bytes in folder_needs(subject).items():
        if folder == subject.config.containerd_root and _comes_on_a_disk(subject):
            continue
        needs[disk_of(subject.facts.disks, folder).mount] += size_bytes
    return dict(needs)


def folder_needs(subject: Subject) -> dict[str, int]:
    """The bytes an install on an empty node writes below each folder."""
    platform = subject.facts.platform
    needs: dict[str, int] = defaultdict(int)
    if platform is None:
        return needs
    blobs = subject.index.descriptors()
    for item in subject.index.files_for(subject.role, platform):
        target = item.placement.target or min(item.placement.members.values())
        needs[target.rpartition("/")[0]] += unpacked_bytes(blobs[item.blob])
    needs[subject.config.containerd_root] += image_bytes(subject, platform)
    needs["/var/lib/kubelet"] += KUBELET_BYTES
    if subject.role == "cp":
        needs["/var/lib/etcd"] += ETCD_BYTES
    return dict(needs)


def image_bytes(subject: Subject, platform: Platform) -> int:
    """What the images take under containerd's root, which keeps a layer twice: as it came, and unpacked."""
    stored: dict[Digest, int] = {}
    plain: dict[Digest, int] = {}
    for image in node_images(subject.index, subject.role, subject.config):
        if platform in image.platforms:
            stored |= stored_sizes(subject.index, image, platform)
            plain |= plain_sizes(subject.index, image, platform)
    return sum(stored.values()) + sum(plain.values())


def unpacked_bytes(blob: Descriptor) -> int:
    """A blob's size once unpacked; its own where it is no archive."""
    return blob.unpacked_size_bytes if blob.unpacked_size_bytes is not None else blob.size_bytes


def _comes_on_a_disk(subject: Subject) -> bool:
    """Whether containerd's folder is going to be on a data disk that is not mounted yet."""
    return subject.facts.data_disk is not None and not subject.facts.data_disk.is_mounted


@check("data-disk", reads="blkid, lsblk and wipefs of the named disk", firm=True)
def data_disk(subject: Subject) -> Iterator[Finding]:
    """A disk named for the images must be empty or from an earlier install, large enough, and there must be the
    programs that format it: nothing else is ever overwritten.
    """
    wanted, state = subject.config.data_disk, subject.facts.data_disk
    if wanted is None or state is None:
        return
    if state.refusal is not None or state.device is None:
        seen, why, fix = state.refusal or (wanted.device, "it is gone", "look with lsblk")
        yield problem("data-disk", seen, why, fix)
        return
    device, name = state.device, f"{state.device.path}, {state.device.size_bytes / _MEGA:.1f} MB"
    missing = [tool for tool in _disk_tools(wanted.filesystem) if subject.facts.tools.get(tool) is None]
    if missing:
        fix = "install the distribution's packages with them"
        yield problem("data-disk", f"missing {', '.join(missing)}", "the disk is prepared with them", fix)
        return
    platform = subject.facts.platform
    need_bytes = image_bytes(subject, platform) if platform is not None else 0
    if device.size_bytes * _USABLE < need_bytes:
        why = f"the images alone need {need_bytes / _MEGA:.1f} MB"
        yield problem("data-disk", name, why, "a larger device")
        return
    use = "ours from an earlier install, used again" if device.is_ours else f"empty, becomes {wanted.filesystem}"
    yield ok("data-disk", f"{name}: {use}")


def _disk_tools(filesystem: str) -> tuple[str, ...]:
    return ("blkid", "findmnt", "lsblk", f"mkfs.{filesystem}", "mount", "umount", "wipefs")


def disk_of(disks: dict[str, DiskSpace], path: str) -> DiskSpace:
    """The file system ``path`` is on: that of the nearest folder that was asked about."""
    above = [known for known in disks if path == known or path.startswith(known.rstrip("/") + "/")]
    return disks[max(above, key=len)]


CHECKS = (space, data_disk)
