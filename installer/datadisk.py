"""The data disk as it is found: which block device, what it holds, and whether it may be used.

A device may be used in two cases only: nothing at all is on it, or the file system is ours from an earlier run, told by
its label. Everything else is named and left alone. Several witnesses are asked, because each misses something: the
kernel for mounts, swap and what is built on the device, wipefs and blkid for the marks that file systems, partition
tables, LVM, RAID and encryption leave on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from installer.node import NodeView
from installer.render import fstab
from installer.settings import FILESYSTEMS

LABEL = "airgap-data"
"""The label of our file systems; xfs has room for twelve characters."""
_COLUMNS = "NAME,MAJ:MIN,TYPE,SIZE,RO"
_NOT_CONTENT = frozenset({"lost+found"})


@dataclass(frozen=True)
class BlockDevice:
    """One block device. ``signatures`` are the kinds of marks on it; ``parts`` what is built on it (partitions, LVM);
    ``filesystem``, ``label`` and ``uuid`` are empty where there is no file system.
    """

    path: str
    kind: str
    size_bytes: int
    read_only: bool
    readable: bool
    signatures: tuple[str, ...]
    filesystem: str
    label: str
    uuid: str
    parts: tuple[str, ...]
    mounts: tuple[str, ...]
    is_swap: bool

    @property
    def is_ours(self) -> bool:
        """Whether nothing but a file system of an earlier run is on it."""
        return self.label == LABEL and self.filesystem in FILESYSTEMS and set(self.signatures) <= {self.filesystem}

    @property
    def holds(self) -> tuple[str, ...]:
        """Everything that speaks against formatting it, in words; empty for an empty device."""
        found = [] if self.readable else ["what cannot be read"]
        if self.read_only:
            found.append("a write protection")
        if self.parts:
            found.append(", ".join(self.parts))
        named = f" {self.label!r}" if self.label else ""
        found += [kind + (named if kind == self.filesystem else "") for kind in self.signatures]
        found += [f"the mount at {mount}" for mount in self.mounts]
        if self.is_swap:
            found.append("swap in use")
        return tuple(found)


@dataclass(frozen=True)
class DataDiskState:
    """What a data disk at ``root`` would meet: the device (``None``: there is none), what lies in the folder it would
    hide, and a line of fstab that mounts something else there.
    """

    wanted: str
    root: str
    device: BlockDevice | None
    hidden: tuple[str, ...]
    other_line: str | None

    @property
    def is_mounted(self) -> bool:
        """Whether the device is mounted where it is wanted."""
        return self.device is not None and self.root in self.device.mounts

    @property
    def refusal(self) -> tuple[str, str, str] | None:
        """What was seen, why it stops the install, and the fix; ``None`` where the device may be used."""
        device = self.device
        if device is None:
            return f"{self.wanted} is no block device here", "there is nothing to put the images on", "lsblk lists them"
        if self.other_line is not None:
            why = f"fstab mounts something else at {self.root} already"
            return self.other_line, why, "take that line out, or leave the data disk away: that one is used as it is"
        elsewhere = tuple(mount for mount in device.mounts if mount != self.root)
        if device.is_ours and elsewhere and not self.is_mounted:
            return f"{device.path} is mounted at {elsewhere[0]}", "it is used there", f"umount {elsewhere[0]}"
        if not device.is_ours and device.holds:
            why = "a device that holds anything is never formatted"
            fix = f"another device; or if nothing on it is wanted any more: wipefs -a {device.path}"
            return f"{device.path} holds {'; '.join(device.holds)}", why, fix
        if self.hidden and not self.is_mounted:
            seen = f"{self.root} holds {', '.join(self.hidden[:4])}{', …' if len(self.hidden) > 4 else ''}"
            fix = f"sudo airgap-bundle reset, or stop containerd and move {self.root} away"
            return seen, "the disk would be mounted over it and hide it", fix
        return None


def look_at(view: NodeView, wanted: str, root: str) -> DataDiskState:
    """The state of things for the device ``wanted`` at the folder ``root``."""
    device = read_device(view, wanted)
    mounted = device is not None and root in device.mounts
    hidden = () if mounted else tuple(name for name in view.list_dir(root) if name not in _NOT_CONTENT)
    line = fstab.line_at(view.read_text(fstab.PATH) or "", root)
    other = None if line is None or fstab.is_ours(line) else line.strip()
    return DataDiskState(wanted, root, device, hidden, other)


def read_device(view: NodeView, path: str) -> BlockDevice | None:
    """The block device at ``path`` (links followed), or ``None`` where there is none."""
    said = view.query(["lsblk", "-J", "-b", "-p", "-o", _COLUMNS, path])
    try:
        found = json.loads(said.stdout)["blockdevices"][0]
        name, number = str(found["name"]), str(found["maj:min"])
        kind, size_bytes, read_only = str(found["type"]), int(found["size"]), found["ro"] in (True, 1, "1")
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    signatures, readable = _signatures(view, name)
    tags = _tags(view, name)
    if tags.get("TYPE"):
        signatures = tuple(dict.fromkeys((*signatures, tags["TYPE"])))
    if tags.get("PTTYPE"):
        signatures = tuple(dict.fromkeys((*signatures, tags["PTTYPE"])))
    swaps = (line.split()[0] for line in (view.read_text("/proc/swaps") or "").splitlines()[1:] if line.strip())
    return BlockDevice(
        path=name,
        kind=kind,
        size_bytes=size_bytes,
        read_only=read_only,
        readable=readable,
        signatures=signatures,
        filesystem=tags.get("TYPE", "") if tags.get("USAGE") == "filesystem" else "",
        label=tags.get("LABEL", ""),
        uuid=tags.get("UUID", ""),
        parts=tuple(f"{part.get('type', 'part')} {part.get('name')}" for part in found.get("children", ())),
        mounts=_mounts(view, name, number),
        is_swap=name in swaps,
    )


def _signatures(view: NodeView, path: str) -> tuple[tuple[str, ...], bool]:
    """The kinds of marks on a device (``ext4``, ``gpt``, ``LVM2_member``), and whether it could be read."""
    said = view.query(["wipefs", "-n", "-p", path])
    rows = [line.split(",") for line in said.stdout.splitlines() if line and not line.startswith("#")]
    return tuple(dict.fromkeys(row[-1] for row in rows)), said.ok


def _tags(view: NodeView, path: str) -> dict[str, str]:
    said = view.query(["blkid", "-p", "-o", "export", path])
    return dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)


def _mounts(view: NodeView, path: str, number: str) -> tuple[str, ...]:
    """Where a device is mounted, by its number or its name: some file systems show a number of their own."""
    found = []
    for line in (view.read_text("/proc/self/mountinfo") or "").splitlines():
        words = line.split()
        source = words[words.index("-") + 2] if "-" in words[:-2] else ""
        if len(words) > 4 and (words[2] == number or source == path):
            found.append(words[4])
    return tuple(dict.fromkeys(found))
