"""CoreDNS' configuration in the cluster: ours in the ConfigMap that kubeadm made; CoreDNS itself takes it up."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass

import yaml

from installer.dns import DnsSettings
from installer.execute import CheckResult
from installer.installed import STATE_FOLDER
from installer.node import Node, NodeView
from installer.render import resolver
from installer.render.corefile import NODE_FILE, corefile
from installer.render.kubeadm import ADMIN_KUBECONFIG
from installer.steps.cluster import KUBECTL
from installer.steps.judged import judged
from installer.steps.kubeadm import KUBELET_CONFIG
from installer.steps.textfile import is_written

PATH = "/etc/airgap-bundle/Corefile"
"""What was put into the cluster, for ``status`` to compare with."""
KEPT_PATH = f"{STATE_FOLDER}/Corefile.before-airgap-bundle"
"""What was in the cluster before that: kubeadm's, or what somebody had written since."""
_CONFIG_MAP = ("configmap", "coredns", "-n", "kube-system")
_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class CoreDnsConfig:
    """The Corefile of ``dns`` for the cluster's ``domain`` in ``kube-system/coredns``; nothing else of it is touched.

    The first control plane has this step and no other node: who is asked for outside names may follow from its own
    resolver file, and two nodes that differ there would take turns in writing.
    """

    dns: DnsSettings
    domain: str
    id: str = "dns/coredns"
    title: str = "CoreDNS configured as cluster.yaml says"

    def check(self, view: NodeView) -> CheckResult:
        """The cluster has it, byte for byte; else what would change, line by line."""
        asked = upstreams(view, self.dns)
        wanted, live = corefile(self.dns, self.domain, asked), live_corefile(view)
        told = f"outside names asked of {', '.join(asked) or 'nobody'}"
        if live is None:
            return CheckResult(False, "not there yet", (f"write kube-system/coredns: {told}",))
        changes = [f"write kube-system/coredns: {told}", *_difference(live, wanted)] if live != wanted else []
        if not is_written(view, PATH, wanted):
            changes.append(f"write {PATH}")
        return judged(changes, told)

    def apply(self, node: Node) -> str:
        """Keeps what is there, and replaces it. CoreDNS takes the new one within two minutes, or keeps the old."""
        asked = upstreams(node, self.dns)
        wanted, live = corefile(self.dns, self.domain, asked), live_corefile(node)
        if live != wanted:
            if live is not None:
                node.write_file(KEPT_PATH, live.encode(), mode=0o600)
            patch = json.dumps({"data": {"Corefile": wanted}})
            argv = [KUBECTL, "--kubeconfig", ADMIN_KUBECONFIG, "patch", *_CONFIG_MAP, "--type", "merge", "-p", patch]
            node.run(argv, timeout_seconds=_TIMEOUT_SECONDS)
        node.write_file(PATH, wanted.encode())
        return f"outside names asked of {', '.join(asked) or 'nobody'}"


def upstreams(view: NodeView, dns: DnsSettings) -> tuple[str, ...]:
    """Whom CoreDNS asks for names that are nobody's here: as configured, else whom the kubelet's resolver file names.

    Where that file is ours, or leads to the pod itself, nobody.
    """
    if dns.upstreams is not None:
        return dns.upstreams
    path = _kubelet_resolver(view)
    if path is None:
        return (NODE_FILE,) if resolver.usable({name: view.read_text(name) for name in resolver.CANDIDATES}) else ()
    return (NODE_FILE,) if path != resolver.OWN_PATH and resolver.leads_out(view.read_text(path)) else ()


def live_corefile(view: NodeView) -> str | None:
    """The Corefile in the cluster, or ``None`` where there is none or the API does not answer."""
    said = view.query([KUBECTL, "--kubeconfig", ADMIN_KUBECONFIG, "get", *_CONFIG_MAP, "-o", "json"])
    try:
        return str(json.loads(said.stdout)["data"]["Corefile"]) if said.ok else None
    except (ValueError, KeyError, TypeError):
        return None


def _kubelet_resolver(view: NodeView) -> str | None:
    """The resolver file of this node's kubelet; ``None`` before it is configured."""
    try:
        return str(yaml.safe_load(view.read_text(KUBELET_CONFIG) or "")["resolvConf"])
    except (yaml.YAMLError, KeyError, TypeError):
        return None


def _difference(live: str, wanted: str) -> list[str]:
    lines = difflib.unified_diff(live.splitlines(), wanted.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]
