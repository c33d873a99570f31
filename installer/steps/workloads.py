"""Whether an add-on works: every pod of its workloads that can run is ready, or which is not and why; and whether the
API serves the definitions that it brings.

A pod that no node takes yet (a tainted control plane and no worker), or whose node does not answer, says nothing
against the add-on: it is named and not waited for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from installer.bundle.addon import BundledAddon
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render.kubeadm import ADMIN_KUBECONFIG
from installer.steps.cluster import KUBECTL
from installer.steps.waiting import wait_for
from installer.wording import count

_PASSING_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/network-unavailable")
"""Taints that go by themselves while a node becomes Ready: a pod that only these keep away is waited for."""
_MOST_SHOWN = 5
_LONGEST = 300


@dataclass(frozen=True)
class WorkloadsReady:
    """Everything that shows that the add-on works does, within ``timeout_seconds``: its workloads' pods are ready."""

    addon: BundledAddon
    timeout_seconds: float

    @property
    def id(self) -> str:
        """``<add-on>/ready``."""
        return f"{self.addon.name}/ready"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{', '.join(self.addon.ready)} ready"

    def check(self, view: NodeView) -> CheckResult:
        """What the cluster says of each workload; while one is not ready, that of those which are not."""
        found = [(shown, standing(view, self.addon.namespace, shown)) for shown in self.addon.ready]
        late = [f"{shown}: {said.detail}" for shown, said in found if not said.satisfied]
        if late:
            return CheckResult(False, "\n".join(late), tuple(f"wait for {shown}" for shown in self.addon.ready))
        return CheckResult(True, "; ".join(f"{shown.rpartition('/')[2]} {said.detail}" for shown, said in found))

    def apply(self, node: Node) -> str:
        """Waits; whatever is still missing is what the check says afterwards."""
        return wait_for(self.check, node, self.timeout_seconds)


@dataclass(frozen=True)
class Progress:
    """What a workload's status says: pods wanted, ready, and of the newest template; ``current`` if it is of now."""

    wanted: int
    ready: int
    updated: int
    current: bool

    @classmethod
    def of(cls, kind: str, document: dict[str, Any]) -> Progress:
        """From a DaemonSet, Deployment or StatefulSet."""
        status = document.get("status", {})
        current = int(status.get("observedGeneration", 0)) >= int(document.get("metadata", {}).get("generation", 1))
        if kind == "daemonset":
            names = ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
            wanted, ready, updated = (int(status.get(name, 0)) for name in names)
            return cls(wanted, ready, updated, current and wanted > 0)
        wanted = int(document.get("spec", {}).get("replicas", 1))
        return cls(wanted, int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0)), current)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.current and self.ready >= self.wanted and self.updated >= self.wanted


def standing(view: NodeView, namespace: str, shown: str) -> CheckResult:
    """How far one ``kind/name`` in ``namespace``, ``other-namespace/kind/name`` or ``crd/name`` is."""
    *elsewhere, kind, name = shown.split("/")
    if kind == "crd":
        return _established(view, name)
    return _workload(view, elsewhere[0] if elsewhere else namespace, kind, name)


def _workload(view: NodeView, namespace: str, kind: str, name: str) -> CheckResult:
    """How far a workload is; its pods are looked at only where it is not complete."""
    document = _get(view, "-n", namespace, kind, name)
    if isinstance(document, str):
        return CheckResult(False, document)
    progress = Progress.of(kind, document)
    numbers = f"{progress.ready} of {count(progress.wanted, 'pod')} ready"
    if progress.complete:
        return CheckResult(True, numbers)
    labels = document.get("spec", {}).get("selector", {}).get("matchLabels", {})
    if not labels:
        return CheckResult(False, numbers)
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    pods = _get(view, "-n", namespace, "pods", "-l", selector)
    if isinstance(pods, str):
        return CheckResult(False, f"{numbers}; {pods}")
    excused, held = _sorted(view, pods.get("items", []))
    enough = len(excused) + progress.updated >= progress.wanted or kind == "statefulset"
    if progress.current and excused and not held and enough:
        return CheckResult(True, f"{numbers}; {_shortened(excused)}")
    return CheckResult(False, "\n".join([numbers, *_lines(held or excused)]))


def _established(view: NodeView, name: str) -> CheckResult:
    """Whether the API serves the definition ``name``."""
    document = _get(view, "crd", name)
    if isinstance(document, str):
        return CheckResult(False, document)
    condition = _condition(document, "Established")
    if condition.get("status") == "True":
        return CheckResult(True, "served")
    return CheckResult(False, f"not served yet: {condition.get('message') or 'the API says nothing of it'}"[:_LONGEST])


def _sorted(view: NodeView, pods: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Of the pods that are not ready: what excuses those that cannot run, and what the others wait for."""
    excused: list[str] = []
    held: list[str] = []
    silent: set[str] | None = None
    for pod in pods:
        metadata = pod.get("metadata", {})
        if "deletionTimestamp" in metadata or _condition(pod, "Ready").get("status") == "True":
            continue
        name, node = metadata.get("name", ""), pod.get("spec", {}).get("nodeName")
        scheduled = _condition(pod, "PodScheduled")
        if scheduled.get("reason") == "Unschedulable":
            message = scheduled.get("message", "")
            kept_away = any(taint in message for taint in _PASSING_TAINTS)
            (held if kept_away else excused).append(f"{name} waits for a node that takes it: {message}")
            continue
        if node and silent is None:
            silent = set(_silent_nodes(view))
        if silent and node in silent:
            excused.append(f"{name} is on {node}, which does not answer")
        else:
            held.append(f"{name}: {_reason(pod)}")
    return excused, held


def _silent_nodes(view: NodeView) -> Iterator[str]:
    """Nodes whose kubelet has stopped reporting; one that reports it is not Ready is not among them."""
    nodes = _get(view, "nodes")
    for node in nodes.get("items", []) if isinstance(nodes, dict) else []:
        if _condition(node, "Ready").get("status") == "Unknown":
            yield node["metadata"]["name"]


def _reason(pod: dict[str, Any]) -> str:
    """What holds a pod up: the last container that waits or has ended badly, else its phase."""
    status = pod.get("status", {})
    for kind in ("containerStatuses", "initContainerStatuses"):
        for container in reversed(status.get(kind, [])):
            state = container.get("state", {})
            ended = state.get("terminated", {})
            waits = state.get("waiting") or (ended if ended.get("exitCode") else None)
            if waits and waits.get("reason") != "PodInitializing":
                said = " ".join(str(waits.get("message", "")).split())
                return f"{container.get('name')} {waits.get('reason', 'waits')}{': ' if said else ''}{said}"
    return f"{status.get('phase', 'Pending')}, not ready yet"


def _condition(document: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = document.get("status", {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def _get(view: NodeView, *words: str) -> dict[str, Any] | str:
    """An object or list of the cluster, or in a line why there is none."""
    said = view.query([KUBECTL, "--kubeconfig", ADMIN_KUBECONFIG, "get", *words, "-o", "json"])
    try:
        document = json.loads(said.stdout) if said.ok else None
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    reason = said.stderr.strip().splitlines()
    return reason[-1][:_LONGEST] if reason else "the API does not answer"


def _lines(texts: list[str]) -> list[str]:
    more = len(texts) - _MOST_SHOWN
    return [f"  {text[:_LONGEST]}" for text in texts[:_MOST_SHOWN]] + ([f"  and {more} more"] if more > 0 else [])


def _shortened(excused: list[str]) -> str:
    """One line for what is not waited for."""
    first = excused[0].partition(":")[0]
    return first if len(excused) == 1 else f"{first}, and {len(excused) - 1} more"
