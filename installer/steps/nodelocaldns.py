"""The cache on each node asks somebody else: read back from the cluster, as its own loop detection does not see it.

The cache binds addresses on its node. Where it forwards to one of them, the question comes back to itself until it
times out, for every pod of the node.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from installer.dns import NODE_LOCAL, host_of
from installer.errors import StepError
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import resolver
from installer.render.kubeadm import ADMIN_KUBECONFIG
from installer.steps.cluster import KUBECTL
from installer.steps.kubeadm import KUBELET_CONFIG

UPSTREAM_SERVICE = "kube-dns-upstream"
_FILLED_BY_ITSELF = "__PILLAR__CLUSTER__DNS__"
"""What the program replaces with the address of that Service when it starts."""


@dataclass(frozen=True)
class NodeLocalAsksOthers:
    """The cache in ``namespace`` answers at ``address`` and forwards to no address it binds, that of the cluster's DNS
    Service among them where it takes that over. ``pods_ask`` is what the kubelets of a new cluster tell pods.
    """

    namespace: str
    address: str
    pods_ask: str
    id: str = f"{NODE_LOCAL}/asks-others"
    title: str = "the cache on each node asks CoreDNS, and never itself"

    def check(self, view: NodeView) -> CheckResult:
        """Compares what its configuration binds and forwards to, with the Service it is to ask."""
        corefile = _data(_read(view, self.namespace, "configmap", NODE_LOCAL), "data", "Corefile")
        upstream = _data(_read(view, self.namespace, "service", UPSTREAM_SERVICE), "spec", "clusterIP")
        wanted = ("prove that it does not ask itself",)
        if corefile is None or upstream is None:
            missing = f"configmap {NODE_LOCAL}" if corefile is None else f"service {UPSTREAM_SERVICE}"
            return CheckResult(False, f"{missing} cannot be read in {self.namespace}", wanted)
        bound = {self.address, *_words_after(corefile, "bind")}
        forwards = _words_after(corefile, "forward", skipped=1)
        asked = list(dict.fromkeys(upstream if word == _FILLED_BY_ITSELF else word for word in forwards))
        servers = [server for word in asked for server in _servers(view, word)]
        own = sorted({server for server in servers if host_of(server) in bound})
        if own:
            return CheckResult(False, f"it forwards to {', '.join(own)}, where it answers itself", wanted)
        pods_ask = pods_ask_now(view) or self.pods_ask
        told = "" if pods_ask in bound else ", which is not the cache: the kubelets were set up before it"
        return CheckResult(True, f"asks {', '.join(asked) or 'nobody'}; pods ask {pods_ask}{told}", proof=True)

    def apply(self, node: Node) -> str:
        """Nothing can be done here: what it is configured with are the add-on's values."""
        raise StepError(
            "the cache on each node would ask itself until it times out",
            where=f"configmap {self.namespace}/{NODE_LOCAL}",
            wanted=f"forward to the Service {UPSTREAM_SERVICE}, and to no address it binds",
            got=self.check(node).detail,
            next_step=f"take what changes that out of addons.{NODE_LOCAL}.values in cluster.yaml",
        )


def pods_ask_now(view: NodeView) -> str | None:
    """The name server that this node's kubelet tells pods, or ``None`` before it is configured."""
    try:
        return str(yaml.safe_load(view.read_text(KUBELET_CONFIG) or "")["clusterDNS"][0])
    except (yaml.YAMLError, KeyError, TypeError, IndexError):
        return None


def _servers(view: NodeView, word: str) -> tuple[str, ...]:
    """The servers behind one word of ``forward``: itself, or those that a file on the node names."""
    return resolver.nameservers(view.read_text(word) or "") if word.startswith("/") else (word,)


def _words_after(corefile: str, plugin: str, *, skipped: int = 0) -> list[str]:
    """The words behind ``plugin`` in every server of a Corefile, without the first ``skipped`` of each."""
    lines = (line.partition("#")[0].replace("{", " ").split() for line in corefile.splitlines())
    return [word for words in lines if words[:1] == [plugin] for word in words[1 + skipped :]]


def _read(view: NodeView, namespace: str, kind: str, name: str) -> Any:
    said = view.query([KUBECTL, "--kubeconfig", ADMIN_KUBECONFIG, "get", kind, name, "-n", namespace, "-o", "json"])
    try:
        return json.loads(said.stdout) if said.ok else None
    except ValueError:
        return None


def _data(document: Any, *keys: str) -> str | None:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, str) else None
