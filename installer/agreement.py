"""What the nodes of one cluster must agree on, and how a joining node comes to its configuration.

The first control plane writes its whole ``cluster.yaml`` into ``join.yaml``, with everything that was decided written
out. A joining node takes that, may have settings of its own beside it, and may not contradict it: kubeadm would not
notice, and two nodes would believe in different clusters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from installer.config import ClusterConfig
from installer.endpoint import LOCAL_ADDRESS, LOCAL_PORT
from installer.errors import InputError
from installer.settings import Endpoint
from installer.yamltext import dump_yaml, load_yaml

AGREED: dict[str, Callable[[ClusterConfig], Any]] = {
    "clusterName": lambda config: config.cluster_name,
    "nodes": lambda config: [node.to_dict() for node in config.nodes],
    "endpoint": lambda config: config.endpoint.to_dict(),
    "podSubnet": lambda config: config.pod_subnet,
    "serviceSubnet": lambda config: config.service_subnet,
    "dnsDomain": lambda config: config.dns_domain,
    "dns": lambda config: dict(config.document.get("dns") or {}),
    "certSANs": lambda config: list(config.cert_sans),
    "kubeProxy": lambda config: {"mode": config.kube_proxy_mode},
}
"""The fields that are one and the same on every node, and how each is written."""
_NODE_OWN = ("nodeName", "taints", "dataDisk", "tokenTTLSeconds")
_UNDECIDED = "auto"
_UNPROVEN = "unproven"
"""Of ``endpoint`` the one field that a node may decide for itself."""


def settled(config: ClusterConfig, *, address: str, proxy_mode: str) -> ClusterConfig:
    """``config`` with everything written out that was decided from the first node, whose address is ``address``."""
    mode, chosen = config.endpoint_mode, config.endpoint.address
    endpoint = replace(
        config.endpoint,
        mode=mode,
        address=chosen or (Endpoint(address) if mode == "direct" else None),
        port=config.endpoint.port if mode == "local" else LOCAL_PORT,
    )
    return replace(config, endpoint=endpoint, kube_proxy_mode=proxy_mode)


def shared_document(config: ClusterConfig) -> dict[str, Any]:
    """A settled configuration as ``join.yaml`` carries it: without what is one node's own."""
    document = {key: value for key, value in config.document.items() if key not in _NODE_OWN}
    for key, write in AGREED.items():
        value, before = write(config), document.get(key)
        document[key] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
    return document


def joining_config(shared: ClusterConfig, own_text: str | None, *, where: str | None) -> tuple[ClusterConfig, str]:
    """The configuration of a node that joins the cluster ``shared``, and its text for keeping.

    ``own_text`` is a ``cluster.yaml`` of this node's. With ``where`` it was given now, and :class:`InputError` says
    what in it contradicts the cluster; without, it was kept from an earlier run, and the cluster's word counts.
    """
    base = shared_document(shared)
    place = where or "the cluster.yaml kept here"
    own = load_yaml(own_text or "", where=place) or {}
    if not isinstance(own, dict):
        raise InputError("the cluster configuration cannot be used", where=place, wanted="a mapping")
    if where is not None:
        _demand_same(base, own, where)
    merged = base | own | {key: base[key] for key in AGREED}
    if isinstance(own.get("endpoint"), dict) and _UNPROVEN in own["endpoint"]:
        merged["endpoint"] = base["endpoint"] | {_UNPROVEN: own["endpoint"][_UNPROVEN]}
    return ClusterConfig.from_document(merged, where=place), dump_yaml(merged)


def _demand_same(base: dict[str, Any], own: dict[str, Any], where: str) -> None:
    told = ClusterConfig.from_document(base | own, where=where)
    if told.kube_proxy_mode == _UNDECIDED:
        told = replace(told, kube_proxy_mode=base["kubeProxy"]["mode"])
    first = Endpoint.parse(base["endpoint"].get("address", LOCAL_ADDRESS))
    told = settled(told, address=first.host, proxy_mode=told.kube_proxy_mode)
    other = [key for key in AGREED if key in own and AGREED[key](told) != _part(base[key], AGREED[key](told))]
    if not other:
        return
    raise InputError(
        "cluster.yaml and the join file contradict each other",
        where=f"{where}: {', '.join(other)}",
        wanted="\n".join(f"{key}: {_spoken(base[key])} (join file)" for key in other),
        got="\n".join(f"{key}: {_spoken(AGREED[key](told))} (cluster.yaml)" for key in other),
        next_step="leave --config out: the join file says all of this; or take a join file of the right cluster",
    )


def _part(value: Any, like: Any) -> Any:
    """Of a mapping only the fields that ``like`` has, which are the agreed ones."""
    return {key: value.get(key) for key in like} if isinstance(value, dict) else value


def _spoken(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
