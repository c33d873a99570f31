"""What one install is to make of this machine: the input of the plan beside the bundle."""

from __future__ import annotations

from dataclasses import dataclass

from installer.bundle.platform import Platform
from installer.config import ClusterConfig
from installer.facts import NodeFacts
from installer.join import JoinFile


@dataclass(frozen=True)
class Target:
    """``role`` (cp or worker) at ``address`` under ``node_name``; ``join`` is ``None`` for a cluster's first node."""

    role: str
    platform: Platform
    address: str
    node_name: str
    config: ClusterConfig
    facts: NodeFacts
    join: JoinFile | None = None
