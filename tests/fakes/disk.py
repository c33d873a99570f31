"""A second disk of a fake node: what lsblk, wipefs and blkid say of it follows from what mkfs and mount did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from installer.datadisk import LABEL
from installer.node import CommandResult
from installer.render import fstab as render
from tests.fakes.node import FakeNode

DEVICE, ROOT, UUID = "/dev/vdb1", "/var/lib/containerd", "bd007551-3220-4ed0-a7de-d935e5e8b147"
BEFORE = "# the site's own\nUUID=1\t/ ext4 defaults 0 1"


@dataclass
class Disk:
    """One block device of a fake node, with the programs that look at it and use it; ``machine``: the node has a fstab
    and a systemd of its own.
    """

    node: FakeNode = field(default_factory=FakeNode)
    marks: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)
    machine: bool = False

    def __post_init__(self) -> None:
        self.node.with_files({"/proc/self/mountinfo": ""})
        if not self.machine:
            self.node.with_files({"/etc/fstab": BEFORE, "/proc/swaps": "Filename\n"})
            self.node.script("systemctl daemon-reload")
        for program in ("lsblk", "wipefs", "blkid", "mkfs.ext4", "mkfs.xfs", "mount", "umount", "findmnt"):
            name = f"_{program.replace('.', '_').removesuffix('_ext4').removesuffix('_xfs')}"
            self.node.script([program], then=lambda _node, _stdin, name=name: self._said(name))  # type: ignore[misc]

    def hold(self, filesystem: str, label: str = "", usage: str = "filesystem") -> None:
        """Puts a file system on it."""
        self.marks = (filesystem,)
        self.tags = {"TYPE": filesystem, "USAGE": usage, "LABEL": label, "UUID": UUID}

    def mount_at(self, folder: str) -> None:
        """Mounts it."""
        self.node.with_files({"/proc/self/mountinfo": f"30 1 254:17 / {folder} rw - ext4 {DEVICE} rw\n"})

    @property
    def fstab(self) -> str:
        """What is in fstab."""
        return self.node.read_text("/etc/fstab") or ""

    def _said(self, name: str) -> CommandResult:
        words = self.node.ran[-1]
        said = getattr(self, name)(words)
        return said if isinstance(said, CommandResult) else CommandResult(words, 0, said, "")

    def _lsblk(self, words: tuple[str, ...]) -> str | CommandResult:
        if words[-1] != DEVICE:
            return CommandResult(words, 32, '{"blockdevices": []}', "not a block device")
        row = {"name": DEVICE, "maj:min": "254:17", "type": "part", "size": 20 * 10**9, "ro": False}
        return json.dumps({"blockdevices": [row | self.row]})

    def _wipefs(self, _words: tuple[str, ...]) -> str:
        return "# offset,uuid,label,type\n" + "".join(f"0x438,{UUID},x,{mark}\n" for mark in self.marks)

    def _blkid(self, words: tuple[str, ...]) -> str | CommandResult:
        if not self.tags:
            return CommandResult(words, 2, "", "")
        return "".join(f"{key}={value}\n" for key, value in self.tags.items())

    def _mkfs(self, words: tuple[str, ...]) -> str:
        assert not self.marks, "something is on it"
        assert words[1:] == ("-q", "-L", LABEL, DEVICE)
        self.hold(words[0].removeprefix("mkfs."), LABEL)
        return ""

    def _mount(self, words: tuple[str, ...]) -> str:
        assert words == ("mount", "-a", "-O", render.MARK)
        line = render.ours(self.fstab)
        if line is not None and line.split()[0] == f"UUID={UUID}":
            self.mount_at(line.split()[1])
        return ""

    def _umount(self, words: tuple[str, ...]) -> str:
        assert words == ("umount", ROOT)
        self.node.with_files({"/proc/self/mountinfo": ""})
        return ""

    def _findmnt(self, words: tuple[str, ...]) -> CommandResult:
        mounted = f" {words[-1]} " in (self.node.read_text("/proc/self/mountinfo") or "")
        return CommandResult(words, 0 if mounted else 1, "", "")

    def changed(self) -> list[str]:
        """The programs that changed something, in order."""
        return [words[0] for words in self.node.ran if words[0] not in ("lsblk", "wipefs", "blkid", "findmnt")]
