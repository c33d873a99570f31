"""The values an add-on is installed with: the bundle's own, filled with this cluster's facts, under the operator's.

Pure, and everything that can be refused is refused here, before anything is changed.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from installer.bundle.addon import BundledAddon
from installer.bundle.hostneeds import HostNeeds
from installer.bundle.index import BundleIndex
from installer.bundle.values import fill, merged
from installer.config import ClusterConfig
from installer.dns import NODE_LOCAL, service_address
from installer.errors import InputError
from installer.facts import Address
from installer.render import kubeadm as render

_POD_SUBNET = "${podSubnet}"
_PROXY_REPLACEMENT = "${kubeProxyReplacement}"
_APPROVER = "kubelet-csr-approver"
_VXLAN_OVERHEAD_BYTES = 50
_ETHERNET_MTU_BYTES = 1500
_WOULD = {
    "podSubnet": "give pods different addresses",
    "kubeProxy.mode": "both lead to Services, or neither",
}


def cluster_facts(
    config: ClusterConfig, node: render.NodeIdentity, kubernetes: str, addresses: Sequence[Address], *, proxy_mode: str
) -> dict[str, str]:
    """Every fact that values may name (see :data:`installer.bundle.values.SAMPLE`), of this cluster.

    ``addresses`` are those of this node; the one it is known by says what network the nodes are in. ``proxy_mode`` is
    kube-proxy's, ``none`` where the pod network does its work.
    """
    endpoint = render.endpoint_of(config, node)
    return {
        "apiHost": endpoint.host,
        "apiPort": str(endpoint.port),
        "clusterDNS": service_address(config.service_subnet),
        "dnsDomain": config.dns_domain,
        "kubeProxyReplacement": "true" if proxy_mode == "none" else "false",
        "kubernetes": f"v{kubernetes.lstrip('v')}",
        "nodeLocalDNS": config.dns.node_local_address,
        "nodeNames": _names_of(config),
        "nodeNetwork": str(_network_of(node.address, addresses).network_address),
        "nodePrefixes": ",".join(_prefixes_of(config, _network_of(node.address, addresses))),
        "podMTU": str(pod_mtu_bytes(node.address, addresses)),
        "podSubnet": config.pod_subnet,
        "proxyMode": proxy_mode,
        "serviceSubnet": config.service_subnet,
    }


def values_of(addon: BundledAddon, config: ClusterConfig, facts: Mapping[str, str]) -> dict[str, Any]:
    """What ``addon`` is installed with; :class:`InputError` where a pod network would not fit what kubeadm makes."""
    values: dict[str, Any] = fill(merged(addon.values, config.addons.get(addon.name, {})), facts)
    if addon.kind == "cni":
        _demand_agreement(addon, values, _POD_SUBNET, (config.pod_subnet,), "podSubnet")
        is_replaced = facts["kubeProxyReplacement"]
        _demand_agreement(addon, values, _PROXY_REPLACEMENT, (is_replaced, is_replaced == "true"), "kubeProxy.mode")
    return values


def _demand_agreement(
    addon: BundledAddon, values: Mapping[str, Any], placeholder: str, wanted: tuple[Any, ...], field: str
) -> None:
    """What the bundle's values take from ``field`` of cluster.yaml must not be said otherwise in the operator's."""
    for path, found in _disagreeing(addon.values, values, placeholder, wanted):
        raise InputError(
            f"{addon.name} and kubeadm would {_WOULD[field]}",
            where=f"cluster.yaml, addons.{addon.name}.values{path}",
            wanted=f"{wanted[0]}, which follows from {field}",
            got=json.dumps(found)[:200],
            next_step=f"set {field}, and leave this value out: it follows {field}",
        )


def replaces_kube_proxy(addon: BundledAddon) -> bool:
    """Whether a pod network can do kube-proxy's work: its values follow kube-proxy's mode."""
    return addon.kind == "cni" and _PROXY_REPLACEMENT in json.dumps(addon.values)


def demand_services(index: BundleIndex, proxy_mode: str) -> None:
    """:class:`InputError` for a cluster without kube-proxy in which nothing else leads to Services."""
    network = pod_network(index)
    if proxy_mode == "none" and (network is None or not replaces_kube_proxy(network)):
        raise InputError(
            "without kube-proxy no Service would be reached",
            where="cluster.yaml, kubeProxy.mode",
            wanted="a bundle whose pod network replaces kube-proxy, such as cilium",
            got=f"{network.name} {network.version}, which does not" if network else f"{index.name}, without a network",
            next_step="leave kubeProxy.mode out, or use a bundle built with --cni cilium",
        )


def approves_kubelets(index: BundleIndex) -> bool:
    """Whether the bundle brings what lets kubelets have serving certificates that the cluster's CA signed."""
    return any(addon.name == _APPROVER for addon in index.addons)


def has_node_local(index: BundleIndex) -> bool:
    """Whether the bundle brings the DNS cache on each node."""
    return any(addon.name == NODE_LOCAL for addon in index.addons)


def demand_known(index: BundleIndex, config: ClusterConfig) -> None:
    """:class:`InputError` for values of an add-on that the bundle does not have."""
    known = [addon.name for addon in index.addons]
    unknown = [name for name in config.addons if name not in known]
    if unknown:
        raise InputError(
            "the bundle has no such add-on",
            where=f"cluster.yaml, addons.{unknown[0]}",
            wanted=f"one of {', '.join(known)}" if known else f"no addons: {index.name} has none",
            got=", ".join(unknown),
            next_step="correct the name, or leave its values out",
        )


def host_needs(index: BundleIndex, role: str) -> HostNeeds:
    """What the bundle's add-ons need of a machine of ``role``."""
    needs = HostNeeds()
    for addon in index.addons:
        if role in addon.roles:
            needs |= addon.host
    return needs


def pod_network(index: BundleIndex) -> BundledAddon | None:
    """The add-on that is the bundle's pod network; it has at most one."""
    return next((addon for addon in index.addons if addon.kind == "cni"), None)


def addon_notes(index: BundleIndex) -> Iterator[str]:
    """What an operator should know of the bundle's add-ons before they are installed."""
    for addon in index.addons:
        what = "pod network" if addon.kind == "cni" else "add-on"
        yield f"{what} {addon.name} {addon.version} (chart {addon.source.trust}, {addon.source.origin})"
        yield from addon.notes


def pod_mtu_bytes(address: str, addresses: Iterable[Address]) -> int:
    """The largest packet of a pod that fits into VXLAN on the interface with ``address``, jumbo frames or not.

    A fact for who wants to say it: Flannel, Calico and Cilium find it by themselves, on each node for that node.
    """
    found = next((item.mtu_bytes for item in addresses if item.address == address), 0)
    return (found or _ETHERNET_MTU_BYTES) - _VXLAN_OVERHEAD_BYTES


def _names_of(config: ClusterConfig) -> str:
    """A regular expression of what nodes can be called: as in ``nodes``, or anything where that leaves workers out."""
    if any(node.role == "worker" for node in config.nodes):
        return f"^({'|'.join(re.escape(node.name) for node in config.nodes)})$"
    return ".*"


def _prefixes_of(config: ClusterConfig, network: IPv4Network | IPv6Network) -> Iterator[str]:
    """The networks that nodes' addresses are in: this node's, and each address in ``nodes`` that is in another one."""
    yield str(network)
    for node in config.nodes:
        if (address := ipaddress.ip_address(node.address)) not in network:
            yield str(ipaddress.ip_network(address))


def _network_of(address: str, addresses: Iterable[Address]) -> IPv4Network | IPv6Network:
    """The network that ``address`` is in, where the other nodes are, too.

    Its first address leads to them. A node's own would not do, as the way to that leads nowhere; nor the default
    route, which may not exist.
    """
    prefix_length = next((item.prefix_length for item in addresses if item.address == address), None)
    network = address if prefix_length is None else f"{address}/{prefix_length}"
    return ipaddress.ip_network(network, strict=False)


def _disagreeing(
    template: Any, values: Any, placeholder: str, wanted: tuple[Any, ...], path: str = ""
) -> Iterator[tuple[str, Any]]:
    """Where ``template`` asks for one fact alone and ``values`` have nothing of ``wanted`` there, and what instead."""
    if template == placeholder and values not in wanted:
        yield path, values
    elif isinstance(template, Mapping):
        for key, below in template.items():
            found = values.get(key) if isinstance(values, Mapping) else None
            yield from _disagreeing(below, found, placeholder, wanted, f"{path}.{key}")
    elif isinstance(template, list):
        for number, below in enumerate(template):
            found = values[number] if isinstance(values, list) and number < len(values) else None
            yield from _disagreeing(below, found, placeholder, wanted, f"{path}[{number}]")
