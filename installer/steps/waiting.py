"""Waiting until a step's own check is satisfied, for what other parts of the cluster bring about."""

from __future__ import annotations

from collections.abc import Callable

from installer.execute import CheckResult
from installer.node import Node, NodeView

_POLL_SECONDS = 3.0


def wait_for(check: Callable[[NodeView], CheckResult], node: Node, timeout_seconds: float) -> str:
    """Looks again and again until satisfied or the time is up; what the last look said."""
    ends_seconds = node.now_seconds() + timeout_seconds
    while True:
        found = check(node)
        if found.satisfied or node.now_seconds() >= ends_seconds:
            return found.detail
        node.sleep(_POLL_SECONDS)
