"""Checks of disk space: what the bundle's contents need, added up per file system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from installer.bundle.descriptor import Descriptor
from installer.bundle.imagesizes import kept_bytes
from installer.bundle.index import BundledFile, BundledImage
from installer.bundle.placement import ROOTS
from installer.bundle.platform import Platform
from installer.check import Finding, check, ok, problem, warn
from installer.installed import STATE_FOLDER
from installer.node import DiskSpace
from installer.nodeimages import node_images
from installer.preflight.subject import Subject

ETCD_BYTES = 512_000_000
"""What etcd takes on an empty cluster: its write-ahead log is allocated in 64 MB pieces, and one snapshot."""
KUBELET_BYTES = 100_000_000
SETTINGS_BYTES = 2_000_000
"""Configuration, units and certificates in /etc."""
RECORDS_BYTES = 5_000_000
"""The journal, without the files that are replaced, and the records beside it."""
_ETCD, _KUBELET, _RUNTIME = "/var/lib/etcd", "/var/lib/kubelet", "/opt/airgap-bundle"
WRITTEN = ("/etc", _RUNTIME, *ROOTS, _KUBELET, _ETCD, STATE_FOLDER)
"""What every install writes below, besides containerd's root."""
_MEGA = 1_000_000
_USABLE = 0.95
"""What a file system leaves of its device."""


@check("disk", reads="free bytes of each mount, the bundle's unpacked sizes")
def space(subject: Subject) -> Iterator[Finding]:
    """What the bundle unpacks to, and what etcd and the kubelet write, must fit: the bytes are known beforehand, and
    added up for every mount. Once an install was begun here, what is left to do is asked for later.

    A disk that fills up half-way leaves a node that neither works nor goes back.
    """
    if subject.again:
        yield ok("disk", "already installed")
    else:
        yield from _judged(subject, folder_needs(subject))


def room_left(subject: Subject, files: Iterable[BundledFile], images: Iterable[BundledImage]) -> tuple[Finding, ...]:
    """The same once it is known which files are still to be placed, and which images to be imported."""
    needs = folder_needs(subject, files, images)
    if subject.facts.kubernetes.in_cluster:  # what etcd and the kubelet keep is there
        needs = {folder: size_bytes for folder, size_bytes in needs.items() if folder not in (_ETCD, _KUBELET)}
    return tuple(_judged(subject, needs))


@check("disk-writable", reads="how the folders that are written to are mounted")
def writable(subject: Subject) -> Finding:
    """Every file system that the install writes to must be mounted for writing.

    One that is not would stop it half-way.
    """
    places = {disk_of(subject.facts.disks, folder): folder for folder in reversed(_written(subject))}
    closed = [f"{folder} (on {disk.mount})" for disk, folder in sorted(places.items(), key=str) if disk.read_only]
    if closed:
        why = "the install writes there"
        return problem("disk-writable", f"mounted read-only: {', '.join(closed)}", why, "mount it for writing")
    return ok("disk-writable", "every file system that is written to")


def _written(subject: Subject) -> tuple[str, ...]:
    folders = [folder for folder in WRITTEN if folder != _ETCD or subject.role == "cp"]
    return (*folders, *(() if _comes_on_a_disk(subject) else (subject.config.containerd_root,)))


def _judged(subject: Subject, needs: dict[str, int]) -> Iterator[Finding]:
    """One finding per file system that gets something."""
    there = _by_file_system(subject, needs)
    for folders in sorted(there.values(), key=lambda folders: _mount(subject, folders)):
        yield _judge(subject, {folder: needs[folder] for folder in folders})


def _judge(subject: Subject, needs: dict[str, int]) -> Finding:
    """``needs`` by folder, all on one file system: together they have what is free, each what its folder may have."""
    config, disks = subject.config, {folder: disk_of(subject.facts.disks, folder) for folder in needs}
    mount = _mount(subject, needs)
    most = max(disks.values(), key=lambda disk: disk.free_bytes)
    need_bytes, free_bytes = sum(needs.values()), most.free_bytes
    for folder, disk in disks.items():  # a quota for one folder
        if needs[folder] > disk.free_bytes and need_bytes <= free_bytes:
            mount, need_bytes, free_bytes = folder, needs[folder], disk.free_bytes
    name = f"disk {mount}"
    seen = f"{need_bytes / _MEGA:.1f} MB needed, {free_bytes / _MEGA:.1f} MB free"
    if free_bytes < need_bytes:
        larger = f", or put {config.containerd_root} on a larger disk (containerd.root in cluster.yaml)"
        fix = f"free space on {mount}{larger if config.containerd_root in needs else ''}"
        return problem(name, seen, f"the install would fill it: {_parts(needs)}", fix)
    left = (free_bytes - need_bytes) / max(most.total_bytes, 1)
    least = 1 - config.kubelet.image_gc_high_percent / 100
    if left < least:
        why = f"{left:.0%} would be left; below {least:.0%} the kubelet starts to remove images"
        return warn(name, seen, why)
    return ok(name, seen)


def _parts(needs: dict[str, int]) -> str:
    largest = sorted(needs.items(), key=lambda need: -need[1])
    return ", ".join(f"{folder} {size_bytes / _MEGA:.1f} MB" for folder, size_bytes in largest)


def _mount(subject: Subject, folders: Iterable[str]) -> str:
    """What the file system of ``folders`` is called: the shortest of the mount points they are below."""
    return min(
        (disk_of(subject.facts.disks, folder).mount for folder in folders), key=lambda mount: (len(mount), mount)
    )


def _by_file_system(subject: Subject, needs: dict[str, int]) -> dict[str, list[str]]:
    """The folders on each file system, however often it is mounted."""
    there: dict[str, list[str]] = defaultdict(list)
    for folder in needs:
        if folder != subject.config.containerd_root or not _comes_on_a_disk(subject):
            there[disk_of(subject.facts.disks, folder).file_system].append(folder)
    return there


def needed_bytes(subject: Subject) -> dict[str, int]:
    """The bytes each file system needs."""
    needs = folder_needs(subject)
    there = _by_file_system(subject, needs)
    return {name: sum(needs[folder] for folder in folders) for name, folders in there.items()}


def folder_needs(
    subject: Subject, files: Iterable[BundledFile] | None = None, images: Iterable[BundledImage] | None = None
) -> dict[str, int]:
    """The bytes an install writes below each folder; all that the node's role needs, or of ``files`` and ``images``."""
    platform = subject.facts.platform
    needs: dict[str, int] = defaultdict(int)
    if platform is None:
        return needs
    blobs = subject.index.descriptors()
    files = tuple(subject.index.files_for(subject.role, platform) if files is None else files)
    for item in files:
        needs[min(item.placement.folders())] += unpacked_bytes(blobs[item.blob])
    if images is None:
        images = node_images(subject.index, subject.role, subject.config)
    needs[subject.config.containerd_root] += kept_bytes(subject.index, images, platform)
    needs[_KUBELET] += KUBELET_BYTES
    if subject.role == "cp":
        needs[_ETCD] += ETCD_BYTES
    needs["/etc"] += SETTINGS_BYTES
    needs[STATE_FOLDER] += RECORDS_BYTES + _replaced_bytes(subject, files)
    needs[_RUNTIME] += subject.runtime_bytes
    return {folder: size_bytes for folder, size_bytes in needs.items() if size_bytes}


def _replaced_bytes(subject: Subject, files: Iterable[BundledFile]) -> int:
    """The size of what ``files`` are going to replace, which the journal keeps."""
    targets = {path.rstrip("/") for item in files for path in item.placement.targets}
    there = subject.facts.placed_bytes
    return sum(there[path] for path in there if path in targets or path.rpartition("/")[0] in targets)


def image_bytes(subject: Subject, platform: Platform) -> int:
    """What the node's images take under containerd's root."""
    return kept_bytes(subject.index, node_images(subject.index, subject.role, subject.config), platform)


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


CHECKS = (space, writable, data_disk)
