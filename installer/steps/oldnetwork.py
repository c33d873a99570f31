"""Taking a pod network out of the cluster: what its operator must take away first, its Helm release, its namespaces.

Nothing is torn away: what does not go says who holds it, because a finalizer that is taken off by force leaves behind
what its owner would have removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from installer.errors import CommandError, StepError
from installer.execute import CheckResult, Step
from installer.networks import Network, others
from installer.node import Node, NodeView
from installer.render.kubeadm import ADMIN_KUBECONFIG
from installer.steps import helm
from installer.steps.cluster import KUBECTL
from installer.steps.judged import judged
from installer.steps.waiting import wait_for

_KUBECTL = (KUBECTL, "--kubeconfig", ADMIN_KUBECONFIG)
_TIMEOUT_SECONDS = 120.0
_NO_SUCH_KIND = ("the server doesn't have a resource type", "no matches for kind")


def remove_network(network: Network, timeout_seconds: float) -> tuple[Step, ...]:
    """The steps for one network, in the order in which it can go."""
    resources = (ResourcesGone(network, timeout_seconds),) if network.resources else ()
    return (*resources, ReleaseGone(network, timeout_seconds), NamespacesGone(network, timeout_seconds))


@dataclass(frozen=True)
class ResourcesGone:
    """What the network's operator has to take away itself is gone, one after the other, while the operator runs."""

    network: Network
    timeout_seconds: float

    @property
    def id(self) -> str:
        """``<network>/resources``."""
        return f"{self.network.name}/resources"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"what {self.network.name}'s operator made is taken away by it"

    def check(self, view: NodeView) -> CheckResult:
        """The cluster has none of them."""
        left = [name for name in self.network.resources if _read(view, *name.split("/")) is not None]
        return judged([f"delete {name}, and wait until its operator lets it go" for name in left], "none")

    def apply(self, node: Node) -> str:
        """Deletes each, and goes on only when it is gone."""
        gone = []
        for name in self.network.resources:
            kind, _, single = name.partition("/")
            if _read(node, kind, single) is None:
                continue
            _delete(node, kind, single)
            _await(node, lambda view, k=kind, s=single: _read(view, k, s) is None, self.timeout_seconds)  # type: ignore[misc]
            held = _read(node, kind, single)
            if held is not None:
                raise _held(name, f"finalizers {', '.join(_finalizers(held)) or 'none'}", self.network)
            gone.append(name)
        return ", ".join(gone)


@dataclass(frozen=True)
class ReleaseGone:
    """The network's Helm release is gone, in whatever namespace it was."""

    network: Network
    timeout_seconds: float

    @property
    def id(self) -> str:
        """``<network>/no-release``."""
        return f"{self.network.name}/no-release"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.network.name} uninstalled by Helm"

    def check(self, view: NodeView) -> CheckResult:
        """Helm lists no release of this name."""
        places = helm.namespaces_of(view, self.network.name)
        return judged([f"helm uninstall {self.network.name} in {namespace}" for namespace in places], "none")

    def apply(self, node: Node) -> str:
        """Has Helm uninstall it."""
        places = helm.namespaces_of(node, self.network.name)
        for namespace in places:
            node.run(helm.uninstall(self.network.name, namespace), timeout_seconds=self.timeout_seconds)
        return f"from {', '.join(places)}"


@dataclass(frozen=True)
class NamespacesGone:
    """The namespaces that were the network's alone are gone."""

    network: Network
    timeout_seconds: float

    @property
    def id(self) -> str:
        """``<network>/no-namespaces``."""
        return f"{self.network.name}/no-namespaces"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"no namespace of {self.network.name}"

    def check(self, view: NodeView) -> CheckResult:
        """The cluster has none of them."""
        left = [name for name in self.network.namespaces if _read(view, "namespace", name) is not None]
        return judged([f"delete namespace {name}" for name in left], "none")

    def apply(self, node: Node) -> str:
        """Deletes them together and waits; what does not go is named with what holds it."""
        left = [name for name in self.network.namespaces if _read(node, "namespace", name) is not None]
        for name in left:
            _delete(node, "namespace", name)
        _await(node, lambda view: self.check(view).satisfied, self.timeout_seconds)
        for name in left:
            held = _read(node, "namespace", name)
            if held is not None:
                raise _held(f"namespace/{name}", "\n".join(_holding(held)) or "the API does not say", self.network)
        return ", ".join(left)


@dataclass(frozen=True)
class OnlyNetwork:
    """No other pod network is in the cluster that ``network`` is about to be installed in."""

    network: Network
    id: str = "network/alone"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"no pod network but {self.network.name} in the cluster"

    def check(self, view: NodeView) -> CheckResult:
        """Helm lists no release of another."""
        try:
            found = self._others(view)
        except CommandError as error:
            return CheckResult(False, (error.got or "").splitlines()[-1][:300], (self.title,))
        return CheckResult(not found, f"{', '.join(found)} is there" if found else "none", (self.title,))

    def apply(self, node: Node) -> str:
        """Nothing is done here: two networks would both give every pod an interface, or neither."""
        raise StepError(
            "the cluster has another pod network",
            where="helm list --all-namespaces",
            wanted=self.title,
            got=", ".join(self._others(node)),
            next_step=f"./install cni switch --to {self.network.name}",
        )

    def _others(self, view: NodeView) -> list[str]:
        return [row.name for row in others(self.network) if helm.namespaces_of(view, row.name)]


def _held(name: str, by: str, network: Network) -> StepError:
    return StepError(
        f"{name} does not go",
        where=name,
        wanted=f"{network.name} to let it go after the cluster was asked to delete it",
        got=f"held by {by}",
        next_step="run the same command again, to wait longer; if who holds it is gone for good, take the finalizer off"
        f" (kubectl edit {name}): what it would have removed then stays",
    )


def _finalizers(document: dict[str, Any]) -> list[str]:
    return [str(name) for name in document.get("metadata", {}).get("finalizers") or ()]


def _holding(namespace: dict[str, Any]) -> Iterator[str]:
    """What the namespace's own conditions say is left in it and holds it."""
    for condition in namespace.get("status", {}).get("conditions") or ():
        if condition.get("status") == "True":
            yield str(condition.get("message", condition.get("type", "")))


def _delete(node: Node, kind: str, name: str) -> None:
    argv = [*_KUBECTL, "delete", kind, name, "--ignore-not-found", "--wait=false"]
    node.run(argv, timeout_seconds=_TIMEOUT_SECONDS)


def _await(node: Node, is_gone: Callable[[NodeView], bool], timeout_seconds: float) -> None:
    wait_for(lambda view: CheckResult(is_gone(view)), node, timeout_seconds)


def _read(view: NodeView, kind: str, name: str) -> dict[str, Any] | None:
    """An object that needs no namespace, or ``None`` where neither it nor its kind is there.

    :class:`CommandError` where the cluster cannot be asked: that is no reason to think that it is gone.
    """
    said = view.query([*_KUBECTL, "get", kind, name, "--ignore-not-found", "-o", "json"])
    if not said.ok and any(sign in said.stderr for sign in _NO_SUCH_KIND):
        return None
    text = said.demand().stdout.strip()
    try:
        document = json.loads(text) if text else None
    except ValueError:
        document = {}
    return document if isinstance(document, dict) else None
