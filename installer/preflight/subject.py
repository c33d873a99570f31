"""What a preflight check looks at."""

from __future__ import annotations

import re
from dataclasses import dataclass

from installer.bundle.index import BundleIndex
from installer.config import ClusterConfig
from installer.errors import FormatError
from installer.facts import NodeFacts
from installer.foundcontainerd import Owner


@dataclass(frozen=True)
class Subject:
    """What is judged: this node as ``role`` at ``address``, from this bundle; ``joins`` an existing cluster or not,
    whose first control plane's interface takes packets of ``cluster_mtu_bytes`` (0 where that is not known).
    ``runtime_bytes`` is what the installer itself is still going to take on the node.
    """

    facts: NodeFacts
    index: BundleIndex
    role: str
    config: ClusterConfig
    address: str
    joins: bool
    cluster_mtu_bytes: int = 0
    runtime_bytes: int = 0

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
