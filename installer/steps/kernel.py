"""Kernel steps: modules, sysctls and swap, each live now and kept over a reboot."""

from __future__ import annotations

from dataclasses import dataclass

from installer import probes
from installer.errors import StepError
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import kernel as render
from installer.render.fstab import PATH
from installer.steps import fstab
from installer.steps.judged import judged

_SWAP_SERVICES = ("zramswap.service", "zram-config.service")
"""Services of distributions that make swap on compressed memory at every boot, outside fstab and swap units."""
_TIMEOUT_SECONDS = 120.0
_ABSENT = -1


@dataclass(frozen=True)
class KernelModules:
    """The modules containers and Services need: loaded, and listed for the next boot.

    ``proxy_mode`` is the cluster's; where it is ``None``, not known here, what any mode needs is loaded if it is there.
    """

    proxy_mode: str | None = None
    id: str = "kernel/modules"
    title: str = "kernel modules loaded now and at boot"

    def check(self, view: NodeView) -> CheckResult:
        """Every module this kernel has is there, and the file lists it."""
        states = self._states(view)
        waiting = [name for name, state in states.items() if not _is_there(state) and self._is_wanted(name, state)]
        listed = view.read_text(render.MODULES_PATH) == render.modules_file(_persistent(states))
        changes = [f"modprobe {name}" for name in waiting] + ([] if listed else [f"write {render.MODULES_PATH}"])
        there = [name for name, state in states.items() if _is_there(state)]
        return judged(changes, ", ".join(there))

    def apply(self, node: Node) -> str:
        """Loads what is not there and writes the list."""
        states = self._states(node)
        missing = [name for name in self._required if states[name] == "missing"]
        if missing:
            raise StepError(
                f"the kernel has no module {', '.join(missing)}",
                where=f"/lib/modules/{probes.kernel(node)}",
                wanted=", ".join(self._required),
                got=", ".join(name for name, state in states.items() if state != "missing") or "none of them",
                next_step="install the kernel's full module package, or boot the kernel the modules belong to",
            )
        loading = [name for name, state in states.items() if state == "available"]
        for name in loading:
            node.run(["modprobe", name], timeout_seconds=_TIMEOUT_SECONDS)
        listing = render.modules_file(_persistent(states))
        node.write_file(render.MODULES_PATH, listing.encode())
        return f"{len(loading)} loaded, {len(_persistent(states))} kept for the next boot"

    @property
    def _required(self) -> tuple[str, ...]:
        return render.REQUIRED_MODULES + (render.PROXY_MODULES[self.proxy_mode] if self.proxy_mode else ())

    def _states(self, view: NodeView) -> dict[str, str]:
        modes = render.PROXY_MODULES.values() if self.proxy_mode is None else ()
        names = (*self._required, *render.OPTIONAL_MODULES, *(name for mode in modes for name in mode))
        return probes.modules(view, probes.kernel(view), dict.fromkeys(names))

    def _is_wanted(self, name: str, state: str) -> bool:
        return name in self._required or state == "available"


@dataclass(frozen=True)
class KernelSysctls:
    """Sysctls that are minimums: raised where lower, live and for the next boot; never lowered."""

    id: str = "kernel/sysctl"
    title: str = "sysctls high enough now and at boot"

    def check(self, view: NodeView) -> CheckResult:
        """Every key is at least its minimum, and the file lists those the node has not higher by itself."""
        live = _live_sysctls(view)
        changes = [f"{key} {_shown(live[key])} -> {wanted}" for key, wanted in _too_low(live).items()]
        if view.read_text(render.SYSCTL_PATH) != render.sysctl_file(_kept_sysctls(live)):
            changes.append(f"write {render.SYSCTL_PATH}")
        higher = len(render.SYSCTL_MINIMUMS) - len(_kept_sysctls(live))
        return judged(changes, f"{len(_kept_sysctls(live))} set, {higher} already higher")

    def apply(self, node: Node) -> str:
        """Writes the file and raises what is too low."""
        live = _live_sysctls(node)
        kept = _kept_sysctls(live)
        node.write_file(render.SYSCTL_PATH, render.sysctl_file(kept).encode())
        raised = _too_low(live)
        # The highest threshold first: the kernel's neighbour table must never have a lower limit above a higher one.
        for key in sorted(raised, reverse=True):
            node.run(["sysctl", "-q", "-w", f"{key}={raised[key]}"], timeout_seconds=_TIMEOUT_SECONDS)
        return f"{len(raised)} set, {len(render.SYSCTL_MINIMUMS) - len(kept)} already higher"


@dataclass(frozen=True)
class SwapOff:
    """No swap, now and after a reboot, wherever it came from: fstab, swap units, zram."""

    id: str = "kernel/swap"
    title: str = "swap off now and at boot"

    def check(self, view: NodeView) -> CheckResult:
        """Nothing is in use, fstab mounts none, and no unit would bring it back."""
        active = render.active_swaps(view.read_text("/proc/swaps") or "")
        changes = [f"swapoff {name}" for name in active]
        if _fstab_swaps(view):
            changes.append(f"comment swap out of {PATH} (the old file stays as {fstab.KEPT})")
        else:  # units made from fstab's lines end with the lines, so only what is left without them counts
            changes += [f"mask {unit}" for unit in _swap_units(view)]
        changes += [f"disable {unit}" for unit in _enabled_swap_services(view)]
        return judged(changes, "off, and stays off")

    def apply(self, node: Node) -> str:
        """Switches swap off and removes every way it would come back."""
        done = []
        for unit in _enabled_swap_services(node):
            node.run(["systemctl", "disable", "--now", unit], timeout_seconds=_TIMEOUT_SECONDS)
            done.append(unit)
        if active := render.active_swaps(node.read_text("/proc/swaps") or ""):
            # Moving swapped pages back into memory takes as long as the disk needs.
            node.run(["swapoff", "-a"], timeout_seconds=15 * 60.0)
            done.extend(active)
        if _fstab_swaps(node):
            fstab.rewrite(node, render.fstab_without_swap(fstab.read(node)))
            done.append(PATH)
        for unit in _swap_units(node):
            node.run(["systemctl", "mask", "--now", unit], timeout_seconds=_TIMEOUT_SECONDS)
            done.append(unit)
        return ", ".join(done)


def _is_there(state: str) -> bool:
    return state in ("loaded", "builtin")


def _persistent(states: dict[str, str]) -> tuple[str, ...]:
    """What the boot list names; a module the kernel does not have would fail a unit at every boot."""
    return tuple(name for name, state in states.items() if state in ("loaded", "available"))


def _live_sysctls(view: NodeView) -> dict[str, int]:
    """The live value of each key; lower than any where the kernel does not show it (its module is not loaded yet)."""
    live = {}
    for key in render.SYSCTL_MINIMUMS:
        text = probes.first_line(view, probes.sysctl_path(key))
        live[key] = int(text) if text.isdigit() else _ABSENT
    return live


def _shown(value: int) -> str:
    return "absent" if value == _ABSENT else str(value)


def _too_low(live: dict[str, int]) -> dict[str, int]:
    return {key: wanted for key, wanted in render.SYSCTL_MINIMUMS.items() if live[key] < wanted}


def _kept_sysctls(live: dict[str, int]) -> dict[str, int]:
    return {key: wanted for key, wanted in render.SYSCTL_MINIMUMS.items() if live[key] <= wanted}


def _fstab_swaps(view: NodeView) -> bool:
    return any(render.is_swap_line(line) for line in fstab.read(view).splitlines())


def _swap_units(view: NodeView) -> tuple[str, ...]:
    """Swap units that are loaded and not masked."""
    said = view.query(["systemctl", "list-units", "--type=swap", "--all", "--plain", "--no-legend"])
    rows = [line.split() for line in said.stdout.splitlines()]
    return tuple(row[0] for row in rows if len(row) > 2 and row[1] == "loaded")


def _enabled_swap_services(view: NodeView) -> tuple[str, ...]:
    states = {unit: view.query(["systemctl", "is-enabled", unit]).stdout.strip() for unit in _SWAP_SERVICES}
    return tuple(unit for unit, state in states.items() if state == "enabled")
