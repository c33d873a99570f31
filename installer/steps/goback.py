"""Steps that bring units, kernel settings, swap and images back to what they were before this tool's commands."""

from __future__ import annotations

from dataclasses import dataclass

from installer import probes
from installer.execute import CheckResult
from installer.history import SwapBefore, SysctlBefore, UnitBefore
from installer.node import Node, NodeView
from installer.restore import RestoreFiles
from installer.reversal import unit_now
from installer.steps.imagestore import ImageStore
from installer.steps.judged import judged
from installer.steps.units import RESTART_TIMEOUT_SECONDS, reload_units

_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class StopUnits:
    """Units this tool set up neither run nor start at boot; those of the site stop while their files go back."""

    units: tuple[UnitBefore, ...]
    files: RestoreFiles
    id: str = "reset/services"
    title: str = "the services of the install stopped"

    def check(self, view: NodeView) -> CheckResult:
        """None of ours is active or enabled; none of the site's is active while its files are not back."""
        return judged([f"stop {unit.unit}" for unit in self._left(view)], "stopped")

    def apply(self, node: Node) -> str:
        """Stops them; ours are disabled too."""
        left = self._left(node)
        for unit in left:
            argv = ["stop"] if unit.started else ["disable", "--now"]
            node.run(["systemctl", *argv, unit.unit], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        return ", ".join(unit.unit for unit in left)

    def _left(self, view: NodeView) -> list[UnitBefore]:
        are_back = self.files.is_back(view)
        found = []
        for unit in self.units:
            enabled, active = unit_now(view, unit.unit)
            if (active and (not unit.active or not are_back)) or (enabled == "enabled" and not unit.started):
                found.append(unit)
        return found


@dataclass(frozen=True)
class RestoreUnits:
    """Units enabled, masked and running as they were; systemd knows the files that are there now."""

    units: tuple[UnitBefore, ...]
    id: str = "reset/units"
    title: str = "units enabled and running as before"

    def check(self, view: NodeView) -> CheckResult:
        """systemd says of each what it said before."""
        return judged([f"systemctl {' '.join(words)}" for words in self._left(view)], "as before")

    def apply(self, node: Node) -> str:
        """Has systemd read its files, then sets each unit."""
        reload_units(node)
        left = self._left(node)
        for words in left:
            node.run(["systemctl", *words], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        return ", ".join(" ".join(words) for words in left)

    def _left(self, view: NodeView) -> list[tuple[str, str]]:
        words: list[tuple[str, str]] = []
        for before in self.units:
            enabled, active = unit_now(view, before.unit)
            if enabled == "masked" and before.enabled != "masked":
                words.append(("unmask", before.unit))
            elif before.enabled == "masked" and enabled != "masked":
                words.append(("mask", before.unit))
            if before.enabled == "enabled" and enabled != "enabled":
                words.append(("enable", before.unit))
            if before.active and not active:
                words.append(("start", before.unit))
        return words


@dataclass(frozen=True)
class RestoreSysctls:
    """Live kernel settings as they were, but for those that somebody has set to something else since."""

    sysctls: tuple[SysctlBefore, ...]
    id: str = "reset/sysctl"
    title: str = "live kernel settings as before"

    def check(self, view: NodeView) -> CheckResult:
        """No key has the value this tool gave it."""
        return judged([f"{item.key} {item.given} -> {item.value}" for item in self._left(view)], "as before")

    def apply(self, node: Node) -> str:
        """Sets them back; the lowest first, as the kernel's table limits must never cross."""
        left = sorted(self._left(node), key=lambda item: item.key)
        for item in left:
            node.run(["sysctl", "-q", "-w", f"{item.key}={item.value}"], timeout_seconds=_TIMEOUT_SECONDS)
        return f"{len(left)} set back"

    def _left(self, view: NodeView) -> list[SysctlBefore]:
        given = (item for item in self.sysctls if item.value not in ("", item.given))
        return [item for item in given if probes.first_line(view, probes.sysctl_path(item.key)) == item.given]


@dataclass(frozen=True)
class RestoreSwap:
    """The swap areas that were in use are in use again."""

    swaps: tuple[SwapBefore, ...]
    id: str = "reset/swap"
    title: str = "swap in use as before"

    def check(self, view: NodeView) -> CheckResult:
        """Each is in use; one whose device is gone is left out."""
        return judged([f"swapon {swap.device}" for swap in self._left(view)], "as before")

    def apply(self, node: Node) -> str:
        """Switches them on."""
        left = self._left(node)
        for swap in left:
            priority = ["-p", str(swap.priority)] if swap.priority >= 0 else []
            node.run(["swapon", *priority, swap.device], timeout_seconds=_TIMEOUT_SECONDS)
        return ", ".join(swap.device for swap in left)

    def _left(self, view: NodeView) -> list[SwapBefore]:
        active = {line.split()[0] for line in (view.read_text("/proc/swaps") or "").splitlines()[1:] if line.split()}
        return [swap for swap in self.swaps if swap.device not in active and view.stat(swap.device) is not None]


@dataclass(frozen=True)
class RestoreImages:
    """The image store without what a run brought into it: ``before`` has each name that was there, and its pin."""

    store: ImageStore
    before: dict[str, bool]
    pinned: tuple[str, ...]
    id: str = "undo/images"
    title: str = "the image store as before"

    def check(self, view: NodeView) -> CheckResult:
        """No name the run brought is there, none it pinned is pinned; a containerd that does not run shows none."""
        remove, unpin = self._left(view)
        return judged([*(f"remove image {name}" for name in remove), *(f"unpin {name}" for name in unpin)], "as before")

    def apply(self, node: Node) -> str:
        """Removes the names, takes the pins off."""
        remove, unpin = self._left(node)
        for name in remove:
            self.store.remove(node, name)
        for name in unpin:
            self.store.unpin(node, name)
        return f"{len(remove)} removed, {len(unpin)} unpinned"

    def _left(self, view: NodeView) -> tuple[list[str], list[str]]:
        stored = self.store.read(view) or {}
        names = [name for name in self.pinned if name in stored]
        remove = [name for name in names if name not in self.before]
        return remove, [name for name in names if stored[name].pinned and self.before.get(name) is False]
