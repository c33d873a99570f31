"""What a preflight check looks at, and what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from installer.bundle.index import BundleIndex
from installer.config import ClusterConfig
from installer.errors import FormatError
from installer.facts import NodeFacts
from installer.foundcontainerd import Owner

Level = Literal["ok", "warn", "problem"]


@dataclass(frozen=True)
class Finding:
    """One named check's answer: what was ``seen``; and unless it is ok, ``why`` it matters and the ``fix``."""

    name: str
    level: Level
    seen: str
    why: str = ""
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain values for ``--json``."""
        parts = {"name": self.name, "level": self.level, "seen": self.seen, "why": self.why, "fix": self.fix}
        return {key: value for key, value in parts.items() if value}


@dataclass(frozen=True)
class Subject:
    """What is judged: this node as ``role`` at ``address``, from this bundle; ``joins`` an existing cluster or not,
    whose first control plane's interface takes packets of ``cluster_mtu_bytes`` (0 where that is not known).
    """

    facts: NodeFacts
    index: BundleIndex
    role: str
    config: ClusterConfig
    address: str
    joins: bool
    cluster_mtu_bytes: int = 0

    @property
    def minor(self) -> int:
        """The bundle's Kubernetes minor: 30 for 1.30.14."""
        match = re.fullmatch(r"v?1\.(\d+)\..*", self.index.kubernetes)
        if match is None:
            raise FormatError("not a Kubernetes version", where="bundle.json, kubernetes", got=self.index.kubernetes)
        return int(match[1])

    @property
    def again(self) -> bool:
        """Whether this very install was begun here before, so that what it left is to be expected."""
        record = self.facts.installed
        return record is not None and (record.role, record.kubernetes) == (self.role, self.index.kubernetes)

    @property
    def containerd_owner(self) -> Owner:
        """Whose containerd is here or will be."""
        return self.facts.containerd_owner(self.config.containerd_owner)

    @property
    def node_name(self) -> str:
        """The name the node will have."""
        return self.config.node_name or self.facts.hostname.lower()


def ok(name: str, seen: str) -> Finding:
    """Nothing to say against it."""
    return Finding(name, "ok", seen)


def warn(name: str, seen: str, why: str, fix: str = "") -> Finding:
    """It will work, and the operator should know."""
    return Finding(name, "warn", seen, why, fix)


def problem(name: str, seen: str, why: str, fix: str) -> Finding:
    """The install would fail or do harm."""
    return Finding(name, "problem", seen, why, fix)
