"""Pods as the CRI shows them on a fake machine: sandboxes that come with time and go when they are stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.node import FakeNode


@dataclass
class Sandbox:
    """A pod as containerd has it; ``writes`` is the file its program lays on the node."""

    name: str
    since_seconds: float = 0.0
    labels: dict[str, str] = field(default_factory=dict)
    host_network: bool = False
    writes: str = ""

    def listed(self, key: str) -> dict[str, Any]:
        """As ``crictl pods`` shows it."""
        metadata = {"name": self.name, "namespace": "kube-system"}
        created = str(int(self.since_seconds * 10**9))
        return {"id": key, "metadata": metadata, "state": "SANDBOX_READY", "createdAt": created, "labels": self.labels}


def crictl_pods(node: FakeNode, sandboxes: dict[str, Sandbox], words: tuple[str, ...]) -> str:
    """Answers ``crictl pods``, ``inspectp`` and ``stopp``: only those whose time has come are there."""
    assert words[1:3] == ("--runtime-endpoint", "unix:///run/containerd/containerd.sock")
    verb, *rest = words[3:]
    if verb == "stopp":
        del sandboxes[rest[0]]
        return f"Stopped sandbox {rest[0]}\n"
    if verb == "inspectp":
        options = {"network": "NODE" if sandboxes[rest[0]].host_network else "POD"}
        return json.dumps({"status": {"linux": {"namespaces": {"options": options}}}})
    assert rest == ["-o", "json"]
    there = {key: pod for key, pod in sandboxes.items() if node.clock_seconds >= pod.since_seconds}
    for pod in there.values():
        node.with_files({pod.writes: "{}"} if pod.writes else {})
    return json.dumps({"items": [pod.listed(key) for key, pod in there.items()]})
