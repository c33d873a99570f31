"""The values an add-on is installed with: the bundle's own, filled with this cluster's facts, under the operator's.

Pure, and everything that can be refused is refused here, before anything is changed.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from installer.bundle.addon import BundledAddon
from installer.bundle.index import BundleIndex
from installer.bundle.values import fill
from installer.config import ClusterConfig
from installer.errors import InputError
from installer.facts import Address
from installer.render import kubeadm as render

_POD_SUBNET = "${podSubnet}"
_DNS_ADDRESS_NUMBER = 10
"""kubeadm gives the cluster's DNS Service this address of the service network, counted from its first."""


def cluster_facts(
    config: ClusterConfig, node: render.NodeIdentity, kubernetes: str, addresses: Iterable[Address]
) -> dict[str, str]:
    """Every fact that values may name (see :data:`installer.bundle.values.SAMPLE`), of this cluster.

    ``addresses`` are those of this node; the one it is known by says what network the nodes are in.
    """
    endpoint = render.endpoint_of(config, node)
    return {
        "apiHost": endpoint.host,
        "apiPort": str(endpoint.port),
        "clusterDNS": str(ipaddress.ip_network(config.service_subnet)[_DNS_ADDRESS_NUMBER]),
        "dnsDomain": config.dns_domain,
        "kubernetes": f"v{kubernetes.lstrip('v')}",
        "nodeNetwork": _network_of(node.address, addresses),
        "podSubnet": config.pod_subnet,
        "serviceSubnet": config.service_subnet,
    }


def values_of(addon: BundledAddon, config: ClusterConfig, facts: Mapping[str, str]) -> dict[str, Any]:
    """What ``addon`` is installed with; :class:`InputError` if that gives pods other addresses than kubeadm does."""
    values: dict[str, Any] = fill(merged(addon.values, config.addons.get(addon.name, {})), facts)
    if addon.kind == "cni":
        for path, found in _disagreeing(addon.values, values, config.pod_subnet):
            raise InputError(
                f"{addon.name} and kubeadm would give pods different addresses",
                where=f"cluster.yaml, addons.{addon.name}.values{path}",
                wanted=f"{config.pod_subnet}, which is podSubnet",
                got=json.dumps(found)[:200],
                next_step="set podSubnet, and leave this value out: it follows podSubnet",
            )
    return values


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``under`` as Helm lays values: mappings key by key, everything else (lists too) as a whole."""
    out = dict(under)
    for key, value in over.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out


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


def pod_network(index: BundleIndex) -> BundledAddon | None:
    """The add-on that is the bundle's pod network; it has at most one."""
    return next((addon for addon in index.addons if addon.kind == "cni"), None)


def addon_notes(index: BundleIndex) -> Iterator[str]:
    """What an operator should know of the bundle's add-ons before they are installed."""
    for addon in index.addons:
        what = "pod network" if addon.kind == "cni" else "add-on"
        yield f"{what} {addon.name} {addon.version} (chart {addon.source.trust}, {addon.source.origin})"
        yield from addon.notes


def _network_of(address: str, addresses: Iterable[Address]) -> str:
    """The first address of the network that ``address`` is in: where the way to it leads, the other nodes are.

    A node's own address would not do, as the way to that leads nowhere; nor the default route, which may not exist.
    """
    prefix_length = next((item.prefix_length for item in addresses if item.address == address), None)
    network = address if prefix_length is None else f"{address}/{prefix_length}"
    return str(ipaddress.ip_network(network, strict=False).network_address)


def _disagreeing(template: Any, values: Any, subnet: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """Where ``template`` asks for the pod subnet alone and ``values`` have something else, and what."""
    if template == _POD_SUBNET and values != subnet:
        yield path, values
    elif isinstance(template, Mapping):
        for key, below in template.items():
            found = values.get(key) if isinstance(values, Mapping) else None
            yield from _disagreeing(below, found, subnet, f"{path}.{key}")
    elif isinstance(template, list):
        for number, below in enumerate(template):
            found = values[number] if isinstance(values, list) and number < len(values) else None
            yield from _disagreeing(below, found, subnet, f"{path}[{number}]")
