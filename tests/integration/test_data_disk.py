"""The data disk for real: a loop device, the machine's own mkfs, mount and findmnt, in a mount namespace of its own.

There ``/etc`` is a copy, ``/var/lib`` and ``/run`` are empty, and systemctl is a stand-in, so nothing of this machine
is touched; what is mounted goes with the namespace.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from installer.datadisk import LABEL
from installer.render import fstab
from tests.lab.builds import ROOT

FOLDER = "/var/lib/containerd"
_SIZE_BYTES = 64 * 1024 * 1024
_TOOLS = ("blkid", "findmnt", "losetup", "lsblk", "mkfs.ext4", "mkswap", "umount", "unshare", "wipefs")
_MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: devices and mounts"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not on this machine: {', '.join(_MISSING)}"),
]
_NAMESPACE = """\
set -e
cp -a /etc "$1/etc"
printf '# the site\\nnone /srv tmpfs noauto 0 0\\n' > "$1/etc/fstab"
mount --bind "$1/etc" /etc
for folder in /run /var/lib /usr/local/sbin; do mount -t tmpfs none $folder; done
printf '#!/bin/sh\\necho "$*" >> /run/systemctl\\n' > /usr/local/sbin/systemctl
chmod +x /usr/local/sbin/systemctl
shift
exec "$@"
"""
_FUNCTIONS = """\
import json, subprocess, sys
from pathlib import Path
from installer.execute import Executor, Phase, Plan
from installer.errors import OperatorError
from installer.localnode import LocalNode
from installer.steps.datadisk import DataDisk, ReleaseDataDisk

node, told = LocalNode(), {}
disk = DataDisk(sys.argv[1], "ext4", "/var/lib/containerd")

def carry_out(step):
    return Executor(node, lambda _event: None).run(Plan((Phase("disk", (step,)),)))[0].outcome

def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

def mounted():
    done = subprocess.run(["findmnt", "-J", "--mountpoint", disk.root], capture_output=True, text=True)
    return json.loads(done.stdout)["filesystems"][0] if done.returncode == 0 else None
"""
_LIFE = """\
told["planned"] = disk.check(node).changes
told["first"] = carry_out(disk)
told["mounted"] = mounted()
told["fstab"] = Path("/etc/fstab").read_text()
told["kept"] = Path("/etc/fstab.before-airgap-bundle").read_text()
told["verified"] = run("findmnt", "--verify")
Path(disk.root, "image").write_text("kept")
told["again"] = carry_out(disk)
run("umount", disk.root)
told["after umount"] = mounted()
run("mount", "-a")
told["after boot"] = mounted()
told["released"] = carry_out(ReleaseDataDisk())
told["fstab released"] = Path("/etc/fstab").read_text()
told["mounted released"] = mounted()
told["taken again"] = carry_out(disk)
told["content"] = Path(disk.root, "image").read_text()
told["reloads"] = Path("/run/systemctl").read_text().split("\\n")[:-1]
print(json.dumps(told))
"""
_REFUSED = """\
if sys.argv[2]:
    run("mkdir", "-p", "/run/theirs")
    run("mount", sys.argv[1], "/run/theirs")
try:
    carry_out(disk)
except OperatorError as error:
    told["got"] = error.got
told["fstab"] = Path("/etc/fstab").read_text()
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Loop:
    """A loop device and the file behind it."""

    device: str
    file: Path

    @property
    def digest(self) -> str:
        """Of everything on it."""
        subprocess.run(["sync", self.device], check=True)
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """An empty device, gone afterwards."""
    file = tmp_path / "disk"
    with file.open("wb") as stream:
        stream.truncate(_SIZE_BYTES)
    made = subprocess.run(["losetup", "-f", "--show", file], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no loop device here: {made.stderr.strip()}")
    device = made.stdout.strip()
    yield Loop(device, file)
    subprocess.run(["losetup", "-d", device], check=True)


def inside(folder: Path, script: str, *arguments: str) -> dict[str, Any]:
    """What ``script`` tells, run in a mount namespace of its own."""
    argv = ["unshare", "--mount", "sh", "-c", _NAMESPACE, "sh", str(folder)]
    argv += [sys.executable, "-c", _FUNCTIONS + script, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_the_life_of_a_data_disk(loop: Loop, tmp_path: Path) -> None:
    machine_fstab = Path("/etc/fstab").read_bytes() if Path("/etc/fstab").exists() else None
    told = inside(tmp_path, _LIFE, loop.device)
    assert told["planned"][0].startswith(f"format {loop.device} as ext4")
    assert (told["first"], told["again"]) == ("changed", "as wanted")
    assert (told["mounted"]["source"], told["mounted"]["fstype"]) == (loop.device, "ext4")
    lines = told["fstab"].splitlines()
    assert lines[:2] == ["# the site", "none /srv tmpfs noauto 0 0"]
    assert len(lines) == 3
    assert fstab.is_ours(lines[2])
    assert lines[2].startswith("UUID=")
    assert told["kept"].splitlines() == lines[:2]
    assert " 0 errors" in told["verified"] or "no errors" in told["verified"] or "Success" in told["verified"]
    assert told["after umount"] is None
    assert told["after boot"] == told["mounted"], "mount -a, as a boot does it"
    assert (told["released"], told["mounted released"]) == ("changed", None)
    assert told["fstab released"].splitlines() == lines[:2]
    assert (told["taken again"], told["content"]) == ("changed", "kept")
    assert told["reloads"] == ["daemon-reload"] * 3
    tags = subprocess.run(["blkid", "-p", "-o", "export", loop.device], capture_output=True, text=True, check=True)
    assert f"LABEL={LABEL}\n" in tags.stdout
    assert machine_fstab == (Path("/etc/fstab").read_bytes() if Path("/etc/fstab").exists() else None)
    assert FOLDER not in Path("/proc/self/mountinfo").read_text()


def _file_system(loop: Loop) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-L", "theirs", loop.device], check=True)


def _swap(loop: Loop) -> None:
    subprocess.run(["mkswap", loop.device], check=True, capture_output=True)


def _partitions(loop: Loop) -> None:
    entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0x83, b"\0\0\0", 2048, 4096)
    Path(loop.device).write_bytes(b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa")


@pytest.mark.parametrize(
    ("holds", "mounted", "named"),
    [
        (_file_system, False, "ext4 'theirs'"),
        (_file_system, True, "the mount at /run/theirs"),
        (_swap, False, "swap"),
        (_partitions, False, "dos"),
    ],
)
def test_what_holds_anything_keeps_every_byte(
    loop: Loop, tmp_path: Path, holds: Callable[[Loop], None], mounted: bool, named: str
) -> None:
    holds(loop)
    before = loop.digest
    told = inside(tmp_path, _REFUSED, loop.device, "mounted" if mounted else "")
    assert f"{loop.device} holds " in told["got"]
    assert named in told["got"]
    assert len(told["fstab"].splitlines()) == 2
    if not mounted:  # mounting alone counts in the superblock
        assert loop.digest == before
