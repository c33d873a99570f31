"""Where a cluster's API is reached, and which machines its nodes are: two parts of ``cluster.yaml``.

``direct`` is the first control plane's own address. ``local`` is a HAProxy on every node that leads to whichever
control plane answers; it asks nothing of the network. ``external`` is a load balancer of the site's, ``kube-vip`` an
address that moves between the control planes by ARP.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from installer.bundle.roles import ROLES
from installer.bundle.strict import Fields
from installer.errors import InputError
from installer.settings import API_PORT, Endpoint, named

MODES = ("direct", "local", "external", "kube-vip")
LOCAL_NAME = "k8s-api"
"""What the nodes call their own HAProxy; ``/etc/hosts`` on each leads it to 127.0.0.1."""
LOCAL_ADDRESS = "127.0.0.1"
LOCAL_PORT = 16443
_HIGHEST_LOCAL_PORT = 65534  # the port above it answers the liveness probe


@dataclass(frozen=True)
class ClusterNode:
    """One machine of the cluster: its node name, the address the others reach it at, its role."""

    name: str
    address: str
    role: str

    @classmethod
    def read(cls, fields: Fields) -> ClusterNode:
        """A node from its mapping."""
        node = cls(
            named(fields, "name", "") or "",
            fields.parsed("address", _address) or "",
            fields.choice("role", ROLES),
        )
        if "name" not in fields:
            fields.note("name", "missing, wanted the node's name")
        fields.finish()
        return node

    def to_dict(self) -> dict[str, str]:
        """The mapping :meth:`read` takes."""
        return {"name": self.name, "address": self.address, "role": self.role}

    def __str__(self) -> str:
        return f"{self.name} {self.address} {self.role}"


@dataclass(frozen=True)
class ApiEndpoint:
    """The mode (``None``: by the number of control planes), and what belongs to some modes only.

    ``address`` is the load balancer, the moving address, or for ``direct`` the first control plane; ``port`` is where
    the local HAProxy listens; ``interface`` is where kube-vip puts its address, ``unproven`` says to go on with it
    though nobody saw the address move.
    """

    mode: str | None = None
    address: Endpoint | None = None
    port: int = LOCAL_PORT
    interface: str | None = None
    unproven: bool = False

    @classmethod
    def read(cls, fields: Fields) -> ApiEndpoint:
        """The endpoint from its mapping."""
        endpoint = cls(
            fields.choice("mode", MODES, None),
            fields.parsed("address", Endpoint.parse, None),
            fields.integer("port", LOCAL_PORT, least=1024, most=_HIGHEST_LOCAL_PORT),
            fields.text("interface", None),
            fields.boolean("unproven", False),
        )
        fields.finish()
        return endpoint

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes: what all nodes must agree on, without what its mode does not use."""
        values = {
            "mode": self.mode,
            "address": str(self.address) if self.address else None,
            "port": self.port if self.mode == "local" else None,
            "interface": self.interface,
        }
        return {key: value for key, value in values.items() if value is not None}


def read_nodes(fields: Fields) -> tuple[ClusterNode, ...]:
    """The machines under ``nodes``; none where the file does not name them."""
    nodes = tuple(ClusterNode.read(item) for item in fields.mappings("nodes", optional=True))
    _demand_unique(fields, nodes, "name")
    _demand_unique(fields, nodes, "address")
    if nodes and not control_planes(nodes):
        fields.note("nodes", "wanted at least one with role cp")
    return nodes


def mode_of(endpoint: ApiEndpoint, nodes: tuple[ClusterNode, ...]) -> str:
    """The mode as chosen; else ``local`` for more than one control plane and ``direct`` for one."""
    return endpoint.mode or ("local" if len(control_planes(nodes)) > 1 else "direct")


def control_planes(nodes: tuple[ClusterNode, ...]) -> tuple[ClusterNode, ...]:
    """Those of ``nodes`` that are control planes."""
    return tuple(node for node in nodes if node.role == "cp")


def endpoint_of(endpoint: ApiEndpoint) -> Endpoint:
    """Where every node reaches the API, by an endpoint whose mode and address are settled."""
    if endpoint.mode == "local":
        return Endpoint(LOCAL_NAME, endpoint.port)
    if endpoint.address is None:
        raise ValueError(f"an endpoint of mode {endpoint.mode} without an address is not settled")
    return endpoint.address


def demand_usable(fields: Fields, endpoint: ApiEndpoint, nodes: tuple[ClusterNode, ...]) -> None:
    """Notes what the mode needs and has not, and what was given and no mode would use."""
    mode = mode_of(endpoint, nodes)
    if mode in ("external", "kube-vip") and endpoint.address is None:
        fields.note("endpoint.address", f"missing, wanted for {mode}")
    if mode == "local" and endpoint.address is not None:
        fields.note("endpoint.address", "a local endpoint has none: every node asks its own HAProxy")
    if mode == "local" and not control_planes(nodes):
        fields.note("nodes", "missing, wanted for local: the control planes its HAProxy leads to")
    if mode == "direct" and len(control_planes(nodes)) > 1:
        fields.note("endpoint.mode", f"direct is for one control plane; nodes names {len(control_planes(nodes))}")
    if endpoint.interface is not None and mode != "kube-vip":
        fields.note("endpoint.interface", f"is for kube-vip; the mode is {mode}")
    if endpoint.unproven and mode != "kube-vip":
        fields.note("endpoint.unproven", f"is for kube-vip; the mode is {mode}")
    if mode == "kube-vip" and endpoint.address is not None:
        _demand_moving(fields, endpoint.address, nodes)


def _demand_moving(fields: Fields, address: Endpoint, nodes: tuple[ClusterNode, ...]) -> None:
    try:
        moving = str(ipaddress.ip_address(address.host))
    except ValueError:
        fields.note("endpoint.address", f"wanted an address for kube-vip, got the name {address.host}")
        return
    if address.port != API_PORT:
        fields.note("endpoint.address", f"kube-vip leads to the API's own port, {API_PORT}, got {address.port}")
    for node in nodes:
        if node.address == moving:
            fields.note("endpoint.address", f"wanted an address of its own, {moving} is {node.name}'s (nodes)")


def _demand_unique(fields: Fields, nodes: tuple[ClusterNode, ...], attribute: str) -> None:
    first: dict[str, tuple[int, ClusterNode]] = {}
    for number, node in enumerate(nodes):
        value = getattr(node, attribute)
        if not value:
            continue
        known, other = first.setdefault(value, (number, node))
        if known != number:
            fields.note(f"nodes[{number}].{attribute}", f"{value} is twice: nodes[{known}] is {other}, this is {node}")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InputError("not an address", wanted="an IP address", got=text[:100]) from None
