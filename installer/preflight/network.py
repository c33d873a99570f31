"""Checks of the network: ports, address plan, firewall. And which address is the node's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from installer.check import Finding, check, ok, problem, warn
from installer.config import ClusterConfig
from installer.errors import InputError
from installer.facts import Address, NodeFacts
from installer.ports import CONTROL_PLANE_PORTS, KUBE_PROXY_PORTS, NODE_PORTS
from installer.preflight.subject import Subject


def choose_address(facts: NodeFacts, config: ClusterConfig, wanted: str | None) -> Address:
    """The node's address: the one asked for, or the only one there is; :class:`InputError` lists the candidates.

    Only addresses of the pod network's family count: an IPv6 address beside an IPv4 one leaves nothing to ask.
    """
    family = ipaddress.ip_network(config.pod_subnet).version
    candidates = [item for item in facts.addresses if ipaddress.ip_address(item.address).version == family]
    listing = "\n".join(f"{item.address}  on {item.interface}" for item in candidates) or "none"
    if wanted is not None:
        for item in candidates:
            if _same(item.address, wanted):
                return item
        raise InputError(
            "the address is not on this machine",
            where=f"--address {wanted}",
            wanted=f"one of this machine's IPv{family} addresses (podSubnet is IPv{family})",
            got=listing,
            next_step="give --address one of these; 'ip addr' shows all of them",
        )
    if facts.installed is not None:
        for item in candidates:
            if item.address == facts.installed.address:
                return item
    if len(candidates) == 1:
        return candidates[0]
    raise InputError(
        "no address to use" if not candidates else "more than one address could be the node's",
        where="--address",
        wanted="one address that the other nodes reach this one at",
        got=listing,
        next_step="bring an interface up with an address" if not candidates else "say which one with --address",
    )


@check("address", reads="this machine's addresses")
def address(subject: Subject) -> Finding:
    """The node's address must not lie in the networks of pods or Services: its packets would be taken for theirs."""
    own = ipaddress.ip_address(subject.address)
    for field, text in (("podSubnet", subject.config.pod_subnet), ("serviceSubnet", subject.config.service_subnet)):
        if own in ipaddress.ip_network(text):
            why = f"{field} {text} holds it: packets to the node would be taken for the cluster's own"
            return problem("address", subject.address, why, f"another {field} in cluster.yaml")
    return ok("address", subject.address)


@check("address-plan", reads="addresses and routes of this machine, podSubnet and serviceSubnet")
def address_plan(subject: Subject) -> Finding:
    """The networks this machine is in or has routes to must not overlap those of pods and Services: one side of the
    overlap would not be reached, from pods or from nodes.
    """
    for network, place in _networks(subject):
        for field in ("podSubnet", "serviceSubnet"):
            text = subject.config.pod_subnet if field == "podSubnet" else subject.config.service_subnet
            planned = ipaddress.ip_network(text)
            if network.version == planned.version and network.overlaps(planned):
                why = f"{field} {planned} overlaps it: one side would not be reached"
                return problem("address-plan", f"{network} {place}", why, f"another {field} in cluster.yaml")
    return ok("address-plan", f"pods {subject.config.pod_subnet}, services {subject.config.service_subnet}")


def _networks(subject: Subject) -> Iterator[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str]]:
    """The node's networks, and those it has routes to; an installed node's routes are the cluster's work."""
    for item in subject.facts.addresses:
        yield ipaddress.ip_network(f"{item.address}/{item.prefix_length}", strict=False), f"on {item.interface}"
    if not subject.again:
        for route in subject.facts.routes:
            yield ipaddress.ip_network(route.network, strict=False), f"routed through {route.interface}"


@check("ports", reads="/proc/net/tcp, /proc/net/tcp6")
def ports(subject: Subject) -> Finding:
    """Nothing else may listen where the cluster's programs will: they would not start, or another would answer."""
    if subject.again:
        return ok("ports", "in use by this install")
    wanted = _ports(subject) | _endpoint_ports(subject)
    taken = [port for port in sorted(wanted) if port in subject.facts.listening_ports]
    if taken:
        seen = ", ".join(f"{port} ({wanted[port]})" for port in taken)
        holders = {name: True for port in taken if (name := subject.facts.listeners.get(port))}
        why = f"{', '.join(holders)} listens there" if holders else "another program listens there"
        return problem("ports", f"taken: {seen}", why, "stop it: ss -ltnp shows which one")
    return ok("ports", f"{len(wanted)} free")


def _ports(subject: Subject) -> dict[int, str]:
    proxy = KUBE_PROXY_PORTS if subject.config.kube_proxy_mode != "none" else {}
    return NODE_PORTS | proxy | (CONTROL_PLANE_PORTS if subject.role == "cp" else {})


def _endpoint_ports(subject: Subject) -> dict[int, str]:
    port = subject.config.endpoint.port
    return {port: "local API endpoint", port + 1: "its health"} if subject.config.endpoint_mode == "local" else {}


@check("firewall", reads="systemctl is-active")
def firewall(subject: Subject) -> Finding:
    """A firewall on the node must let the cluster's own traffic through; the install does not change its rules.

    Closed ports show as nodes that are not ready, logs that cannot be read, and DNS that times out on some nodes only.
    """
    active = subject.facts.firewalls
    if not active:
        return ok("firewall", "none active")
    tcp = sorted(_ports(subject))
    why = f"nodes need TCP {', '.join(map(str, tcp))} and the pod network's traffic between them"
    return warn("firewall", f"{', '.join(active)} active", why, "open them between the nodes")


@check("route", reads="/proc/net/route, /proc/net/ipv6_route")
def route(subject: Subject) -> Finding:
    """No default route is needed: kubeadm is told the address and never has to guess one."""
    return ok("route", "default route present" if subject.facts.has_default_route else "no default route, none needed")


@check("mtu", reads="ip addr, and join.yaml")
def mtu(subject: Subject) -> Finding:
    """The interfaces of all nodes must take packets of one size, or the largest ones vanish between two that do not:
    small requests work, and large answers hang.
    """
    found = next((item for item in subject.facts.addresses if item.address == subject.address), None)
    own, there = found.mtu_bytes if found else 0, subject.cluster_mtu_bytes
    seen = f"{own} on {found.interface}" if found and own else "not told"
    if not own or not there or own == there:
        return ok("mtu", seen)
    why = f"the first control plane has {there}: between the two, packets larger than {min(own, there)} vanish unseen"
    return warn("mtu", seen, why, "the same MTU on every node's interface, and on the switches between them")


def _same(left: str, right: str) -> bool:
    try:
        return ipaddress.ip_address(left) == ipaddress.ip_address(right)
    except ValueError:
        return False


CHECKS = (address, address_plan, ports, firewall, route, mtu)
