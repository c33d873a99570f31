"""A containerd that is on the node: what systemd and its own configuration say of it, and whose it is to be."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Literal

from installer.node import NodeView
from installer.render.containerd import CONFIG_PATH, DEFAULT_SNAPSHOTTER, DEFAULT_SOCKET
from installer.render.sitecontainerd import InForce

Owner = Literal["installer", "site"]
OWNERS: tuple[Owner, ...] = ("installer", "site")
DEFAULT_ROOT = "/var/lib/containerd"


@dataclass(frozen=True)
class FoundContainerd:
    """The program, its version (``1.7.24``), its configuration file, and what is in force.

    ``has_unit``: systemd has a unit of it; ``runc``: the OCI runtime it would start, if it is there.
    """

    program: str
    version: str
    config_path: str = CONFIG_PATH
    root: str = DEFAULT_ROOT
    socket: str = DEFAULT_SOCKET
    snapshotter: str = DEFAULT_SNAPSHOTTER
    has_unit: bool = True
    runc: str | None = None

    @property
    def ctr(self) -> str:
        """The client that came with the program."""
        return f"{self.program.rpartition('/')[0]}/ctr"

    @property
    def config_dump(self) -> tuple[str, ...]:
        """The command that shows what is in force."""
        if self.config_path == CONFIG_PATH:
            return (self.program, "config", "dump")
        return (self.program, "--config", self.config_path, "config", "dump")

    @classmethod
    def find(cls, view: NodeView) -> FoundContainerd | None:
        """The containerd of the unit ``containerd.service``, else the one on the path, or ``None``."""
        said = view.query(["systemctl", "show", "containerd.service", "--property=LoadState,ExecStart"]).stdout
        started = re.search(r"^ExecStart=\{ path=(\S+) ; argv\[\]=(.*?) ;", said, re.MULTILINE)
        program = started[1] if started else view.which("containerd")
        if program is None or view.stat(program) is None:
            return None
        named = re.search(r"(?:^|\s)(?:--config|-c)[= ](\S+)", started[2]) if started else None
        found = cls(program, _version(view, program), named[1] if named else CONFIG_PATH)
        dump = view.query(found.config_dump)
        in_force = InForce(_parsed(dump.stdout) if dump.ok else {})
        return cls(
            found.program,
            found.version,
            found.config_path,
            in_force.root or DEFAULT_ROOT,
            in_force.socket or DEFAULT_SOCKET,
            in_force.snapshotter or DEFAULT_SNAPSHOTTER,
            has_unit="LoadState=loaded" in said,
            runc=view.which("runc"),
        )


def _version(view: NodeView, program: str) -> str:
    """``1.7.24`` of ``containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6``."""
    words = view.query([program, "--version"]).stdout.split()
    match = re.match(r"v?(\d+\.\d+\.\d+)", words[2]) if len(words) > 2 else None
    return match[1] if match else "unknown"


def _parsed(toml: str) -> dict[str, object]:
    try:
        return tomllib.loads(toml)
    except tomllib.TOMLDecodeError:
        return {}


def owner_of(asked: str, found: FoundContainerd | None, recorded: str | None) -> Owner:
    """Whose containerd is: as ``asked`` for, else as an install here ``recorded``, else the site's if one is there."""
    for owner in OWNERS:
        if owner in (asked, recorded if asked == "auto" else None):
            return owner
    return "installer" if found is None else "site"
