"""What must be known before a command so that it can be taken back: asked by looking only, just before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from installer import probes
from installer.node import NodeView

_UNIT_VERBS = ("disable", "enable", "mask", "restart", "start", "stop", "unmask")
_PIN = "io.cri-containerd.pinned=pinned"


def before_command(view: NodeView, argv: Sequence[str]) -> dict[str, Any]:
    """How the thing that ``argv`` is about to change is now; empty for a command that is not taken back."""
    program, words = PurePosixPath(argv[0]).name, tuple(argv[1:])
    if program == "systemctl" and words[0] in _UNIT_VERBS:
        enabled, active = unit_now(view, words[-1])
        return {"unit": words[-1], "enabled": enabled, "active": active}
    if program == "sysctl" and "=" in words[-1]:
        key = words[-1].partition("=")[0]
        return {"sysctl": key, "value": probes.first_line(view, probes.sysctl_path(key))}
    if program == "swapoff":
        return {"swaps": _swaps_now(view)}
    return {}


def changes_images(argv: Sequence[str]) -> bool:
    """Whether ``argv`` changes containerd's image store."""
    return PurePosixPath(argv[0]).name == "ctr" and any(word in argv for word in ("import", "label"))


def images_now(view: NodeView, argv: Sequence[str]) -> dict[str, Any]:
    """Every name in the image store that ``argv`` is about to change, and whether it is pinned; empty if it is silent.

    Asked once a run, as each question takes a program's start.
    """
    at = list(argv[: argv.index("images")])
    said = view.query([*at, "images", "ls"])
    if not said.ok:
        return {}
    rows = (line.split() for line in said.stdout.splitlines()[1:])
    return {"images": {row[0]: _PIN in row[-1].split(",") for row in rows if len(row) >= 4}}


def unit_now(view: NodeView, unit: str) -> tuple[str, bool]:
    """systemd's word on whether ``unit`` is enabled (empty where it knows none), and whether it is active."""
    said = view.query(["systemctl", "show", unit, "--property=UnitFileState,ActiveState"])
    values = dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)
    return values.get("UnitFileState", ""), values.get("ActiveState") == "active"


def _swaps_now(view: NodeView) -> list[list[str | int]]:
    """Each swap area in use with its priority, from ``/proc/swaps``."""
    rows = (line.split() for line in (view.read_text("/proc/swaps") or "").splitlines()[1:])
    return [[row[0], int(row[-1])] for row in rows if len(row) >= 5]
