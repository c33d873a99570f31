"""What Kubernetes and the pod networks leave on a machine after ``kubeadm reset``: one table, and who left each thing.

A row names a kind of thing, the pattern its name has (``*`` stands for any further letters), and whose it is. Only
what a row names is ever removed; whatever no row names belongs to the site.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Kind = Literal["chain", "comment", "set", "table", "link", "port of", "address on", "route", "file"]


@dataclass(frozen=True)
class Leftover:
    """One row. ``mark`` is a name's pattern; see the notes on kinds below for what else must be true."""

    kind: Kind
    mark: str
    owner: str

    def fits(self, kind: Kind, name: str) -> bool:
        """Whether a thing of this kind and name is what this row means."""
        return kind == self.kind and fnmatchcase(name, self.mark)


LEFTOVERS = (
    # chain: of iptables and ip6tables, with the rules in it and every jump to it.
    Leftover("chain", "KUBE-*", "Kubernetes"),
    Leftover("chain", "CNI-*", "CNI plugins"),
    Leftover("chain", "FLANNEL-*", "Flannel"),
    Leftover("chain", "cali-*", "Calico"),
    Leftover("chain", "CILIUM_*", "Cilium"),
    Leftover("chain", "OLD_CILIUM_*", "Cilium"),
    # comment: of single rules in the site's own chains.
    Leftover("comment", "NodeLocal DNS Cache: *", "node-local DNS"),
    Leftover("comment", "flanneld masq", "Flannel"),
    Leftover("comment", "flanneld forward", "Flannel"),
    Leftover("comment", "cali:*", "Calico"),
    Leftover("comment", "cilium-feeder: *", "Cilium"),
    # set: of ipset.
    Leftover("set", "KUBE-*", "Kubernetes"),
    Leftover("set", "cali40*", "Calico"),
    Leftover("set", "cali4t*", "Calico"),
    Leftover("set", "cali60*", "Calico"),
    Leftover("set", "cali6t*", "Calico"),
    # table: of nft, family first.
    Leftover("table", "ip kube-proxy", "Kubernetes"),
    Leftover("table", "ip6 kube-proxy", "Kubernetes"),
    Leftover("table", "ip flannel-ipv4", "Flannel"),
    Leftover("table", "ip6 flannel-ipv6", "Flannel"),
    Leftover("table", "ip calico", "Calico"),
    Leftover("table", "ip6 calico", "Calico"),
    Leftover("table", "inet cni_plugins_masquerade", "CNI plugins"),
    Leftover("table", "inet cni_hostport", "CNI plugins"),
    # link: a network interface, with its addresses and routes.
    Leftover("link", "kube-ipvs0", "Kubernetes"),
    Leftover("link", "nodelocaldns", "node-local DNS"),
    Leftover("link", "cni0", "CNI plugins"),
    Leftover("link", "flannel.1", "Flannel"),
    Leftover("link", "flannel-v6.1", "Flannel"),
    Leftover("link", "flannel-wg", "Flannel"),
    Leftover("link", "flannel-wg-v6", "Flannel"),
    Leftover("link", "vxlan.calico", "Calico"),
    Leftover("link", "vxlan-v6.calico", "Calico"),
    Leftover("link", "wireguard.cali", "Calico"),
    Leftover("link", "wg-v6.cali", "Calico"),
    Leftover("link", "cali[0-9a-f]*", "Calico"),
    Leftover("link", "cilium_*", "Cilium"),
    Leftover("link", "lxc_health", "Cilium"),
    Leftover("link", "lxc[0-9a-f]*", "Cilium"),
    # port of: interfaces whose bridge this is; a pod's end that outlived the pod.
    Leftover("port of", "cni0", "CNI plugins"),
    # address on: addresses of pods on an interface that itself belongs to a kernel module.
    Leftover("address on", "tunl0", "Calico"),
    # route: by the protocol that set it. The site may run a BIRD of its own: then only routes to pods are Calico's.
    Leftover("route", "bird", "Calico"),
    Leftover("route", "80", "Calico"),
    # file: programs and settings that a network's pods copy to the host.
    Leftover("file", "/opt/cni/bin/flannel", "Flannel"),
    Leftover("file", "/opt/cni/bin/calico", "Calico"),
    Leftover("file", "/opt/cni/bin/calico-ipam", "Calico"),
    Leftover("file", "/opt/cni/bin/cilium-cni", "Cilium"),
    Leftover("file", "/etc/cni/net.d/10-flannel.conflist", "Flannel"),
    Leftover("file", "/etc/cni/net.d/10-calico.conflist", "Calico"),
    Leftover("file", "/etc/cni/net.d/calico-kubeconfig", "Calico"),
    Leftover("file", "/etc/cni/net.d/05-cilium.conflist", "Cilium"),
)

EVERYBODY = frozenset(row.owner for row in LEFTOVERS)
KEPT_WHILE_USED = ("CNI-ADMIN",)
"""Chains that a plugin makes for the administrator's rules: removed only where nobody wrote one."""
LINK_KINDS = {"cali[0-9a-f]*": "veth", "lxc[0-9a-f]*": "veth", "lxc_health": "veth"}
"""What an interface of a row must be besides its name, where the name alone could be the site's."""


def owner_of(kind: Kind, name: str, owners: frozenset[str] = EVERYBODY) -> str | None:
    """Who of ``owners`` left the thing of this kind and name, or ``None``: then it is the site's, or of another."""
    return next((row.owner for row in LEFTOVERS if row.owner in owners and row.fits(kind, name)), None)


def is_leftover_link(name: str, link_kind: str, bridge: str, owners: frozenset[str] = EVERYBODY) -> bool:
    """Whether an interface was left behind: by its name and what it is, or as a port of such a bridge."""
    for row in LEFTOVERS:
        if row.owner in owners and row.fits("link", name) and LINK_KINDS.get(row.mark, link_kind) == link_kind:
            return True
    return link_kind == "veth" and owner_of("port of", bridge, owners) is not None


def marks(kind: Kind, owners: frozenset[str] = EVERYBODY) -> tuple[str, ...]:
    """The patterns of all rows of one kind."""
    return tuple(row.mark for row in LEFTOVERS if row.kind == kind and row.owner in owners)
