"""What is on this node, told by looking: the install record, the journal's last run, the services' own words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer import custody
from installer.drift import Item, find_drift
from installer.history import effective_runs
from installer.installed import Installed
from installer.journal import Run, read_runs
from installer.node import NodeView

UNITS = ("containerd", "kubelet")
_SHOWN_ENTRIES = 5
_KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"


@dataclass(frozen=True)
class StepState:
    """How a step ended in the last run that came to it."""

    id: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class Status:
    """``installed`` is ``None`` on a node this tool did not install; ``last_run`` names the last install; ``items`` is
    everything that was installed, with its state; ``custody`` are the newest lines of the custody log.
    """

    installed: Installed | None
    last_run: str | None
    last_outcome: str | None
    steps: tuple[StepState, ...]
    services: dict[str, str]
    items: tuple[Item, ...] = ()
    custody: tuple[custody.Entry, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "installed": self.installed.to_dict() if self.installed else None,
            "last_run": self.last_run,
            "last_outcome": self.last_outcome,
            "steps": [{"id": step.id, "outcome": step.outcome, "detail": step.detail} for step in self.steps],
            "services": dict(self.services),
            "items": [item.to_dict() for item in self.items],
            "custody": [entry.to_dict() for entry in self.custody],
        }


def gather_status(view: NodeView, journal_folder: Path) -> Status:
    """The node's status; nothing is changed, and no medium is needed."""
    runs = effective_runs(read_runs(journal_folder))
    installs = [run for run in runs if run.verb == "install"]
    last = installs[-1] if installs else None
    return Status(
        installed=Installed.read(view),
        last_run=last.name if last else None,
        last_outcome=last.outcome if last else None,
        steps=_steps(last) if last else (),
        services={unit: service_state(view, unit) for unit in UNITS},
        items=find_drift(view, runs, journal_folder),
        custody=custody.last(view, _SHOWN_ENTRIES),
    )


def service_state(view: NodeView, unit: str) -> str:
    """systemd's word for the unit; a kubelet that restarts because nothing configured it yet is only waiting."""
    said = view.query(["systemctl", "is-active", f"{unit}.service"]).stdout.strip() or "unknown"
    if unit == "kubelet" and said in ("activating", "failed") and view.stat(_KUBELET_CONFIG) is None:
        return "waiting for kubeadm"
    return said


def _steps(run: Run) -> tuple[StepState, ...]:
    states: dict[str, StepState] = {}
    for record in run.of("step"):
        detail = str(record.get("detail") or record.get("error", {}).get("error", ""))
        outcome = "cut off" if record.get("outcome") == "started" else str(record.get("outcome"))
        states[str(record.get("id"))] = StepState(str(record.get("id")), outcome, detail)
    return tuple(states.values())
