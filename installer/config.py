"""``cluster.yaml``: everything an operator may decide about the cluster; every field has a default.

The field names are Kubernetes' own where it has one. ``docs/operate.md`` explains each. Pure: text in, values out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from installer.bundle.strict import Fields, Problems
from installer.dns import DnsSettings, demand_no_loop
from installer.endpoint import ApiEndpoint, ClusterNode, control_planes, demand_usable, mode_of, read_nodes
from installer.errors import InputError
from installer.registries import Registry
from installer.settings import (
    DataDiskSettings,
    ExtraArgs,
    KubeletSettings,
    Taint,
    Timeouts,
    addon_values,
    folder,
    hosts,
    named,
    patches,
    subnet,
    taints,
)
from installer.yamltext import load_yaml

PROXY_MODES = ("auto", "iptables", "ipvs", "nftables", "none")
CONTAINERD_OWNERS = ("auto", "installer", "site")
_FEWEST_SERVICE_ADDRESSES = 16


@dataclass(frozen=True)
class ClusterConfig:
    """The cluster as the operator wants it. ``taints`` of ``None`` means kubeadm's own for the role.

    ``addons`` are the operator's own values of each add-on, which are laid over the bundle's.
    ``document`` is what it was read from, for writing it down for other nodes.
    """

    cluster_name: str = "kubernetes"
    node_name: str | None = None
    nodes: tuple[ClusterNode, ...] = ()
    endpoint: ApiEndpoint = field(default_factory=ApiEndpoint)
    pod_subnet: str = "10.244.0.0/16"
    service_subnet: str = "10.96.0.0/12"
    dns_domain: str = "cluster.local"
    dns: DnsSettings = field(default_factory=DnsSettings)
    cert_sans: tuple[str, ...] = ()
    kube_proxy_mode: str = "auto"
    timeouts: Timeouts = field(default_factory=Timeouts)
    extra_args: ExtraArgs = field(default_factory=ExtraArgs)
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)
    patches: dict[str, dict[str, Any]] = field(default_factory=dict)
    containerd_owner: str = "auto"
    containerd_root: str = "/var/lib/containerd"
    containerd_snapshotter: str = "overlayfs"
    registries: tuple[Registry, ...] = ()
    data_disk: DataDiskSettings | None = None
    taints: tuple[Taint, ...] | None = None
    token_ttl_seconds: int = 24 * 3600
    addons: dict[str, dict[str, Any]] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def control_planes(self) -> tuple[ClusterNode, ...]:
        """The control planes that ``nodes`` names."""
        return control_planes(self.nodes)

    @property
    def endpoint_mode(self) -> str:
        """One of :data:`installer.endpoint.MODES`: as chosen, or by the number of control planes."""
        return mode_of(self.endpoint, self.nodes)

    @property
    def named_files(self) -> tuple[str, ...]:
        """The files on the node that the configuration refers to."""
        return tuple(host.ca for registry in self.registries for host in registry.hosts if host.ca is not None)

    @classmethod
    def from_text(cls, text: str, *, where: str) -> ClusterConfig:
        """The configuration in ``text`` (an empty one is all defaults); :class:`InputError` names every problem."""
        document = load_yaml(text, where=where)
        return cls.from_document({} if document is None else document, where=where)

    @classmethod
    def from_document(cls, document: object, *, where: str) -> ClusterConfig:
        """The configuration in a parsed ``cluster.yaml``."""
        problems = Problems()
        config = cls.read(Fields(document, problems))
        problems.check(
            "the cluster configuration cannot be used",
            InputError,
            where=where,
            next_step="correct the fields named above; docs/operate.md explains each",
        )
        return config

    @classmethod
    def read(cls, fields: Fields) -> ClusterConfig:
        """The configuration from its mapping."""
        default = cls()
        proxy = fields.mapping("kubeProxy", optional=True)
        containerd = fields.mapping("containerd", optional=True)
        addons = fields.mapping("addons", optional=True)
        config = cls(
            cluster_name=named(fields, "clusterName", default.cluster_name),
            node_name=named(fields, "nodeName", None),
            nodes=read_nodes(fields),
            endpoint=ApiEndpoint.read(fields.mapping("endpoint", optional=True)),
            pod_subnet=subnet(fields, "podSubnet", default.pod_subnet),
            service_subnet=subnet(fields, "serviceSubnet", default.service_subnet),
            dns_domain=named(fields, "dnsDomain", default.dns_domain),
            dns=DnsSettings.read(fields.mapping("dns", optional=True)),
            cert_sans=hosts(fields, "certSANs"),
            kube_proxy_mode=proxy.choice("mode", PROXY_MODES, default.kube_proxy_mode),
            timeouts=Timeouts.read(fields.mapping("timeouts", optional=True)),
            extra_args=ExtraArgs.read(fields.mapping("extraArgs", optional=True)),
            kubelet=KubeletSettings.read(fields.mapping("kubelet", optional=True)),
            patches=patches(fields),
            containerd_owner=containerd.choice("owner", CONTAINERD_OWNERS, default.containerd_owner),
            containerd_root=folder(containerd, "root", default.containerd_root),
            containerd_snapshotter=named(containerd, "snapshotter", default.containerd_snapshotter),
            registries=Registry.read_all(containerd.mapping("registries", optional=True)),
            data_disk=DataDiskSettings.read(fields.mapping("dataDisk")) if "dataDisk" in fields else None,
            taints=taints(fields),
            token_ttl_seconds=fields.integer("tokenTTLSeconds", default.token_ttl_seconds, least=600, most=30 * 86400),
            addons=addon_values(addons),
            document=fields.given(),
        )
        for part in (proxy, containerd, addons, fields):
            part.finish()
        demand_usable(fields, config.endpoint, config.nodes)
        _demand_apart(fields, config)
        return config


def _demand_apart(fields: Fields, config: ClusterConfig) -> None:
    """Pods and services must not share addresses, and the service network needs room for its first ten."""
    pods, services = ipaddress.ip_network(config.pod_subnet), ipaddress.ip_network(config.service_subnet)
    if pods.version == services.version and pods.overlaps(services):
        fields.note("serviceSubnet", f"overlaps podSubnet ({services} and {pods})")
    if services.num_addresses < _FEWEST_SERVICE_ADDRESSES:
        fields.note("serviceSubnet", f"wanted at least {_FEWEST_SERVICE_ADDRESSES} addresses, got {services}")
    else:
        demand_no_loop(fields, config.dns, {"podSubnet": str(pods), "serviceSubnet": str(services)}, config.dns_domain)
    for number, node in enumerate(config.nodes):
        for key, network in (("podSubnet", pods), ("serviceSubnet", services)):
            if node.address and ipaddress.ip_address(node.address) in network:
                fields.note(f"nodes[{number}].address", f"{node.address} ({node.name}) is inside {key} {network}")
