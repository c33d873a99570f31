"""systemd units: the files, and what systemd itself says of a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import kubelet as render
from installer.steps.judged import judged
from installer.steps.textfile import is_written

RESTART_TIMEOUT_SECONDS = 300.0
_QUICK_TIMEOUT_SECONDS = 120.0
_PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "MainPID")


@dataclass(frozen=True)
class UnitState:
    """One unit as ``systemctl show`` tells it; ``program`` is what its main process runs, when it runs."""

    loaded: bool
    active: bool
    enabled: bool
    stale: bool
    program: str | None

    @classmethod
    def read(cls, view: NodeView, unit: str) -> UnitState:
        """The state of ``unit``."""
        said = view.query(["systemctl", "show", unit, f"--property={','.join(_PROPERTIES)}"])
        values = dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)
        pid = values.get("MainPID", "0")
        executable = view.stat(f"/proc/{pid}/exe") if pid not in ("", "0") else None
        return cls(
            values.get("LoadState") == "loaded",
            values.get("ActiveState") == "active",
            values.get("UnitFileState") == "enabled",
            values.get("NeedDaemonReload") != "no",
            executable.link_target if executable else None,
        )


@dataclass(frozen=True)
class KubeletUnit:
    """The kubelet's unit, known to systemd and enabled; kubeadm starts it once it has its configuration."""

    id: str = "services/kubelet"
    title: str = "kubelet.service with its kubeadm drop-in, enabled"

    def check(self, view: NodeView) -> CheckResult:
        """Files and systemd agree; a running kubelet runs the placed binary."""
        state = UnitState.read(view, "kubelet.service")
        changes = [f"write {path}" for path, text in self._files.items() if not is_written(view, path, text)]
        if not state.enabled or state.stale or not state.loaded:
            changes.append("enable kubelet.service")
        if state.active and state.program != "/usr/local/bin/kubelet":
            changes.append("restart kubelet.service")
        return judged(changes, "enabled; kubeadm starts it")

    def apply(self, node: Node) -> str:
        """Writes the files, makes systemd read them, enables the unit."""
        for path, text in self._files.items():
            node.write_file(path, text.encode())
        node.make_dir("/etc/kubernetes/manifests")
        node.make_dir("/var/lib/kubelet")
        reload_units(node)
        enable(node, "kubelet.service")
        if UnitState.read(node, "kubelet.service").active:
            node.run(["systemctl", "restart", "kubelet.service"], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        return "enabled; kubeadm starts it"

    @property
    def _files(self) -> Mapping[str, str]:
        return {render.UNIT_PATH: render.unit(), render.DROP_IN_PATH: render.drop_in()}


def reload_units(node: Node) -> None:
    """Makes systemd read the unit files again."""
    node.run(["systemctl", "daemon-reload"], timeout_seconds=_QUICK_TIMEOUT_SECONDS)


def enable(node: Node, unit: str) -> None:
    """Has ``unit`` started at boot. A mask was a link in the unit file's place, and is gone with the file written."""
    node.run(["systemctl", "enable", unit], timeout_seconds=_QUICK_TIMEOUT_SECONDS)
