"""A node's part of changing the pod network: the old agent is gone, the new one works here, and pods get a new network.

A mark on disk says since when the change is under way here: pods from before it have interfaces of the old network,
and a run that was cut off goes on with the same ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from installer.errors import StepError
from installer.execute import CheckResult
from installer.networks import Network
from installer.node import Node, NodeView
from installer.steps.judged import judged
from installer.steps.waiting import wait_for
from installer.wording import count

CRICTL = "/usr/local/bin/crictl"
MARK_PATH = "/var/lib/airgap-bundle/cni-switch"
_STOP_TIMEOUT_SECONDS = 180.0
_READY = "SANDBOX_READY"
_NANO = 1_000_000_000


@dataclass(frozen=True)
class SwitchBegun:
    """The mark: to which network, and since when."""

    network: Network
    id: str = "network/begun"
    title: str = "the change is under way on this node"

    def check(self, view: NodeView) -> CheckResult:
        """A mark of this very change is there."""
        found = read_mark(view)
        is_ours = found is not None and found[0] == self.network.name
        return judged([] if is_ours else [f"note in {MARK_PATH} since when"], "begun")

    def apply(self, node: Node) -> str:
        """Writes it."""
        mark = {"to": self.network.name, "since": node.now_seconds()}
        node.write_file(MARK_PATH, (json.dumps(mark) + "\n").encode(), mode=0o600)
        return "begun"


@dataclass(frozen=True)
class SwitchEnded:
    """No mark: nothing of the change is left to do on this node."""

    id: str = "network/ended"
    title: str = "the change has ended on this node"

    def check(self, view: NodeView) -> CheckResult:
        """No mark is there."""
        return judged([] if view.stat(MARK_PATH) is None else [f"remove {MARK_PATH}"], "ended")

    def apply(self, node: Node) -> str:
        """Removes it."""
        node.remove(MARK_PATH)
        return "ended"


@dataclass(frozen=True)
class AgentGone:
    """No agent of an old network runs on this node: it would make again what is taken away."""

    network: Network
    socket: str
    timeout_seconds: float

    @property
    def id(self) -> str:
        """``<network>/gone-here``."""
        return f"{self.network.name}/gone-here"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.network.name} runs no more on this node"

    def check(self, view: NodeView) -> CheckResult:
        """containerd has no running pod with its label."""
        return judged([] if _agents(view, self) == [] else ["wait until its pod here has ended"], "gone")

    def apply(self, node: Node) -> str:
        """Waits for the kubelet to end it; where the cluster still wants it, that will not come."""
        wait_for(self.check, node, self.timeout_seconds)
        if running := _agents(node, self):
            raise StepError(
                f"{self.network.name} still runs on this node",
                where=" ".join(running),
                wanted=f"{self.network.name} taken out of the cluster first",
                got="its pod here runs",
                next_step="run the same command on the first control plane before this node",
            )
        return "gone"


@dataclass(frozen=True)
class NetworkHere:
    """The new network works on this node: its agent runs, and has written the configuration that containerd reads."""

    network: Network
    socket: str
    timeout_seconds: float

    @property
    def id(self) -> str:
        """``<network>/here``."""
        return f"{self.network.name}/here"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.network.name} works on this node"

    def check(self, view: NodeView) -> CheckResult:
        """Its pod runs here, and its file is there."""
        missing = [path for path in self.network.config_paths if view.stat(path) is None]
        late = [f"wait for {path}" for path in missing]
        if not _agents(view, self):
            late.insert(0, "wait for its pod on this node")
        return CheckResult(False, "; ".join(late), tuple(late)) if late else CheckResult(True, "its pod runs here")

    def apply(self, node: Node) -> str:
        """Waits; whatever is still missing is what the check says afterwards."""
        return wait_for(self.check, node, self.timeout_seconds)


@dataclass(frozen=True)
class PodsRenewed:
    """No pod on this node has an interface of the old network; those on the node's own network are left alone."""

    socket: str
    id: str = "network/pods"
    title: str = "every pod of this node is on the new network"

    def check(self, view: NodeView) -> CheckResult:
        """No pod from before the mark has a network of its own."""
        old = self._old(view)
        if old is None:
            return CheckResult(False, "containerd does not answer", ("start the pods of this node anew",))
        return judged([f"start {count(len(old), 'pod')} anew"] if old else [], "none from before")

    def apply(self, node: Node) -> str:
        """Stops each; the kubelet starts it anew, with the new network."""
        old = self._old(node) or []
        for sandbox in old:
            node.run([*_crictl(self.socket), "stopp", sandbox], timeout_seconds=_STOP_TIMEOUT_SECONDS)
        return f"{count(len(old), 'pod')} started anew"

    def _old(self, view: NodeView) -> list[str] | None:
        """The sandboxes; without a mark every one counts, as the change has not begun."""
        mark, sandboxes = read_mark(view), _sandboxes(view, self.socket)
        if sandboxes is None:
            return None
        until = float("inf") if mark is None else mark[1] * _NANO
        before = [str(item["id"]) for item in sandboxes if int(item.get("createdAt", 0)) <= until]
        return [sandbox for sandbox in before if _has_own_network(view, self.socket, sandbox)]


def read_mark(view: NodeView) -> tuple[str, float] | None:
    """The network that a change under way here leads to, and since when (Unix time); ``None`` where none is."""
    try:
        mark = json.loads(view.read_text(MARK_PATH) or "")
        return str(mark["to"]), float(mark["since"])
    except (ValueError, KeyError, TypeError):
        return None


def _agents(view: NodeView, step: AgentGone | NetworkHere) -> list[str] | None:
    """The network's own pods that run here, as ``namespace/name``; ``None`` where containerd does not answer."""
    sandboxes = _sandboxes(view, step.socket)
    if sandboxes is None:
        return None
    key, value = step.network.agent
    found = [item["metadata"] for item in sandboxes if item.get("labels", {}).get(key) == value]
    return [f"{metadata['namespace']}/{metadata['name']}" for metadata in found]


def _sandboxes(view: NodeView, socket: str) -> list[dict[str, Any]] | None:
    """Every sandbox that runs, as the CRI tells it; ``None`` where containerd does not answer."""
    said = view.query([*_crictl(socket), "pods", "-o", "json"])
    try:
        items = json.loads(said.stdout)["items"] if said.ok else None
    except (ValueError, KeyError, TypeError):
        return None
    return None if items is None else [item for item in items if item.get("state") == _READY]


def _has_own_network(view: NodeView, socket: str, sandbox: str) -> bool:
    said = view.query([*_crictl(socket), "inspectp", sandbox])
    try:
        options = json.loads(said.stdout)["status"]["linux"]["namespaces"]["options"]
        return bool(options["network"] != "NODE")
    except (ValueError, KeyError, TypeError):
        return False  # gone in the meantime


def _crictl(socket: str) -> tuple[str, ...]:
    return (CRICTL, "--runtime-endpoint", f"unix://{socket}")
