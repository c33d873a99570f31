"""The record of the image names this tool pinned, and unpinning those whose bundle was replaced.

A site may pin images of its own in the same store; only what is in the record is ever unpinned. The record grows
before a name is pinned and shrinks after it was unpinned, so that no interruption loses a pin.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.steps.imagestore import ImageStore
from installer.steps.judged import judged
from installer.wording import count

RECORD_PATH = "/var/lib/airgap-bundle/pinned.json"
_SCHEMA = 1


def recorded_pins(view: NodeView) -> frozenset[str]:
    """The names this tool pinned on the node; none where there is no record, or one that cannot be read."""
    try:
        record = json.loads(view.read_text(RECORD_PATH) or "null")
        return frozenset(str(name) for name in record["names"]) if record["schema"] == _SCHEMA else frozenset()
    except (ValueError, TypeError, KeyError):
        return frozenset()


def record_pins(node: Node, names: Iterable[str]) -> None:
    """Makes ``names`` the record."""
    record = {"schema": _SCHEMA, "names": sorted(names)}
    node.write_file(RECORD_PATH, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())


@dataclass(frozen=True)
class UnpinReplaced:
    """Images this tool pinned for an earlier bundle may be removed by the kubelet; ``wanted`` names stay pinned."""

    store: ImageStore
    wanted: frozenset[str]
    id: str = "images/replaced"
    title: str = "no image of a replaced bundle pinned"

    def check(self, view: NodeView) -> CheckResult:
        """The record names nothing that the present bundle does not."""
        replaced = sorted(recorded_pins(view) - self.wanted)
        return judged([f"unpin {name}" for name in replaced], "none pinned")

    def apply(self, node: Node) -> str:
        """Takes the pins off those that are still there, then forgets them."""
        stored = self.store.demand(node)
        recorded = recorded_pins(node)
        replaced = [name for name in sorted(recorded - self.wanted) if name in stored and stored[name].pinned]
        for name in replaced:
            self.store.unpin(node, name)
        record_pins(node, recorded & self.wanted)
        return f"{count(len(replaced), 'name')} unpinned"
