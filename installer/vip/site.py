"""Who takes part in a probe: this machine and the other control planes as ``nodes`` names them, and the address."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from installer import probes
from installer.config import ClusterConfig
from installer.endpoint import ClusterNode
from installer.errors import InputError
from installer.node import NodeView
from installer.settings import API_PORT

_WHERE = "cluster.yaml"
_DEFAULT = "the default, endpoint.mode local, needs no address that moves"


@dataclass(frozen=True)
class Site:
    """The moving ``address``, the ``interface`` it belongs on here, this control plane, and the others."""

    address: str
    interface: str
    here: ClusterNode
    others: tuple[ClusterNode, ...]

    @property
    def port(self) -> int:
        """Where the API will listen, and the holder does until then."""
        return API_PORT

    def other(self, name: str, address: str) -> ClusterNode | None:
        """The other control plane of this name and address, if ``nodes`` names it."""
        return next((node for node in self.others if (node.name, node.address) == (name, address)), None)


def site_of(view: NodeView, config: ClusterConfig) -> Site:
    """What ``config`` says of a probe on this machine; :class:`InputError` where there is none to make."""
    address = _moving_address(config)
    planes = config.control_planes
    addresses = {found: interface for found, _, interface, *_ in probes.addresses(view)}
    here = next((plane for plane in planes if plane.address in addresses), None)
    if here is None:
        raise InputError(
            "this machine is none of the control planes",
            where=f"{_WHERE}, nodes",
            wanted=", ".join(f"{plane.name} {plane.address}" for plane in planes) or "two control planes",
            got=", ".join(sorted(addresses)) or "a machine without an address",
            next_step="name it in nodes, or run this on a machine that is named there",
        )
    others = tuple(plane for plane in planes if plane != here)
    if not others:
        raise InputError(
            "a probe needs two control planes",
            where=f"{_WHERE}, nodes",
            wanted="one that holds the address and another that asks for it",
            got=f"{here.name} {here.address} alone",
            next_step=f"name the others in nodes; or leave endpoint out: {_DEFAULT}",
        )
    interface = config.endpoint.interface or addresses[here.address]
    known = [str(link.get("ifname")) for link in links(view)]
    if interface not in known:
        raise InputError(
            "there is no such interface",
            where=f"{_WHERE}, endpoint.interface",
            wanted=interface,
            got=", ".join(known),
            next_step="correct it, or leave it out: then it is the one with the node's address",
        )
    return Site(address, interface, here, others)


def _moving_address(config: ClusterConfig) -> str:
    endpoint = config.endpoint.address
    if config.endpoint_mode != "kube-vip" or endpoint is None:
        raise InputError(
            "there is no moving address to try",
            where=f"{_WHERE}, endpoint.mode",
            wanted="kube-vip",
            got=config.endpoint_mode,
            next_step="give --config with the cluster.yaml that says so; no other mode needs a probe",
        )
    if ipaddress.ip_address(endpoint.host).version != 4:
        raise InputError(
            "the probe is made with ARP, which is for IPv4",
            where=f"{_WHERE}, endpoint.address",
            wanted="an IPv4 address",
            got=endpoint.host,
            next_step=f"endpoint.unproven: true goes on without it; {_DEFAULT}",
        )
    return endpoint.host


def links(view: NodeView) -> list[dict[str, Any]]:
    """The interfaces of this machine with their addresses, as ``ip`` tells them."""
    return _listed(view, "addr", "show")


def held_here(view: NodeView, site: Site) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where this machine has the moving address itself: the interface, and what ``ip`` says of the address."""
    for link in links(view):
        for item in link.get("addr_info", ()):
            if item.get("local") == site.address:
                yield str(link.get("ifname")), item


def neighbour_mac(view: NodeView, address: str) -> str | None:
    """The MAC that packets to ``address`` are sent to; ``None`` if it is not known or is not on this network."""
    for row in _listed(view, "neigh", "show", address):
        if row.get("lladdr"):
            return str(row["lladdr"])
    return None


def neighbour_told(view: NodeView, address: str) -> str:
    """What the neighbour table has of ``address``, for a message."""
    for row in _listed(view, "neigh", "show", address):
        state = ", ".join(row.get("state", ())).lower()
        return f"{row.get('lladdr', 'no MAC')} ({state})"
    return "no entry: it is not asked for by ARP from here"


def owner_of_mac(view: NodeView, site: Site, mac: str) -> ClusterNode | None:
    """The other control plane whose own address is at ``mac``, as far as the neighbour table knows."""
    return next((node for node in site.others if neighbour_mac(view, node.address) == mac), None)


def _listed(view: NodeView, *words: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(view.query(["ip", "-j", *words]).demand().stdout or "[]")
    except ValueError:
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
