"""A fake systemd: units with their files, enablement, masks and main processes.

It knows a unit's file only after a reload, makes and removes the links that ``enable`` and ``mask`` make, and starts
a unit's program as a process that can be seen under ``/proc``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from installer.node import CommandResult
from tests.fakes.node import FakeNode

FOLDER = "/etc/systemd/system"
WANTS = f"{FOLDER}/multi-user.target.wants"
_BIN = "/usr/local/bin"


@dataclass
class Unit:
    """One systemd unit: enabled, masked, its main process, and what systemd read of its file."""

    enabled: bool = False
    pid: int = 0
    text: bytes | None = None
    masked: bool = False
    stopped_at_seconds: float = float("-inf")
    program: str | None = None
    """Of a unit that came with a package, in a folder that is not looked at here."""


@dataclass
class Systemd:
    """systemd on ``node``. ``started`` is told each unit that starts; ``fail_restart_of`` fails one start."""

    node: FakeNode
    started: Callable[[str], None]
    units: dict[str, Unit] = field(default_factory=dict)
    fail_restart_of: str = ""

    def systemctl(self, words: tuple[str, ...], _stdin: bytes) -> str | CommandResult:
        """Answers ``systemctl``."""
        verb, name = words[1], words[-1]
        if verb == "list-units":
            return self._listed()
        if verb == "daemon-reload":
            for name in {*self.units, *self.node.list_dir(FOLDER)}:
                text = self.node.read_bytes(f"{FOLDER}/{name}")
                if name in self.units or text is not None:
                    self.units.setdefault(name, Unit()).text = text
            return ""
        if verb == "show":
            return self._show(words[2])
        if verb == "is-enabled":
            enabled = self.units.get(name, Unit()).enabled
            return CommandResult(words, 0, "enabled\n", "") if enabled else CommandResult(words, 1, "", "not found")
        if verb == "is-active":
            active = self.units.get(name, Unit()).pid != 0
            return CommandResult(words, 0 if active else 3, "active\n" if active else "inactive\n", "")
        unit = self.units.setdefault(name, Unit())
        if "--now" in words or verb == "stop":
            self._stop(unit)
        return self._change(words, verb, name, unit)

    def _change(self, words: tuple[str, ...], verb: str, name: str, unit: Unit) -> str | CommandResult:
        if verb == "enable":
            unit.enabled = True
            self.node.symlink(f"{FOLDER}/{name}", f"{WANTS}/{name}")
        elif verb == "disable":
            unit.enabled = False
            self.node.remove(f"{WANTS}/{name}")
        elif verb == "mask":
            unit.masked = True
            self.node.symlink("/dev/null", f"{FOLDER}/{name}")
        elif verb == "unmask":
            unit.masked = False
            self.node.remove(f"{FOLDER}/{name}")
        elif verb in ("restart", "start") and self.fail_restart_of == name:
            self.fail_restart_of = ""
            return CommandResult(words, 1, "", f"Job for {name} failed.")
        elif verb in ("restart", "start"):
            self.start(name)
        elif verb != "stop":
            raise AssertionError(f"nobody scripted: {words}")
        return ""

    def start(self, name: str) -> None:
        """The unit's program runs from now on."""
        unit = self.units.setdefault(name, Unit())
        self._stop(unit)
        unit.pid = 100 + len(self.node.ran)
        program = unit.program or f"{_BIN}/{name.partition('.')[0]}"
        self.node.symlink(program, f"/proc/{unit.pid}/exe")
        self.started(name)

    def _stop(self, unit: Unit) -> None:
        if unit.pid:
            self.node.remove_tree(f"/proc/{unit.pid}")
            unit.stopped_at_seconds = self.node.clock_seconds
        unit.pid = 0

    def _listed(self) -> str:
        swaps = {name: unit for name, unit in self.units.items() if name.endswith(".swap")}
        rows = ((name, "masked" if unit.masked else "loaded") for name, unit in swaps.items())
        return "".join(f"{name} {loaded} inactive dead swap\n" for name, loaded in rows)

    def _show(self, name: str) -> str:
        unit, file = self.units.get(name, Unit()), self.node.read_bytes(f"{FOLDER}/{name}")
        word = "masked" if unit.masked else "enabled" if unit.enabled else "disabled" if unit.text or file else ""
        values = {
            "LoadState": "loaded" if unit.text or file or unit.program else "not-found",
            "ActiveState": "active" if unit.pid else "inactive",
            "UnitFileState": word,
            "NeedDaemonReload": "no" if unit.text == file else "yes",
            "MainPID": str(unit.pid),
        }
        if unit.program:
            values["ExecStart"] = f"{{ path={unit.program} ; argv[]={unit.program} ; ignore_errors=no }}"
        return "".join(f"{key}={value}\n" for key, value in values.items())
