"""The data disk: an empty device becomes containerd's folder, for good. One that holds anything is never touched."""

from __future__ import annotations

from dataclasses import dataclass

from installer.datadisk import LABEL, BlockDevice, DataDiskState, look_at
from installer.errors import StepError
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import fstab as render
from installer.steps import fstab
from installer.steps.judged import judged
from installer.steps.textfile import is_written

_FORMAT_SECONDS = 1800.0
"""A large disk takes a while, a slow one longer."""
_MOUNT_SECONDS = 300.0
_GIGA = 1_000_000_000
DATA_DISK_STAYS = "the data disk keeps its file system, empty, and is taken again by the next install"


@dataclass(frozen=True)
class DataDisk:
    """``device`` is mounted at ``root``, now and at every boot; formatted first if, and only if, it is empty."""

    device: str
    filesystem: str
    root: str
    id: str = "disk/data"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.root} on {self.device}"

    def check(self, view: NodeView) -> CheckResult:
        """It is mounted there, fstab names it by its UUID, and containerd waits for it."""
        state = look_at(view, self.device, self.root)
        if state.refusal is not None:
            seen, why, _fix = state.refusal
            return CheckResult(False, f"{seen}: {why}")
        assert state.device is not None  # noqa: S101 - refused above
        return judged(self._changes(view, state, state.device), _told(state.device))

    def apply(self, node: Node) -> str:
        """Formats it if it is empty, mounts it by its line in fstab alone."""
        device = self._demand_usable(node)
        if not device.is_ours:
            argv = [f"mkfs.{self.filesystem}", "-q", "-L", LABEL, device.path]
            node.run(argv, timeout_seconds=_FORMAT_SECONDS)
            device = self._demand_usable(node)
        if node.stat(self.root) is None:
            node.make_dir(self.root, mode=0o711)
        node.write_file(render.DROP_IN_PATH, render.drop_in(self.root).encode())
        fstab.rewrite(node, render.with_ours(fstab.read(node), self._line(device)))
        # What a boot does, for our line alone: the site's other lines are not ours to try.
        node.run(["mount", "-a", "-O", render.MARK], timeout_seconds=_MOUNT_SECONDS)
        return _told(device)

    def _changes(self, view: NodeView, state: DataDiskState, device: BlockDevice) -> list[str]:
        if not device.is_ours:
            size = f"{device.size_bytes / _GIGA:.1f} GB"
            changes = [f"format {device.path} as {self.filesystem} ({size}, nothing is on it)"]
        else:
            changes = []
        line = self._line(device) if device.is_ours else None
        if line is None or render.ours(fstab.read(view)) != line:
            changes.append(f"one line for it in {render.PATH} (the old file stays as {fstab.KEPT})")
        if not state.is_mounted:
            changes.append(f"mount it at {self.root}")
        if not is_written(view, render.DROP_IN_PATH, render.drop_in(self.root)):
            changes.append(f"write {render.DROP_IN_PATH}")
        return changes

    def _line(self, device: BlockDevice) -> str:
        return render.line(device.uuid, self.root, device.filesystem)

    def _demand_usable(self, view: NodeView) -> BlockDevice:
        """The device as it is this very moment; :class:`StepError` unless it may be used."""
        state = look_at(view, self.device, self.root)
        if state.refusal is None and state.device is not None:
            return state.device
        seen, why, fix = state.refusal or (self.device, "it is gone", "look with lsblk")
        raise StepError(
            "the data disk cannot be used",
            where=self.device,
            wanted="an empty block device, or the data disk of an earlier install",
            got=f"{seen}: {why}",
            next_step=fix,
        )


@dataclass(frozen=True)
class ReleaseDataDisk:
    """The data disk is not mounted any more, now and at boot. Its file system stays, for the next install."""

    id: str = "reset/data-disk"
    title: str = "the data disk unmounted; its file system stays"

    def check(self, view: NodeView) -> CheckResult:
        """No line of fstab is ours, and so nothing of ours is mounted."""
        line = render.ours(fstab.read(view))
        if line is None:
            return CheckResult(True, "none")
        uuid, folder = line.split()[:2]
        unmount = [f"unmount {folder}"] if _is_mounted(view, folder) else []
        return CheckResult(False, "", (*unmount, f"take the line of {uuid} out of {render.PATH}"))

    def apply(self, node: Node) -> str:
        """Unmounts it and takes our line out."""
        text = fstab.read(node)
        folder = (render.ours(text) or "").split()[1]
        if _is_mounted(node, folder):
            node.run(["umount", folder], timeout_seconds=_MOUNT_SECONDS)
        fstab.rewrite(node, render.with_ours(text, None))
        return f"{folder} unmounted"


def _is_mounted(view: NodeView, folder: str) -> bool:
    return view.query(["findmnt", "--mountpoint", folder]).ok


def _told(device: BlockDevice) -> str:
    return f"{device.path}, {device.filesystem}, {device.size_bytes / _GIGA:.1f} GB"
