"""Steps of a reset that take away what the table in :mod:`installer.leftovers` names, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from installer.execute import CheckResult, Step
from installer.leftovers import EVERYBODY, is_leftover_link, marks, owner_of
from installer.node import Node, NodeView
from installer.packetfilter import Network, Removals, VirtualServer, grouped, left_servers, removals, virtual_servers
from installer.steps.judged import judged
from installer.steps.reset import RemoveFiles

_TIMEOUT_SECONDS = 120.0
_FILTERS = (("iptables-nft", "iptables-legacy", "iptables"), ("ip6tables-nft", "ip6tables-legacy", "ip6tables"))
"""Per family: both generations by name where the machine has them side by side, else the one that is there."""
IPVS_TABLE = "/proc/net/ip_vs"
_IPVS_LINK = "kube-ipvs0"


@dataclass(frozen=True)
class RemoveRules:
    """No chains of Kubernetes and the pod networks in iptables and ip6tables; every other rule as it is."""

    owners: frozenset[str] = EVERYBODY
    id: str = "reset/packet-filter"
    title: str = "no packet filter rules of Kubernetes and the pod network"

    def check(self, view: NodeView) -> CheckResult:
        """No chain, jump or marked rule of theirs is left."""
        changes = [f"{program} {line}" for program, found in self._left(view) for line in found.told()]
        return judged(changes, "none")

    def apply(self, node: Node) -> str:
        """Deletes them, table by table, each in one go."""
        chains = rules = 0
        for program, found in self._left(node):
            restore = [f"{program}-restore", "--noflush"]
            node.run(restore, stdin=[found.script.encode()], timeout_seconds=_TIMEOUT_SECONDS)
            chains += sum(map(len, found.chains.values()))
            rules += sum(map(len, found.rules.values()))
        return f"{chains} chains and {rules} rules elsewhere deleted"

    def _left(self, view: NodeView) -> Iterator[tuple[str, Removals]]:
        for *both, plain in _FILTERS:
            there = [program for program in both if view.which(f"{program}-save")]
            for program in there or [plain]:
                if view.which(f"{program}-save"):
                    found = removals(
                        view.query([f"{program}-save"], timeout_seconds=_TIMEOUT_SECONDS).stdout, self.owners
                    )
                    if found.script:
                        yield program, found


@dataclass(frozen=True)
class RemoveTables:
    """No nft tables of Kubernetes and the pod networks."""

    owners: frozenset[str] = EVERYBODY
    id: str = "reset/nft"
    title: str = "no nft tables of Kubernetes and the pod network"

    def check(self, view: NodeView) -> CheckResult:
        """None of them is listed."""
        return judged([f"delete table {name}" for name in self._left(view)], "none")

    def apply(self, node: Node) -> str:
        """Deletes each whole."""
        left = self._left(node)
        for name in left:
            node.run(["nft", "delete", "table", *name.split()], timeout_seconds=_TIMEOUT_SECONDS)
        return ", ".join(left)

    def _left(self, view: NodeView) -> list[str]:
        if view.which("nft") is None:
            return []
        lines = view.query(["nft", "list", "tables"]).stdout.splitlines()
        names = (line.removeprefix("table ").strip() for line in lines)
        return [name for name in names if owner_of("table", name, self.owners)]


@dataclass(frozen=True)
class RemoveSets:
    """No address sets (ipset) of Kubernetes and the pod networks."""

    owners: frozenset[str] = EVERYBODY
    id: str = "reset/sets"
    title: str = "no address sets of Kubernetes and the pod network"

    def check(self, view: NodeView) -> CheckResult:
        """None of them is listed."""
        left = self._left(view)
        return judged([f"destroy {grouped(left)}"] if left else [], "none")

    def apply(self, node: Node) -> str:
        """Destroys them."""
        left = self._left(node)
        for name in left:
            node.run(["ipset", "destroy", name], timeout_seconds=_TIMEOUT_SECONDS)
        return f"{len(left)} destroyed"

    def _left(self, view: NodeView) -> list[str]:
        if view.which("ipset") is None:
            return []
        names = view.query(["ipset", "list", "-n"]).stdout.split()
        return [name for name in names if owner_of("set", name, self.owners)]


@dataclass(frozen=True)
class RemoveVirtualServers:
    """No virtual servers of kube-proxy's ipvs mode; those of the site stay."""

    pods: Network
    services: Network
    id: str = "reset/ipvs"
    title: str = "no virtual servers of kube-proxy"

    def check(self, view: NodeView) -> CheckResult:
        """None is left, or none can be removed here."""
        left = self.left(view)
        if left and view.which("ipvsadm") is None:
            return CheckResult(True, f"{len(left)} stay until a reboot: no ipvsadm here")
        return judged([f"delete {server.protocol} {server.endpoint}" for server in left], "none")

    def apply(self, node: Node) -> str:
        """Deletes them one by one."""
        left = self.left(node)
        for server in left:
            option = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}[server.protocol]
            node.run(["ipvsadm", "-D", option, server.endpoint], timeout_seconds=_TIMEOUT_SECONDS)
        return f"{len(left)} deleted"

    def left(self, view: NodeView) -> tuple[VirtualServer, ...]:
        """kube-proxy's virtual servers that are there."""
        servers = virtual_servers(view.read_text(IPVS_TABLE) or "")
        if not servers:
            return ()
        own = _addresses(view, _IPVS_LINK)
        there = any(link.get("ifname") == _IPVS_LINK for link in _links(view))
        return left_servers(servers, own=own, pods=self.pods, services=self.services, has_link=there)


@dataclass(frozen=True)
class RemoveLinks:
    """No interfaces of the pod network; addresses of pods are gone from those that belong to a kernel module."""

    pods: Network
    owners: frozenset[str] = EVERYBODY
    id: str = "reset/links"
    title: str = "no interfaces of Kubernetes and the pod network"

    def check(self, view: NodeView) -> CheckResult:
        """None is there."""
        changes = [f"delete {name}" for name in self._left(view)]
        return judged([*changes, *(f"delete {address} from {name}" for name, address in self._strays(view))], "none")

    def apply(self, node: Node) -> str:
        """Deletes them, a bridge after its ports, which are known by it; with one end of a pair the other goes too."""
        left, strays = self._left(node), self._strays(node)
        for name in left:
            if any(link.get("ifname") == name for link in _links(node)):
                node.run(["ip", "link", "delete", name], timeout_seconds=_TIMEOUT_SECONDS)
        for name, address in strays:
            node.run(["ip", "addr", "del", address, "dev", name], timeout_seconds=_TIMEOUT_SECONDS)
        return ", ".join([*left, *(f"{address} on {name}" for name, address in strays)])

    def _left(self, view: NodeView) -> list[str]:
        names = []
        for link in sorted(_links(view), key=lambda link: "master" not in link):
            name, kind = str(link.get("ifname", "")), str((link.get("linkinfo") or {}).get("info_kind", ""))
            if is_leftover_link(name, kind, str(link.get("master", "")), self.owners):
                names.append(name)
        return names

    def _strays(self, view: NodeView) -> list[tuple[str, str]]:
        there = {str(link.get("ifname")) for link in _links(view)}
        names = (name for name in marks("address on", self.owners) if name in there)
        found = [(name, address) for name in names for address in _addresses(view, name)]
        return [(name, f"{address}/32") for name, address in found if _lies_in(f"{address}/32", self.pods)]


@dataclass(frozen=True)
class RemoveRoutes:
    """No routes that a pod network's routing daemon set; ``pods`` tells them from those of the site's own daemon."""

    pods: Network
    owners: frozenset[str] = EVERYBODY
    id: str = "reset/routes"
    title: str = "no routes of the pod network's routing daemon"

    def check(self, view: NodeView) -> CheckResult:
        """None is there."""
        return judged([f"delete route {' '.join(route)}" for route in self._left(view)], "none")

    def apply(self, node: Node) -> str:
        """Deletes each by its exact words."""
        left = self._left(node)
        for route in left:
            node.run(["ip", "route", "del", *route], timeout_seconds=_TIMEOUT_SECONDS)
        return f"{len(left)} deleted"

    def _left(self, view: NodeView) -> list[tuple[str, ...]]:
        site_has_bird = view.which("bird") is not None
        found = []
        for route in _listed(view, ("ip", "-j", "route", "show")):
            protocol, target = str(route.get("protocol", "")), str(route.get("dst", ""))
            if owner_of("route", protocol, self.owners) and (_lies_in(target, self.pods) or not site_has_bird):
                found.append(_route_words(route, target, protocol))
        return found


def remove_leftovers(pods: str, services: str) -> tuple[Step, ...]:
    """The steps for a cluster with these two subnets, in an order that goes on well when it is cut off anywhere."""
    pod_network, service_network = ip_network(pods), ip_network(services)
    return (
        RemoveRules(),
        RemoveTables(),
        RemoveSets(),
        RemoveVirtualServers(pod_network, service_network),  # while kube-ipvs0 tells which they are
        RemoveLinks(pod_network),
        RemoveRoutes(pod_network),
        RemoveFiles("reset/copies", "no files that the pod network's pods copied here", marks("file")),
    )


def remove_leftovers_of(owners: frozenset[str], pods: str) -> tuple[Step, ...]:
    """The same for what single owners left on a node that stays in its cluster; nothing of Kubernetes' own."""
    network = ip_network(pods)
    return (
        RemoveRules(owners, id="network/rules", title="no packet filter rules of the old pod network"),
        RemoveTables(owners, id="network/tables", title="no nft tables of the old pod network"),
        RemoveSets(owners, id="network/sets", title="no address sets of the old pod network"),
        RemoveLinks(network, owners, id="network/links", title="no interfaces of the old pod network"),
        RemoveRoutes(network, owners, id="network/routes", title="no routes of the old pod network"),
        RemoveFiles("network/files", "no files of the old pod network", marks("file", owners)),
    )


def _links(view: NodeView) -> list[dict[str, Any]]:
    return _listed(view, ("ip", "-j", "-d", "link", "show"))


def _addresses(view: NodeView, name: str) -> list[str]:
    """Every IPv4 and IPv6 address on one interface that is more than its own link's."""
    infos = [
        info
        for link in _listed(view, ("ip", "-j", "addr", "show"))
        if link.get("ifname") == name
        for info in link.get("addr_info", [])
    ]
    return [str(info["local"]) for info in infos if info.get("scope") != "link" and info.get("local")]


def _listed(view: NodeView, argv: tuple[str, ...]) -> list[dict[str, Any]]:
    said = view.query(argv)
    try:
        document = json.loads(said.stdout or "[]") if said.ok else []
    except ValueError:
        return []
    return [item for item in document if isinstance(item, dict)]


def _route_words(route: dict[str, Any], target: str, protocol: str) -> tuple[str, ...]:
    kind = str(route.get("type", "unicast"))
    words = [target] if kind == "unicast" else [kind, target]
    for key, option in (("gateway", "via"), ("dev", "dev")):
        if route.get(key):
            words += [option, str(route[key])]
    return (*words, "proto", protocol)


def _lies_in(target: str, network: Network) -> bool:
    try:
        inner = ip_network(target)
    except ValueError:  # "default"
        return False
    return inner.version == network.version and inner.subnet_of(network)  # type: ignore[arg-type]
