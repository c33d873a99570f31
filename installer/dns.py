"""The cluster's DNS in ``cluster.yaml``: how CoreDNS answers and caches, whom it asks, and the cache on each node.

Whatever could make a server forward to itself is refused here: it would answer nothing and name no cause.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from installer.bundle.strict import Fields
from installer.settings import is_host, is_node_name

NODE_LOCAL = "node-local-dns"
"""The add-on that is the cache on each node, and what its objects are called."""
LOG_CLASSES = ("all", "denial", "error", "success")
SERVICE_ADDRESS_NUMBER = 10
"""kubeadm gives the cluster's DNS Service this address of the service network, counted from its first."""
_MOST_SERVERS = 15
"""CoreDNS takes no more in one ``forward``."""
_FEWEST_ENTRIES = 1024
_SERVER_WITH_PORT = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class DnsCache:
    """CoreDNS' cache. An answer is kept for its own time to live and at most the seconds given here.

    A name that was asked ``prefetch_queries`` times, never ``prefetch_gap_seconds`` apart, is asked for again when
    ``prefetch_percent`` of its time is left; ``0`` queries turn that off.
    """

    success_entries: int = 9984
    success_seconds: int = 300
    denial_entries: int = 9984
    denial_seconds: int = 5
    prefetch_queries: int = 100
    prefetch_gap_seconds: int = 60
    prefetch_percent: int = 15

    @classmethod
    def read(cls, fields: Fields) -> DnsCache:
        """The cache from its mapping."""
        default = cls()
        cache = cls(
            fields.integer("successEntries", default.success_entries, least=_FEWEST_ENTRIES, most=10**7),
            fields.integer("successSeconds", default.success_seconds, least=1, most=86400),
            fields.integer("denialEntries", default.denial_entries, least=_FEWEST_ENTRIES, most=10**7),
            fields.integer("denialSeconds", default.denial_seconds, least=1, most=86400),
            fields.integer("prefetchQueries", default.prefetch_queries, least=0, most=10**6),
            fields.integer("prefetchGapSeconds", default.prefetch_gap_seconds, least=1, most=86400),
            fields.integer("prefetchPercent", default.prefetch_percent, least=10, most=90),
        )
        fields.finish()
        return cache


@dataclass(frozen=True)
class DnsSettings:
    """The mapping ``dns``. ``upstreams`` of ``None`` means the servers in the nodes' own resolver files, if the first
    control plane has any; an empty one means that outside names are not asked for at all.
    """

    upstreams: tuple[str, ...] | None = None
    zones: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cache: DnsCache = field(default_factory=DnsCache)
    ttl_seconds: int = 30
    lameduck_seconds: int = 5
    max_concurrent: int = 1000
    log: tuple[str, ...] = ("denial", "error")
    node_local_address: str = "169.254.20.10"

    @classmethod
    def read(cls, fields: Fields) -> DnsSettings:
        """The settings from their mapping."""
        default = cls()
        node_local = fields.mapping("nodeLocal", optional=True)
        settings = cls(
            upstreams=_servers(fields, "upstreams") if "upstreams" in fields else None,
            zones=_zones(fields.mapping("zones", optional=True)),
            hosts=_hosts(fields.mapping("hosts", optional=True)),
            cache=DnsCache.read(fields.mapping("cache", optional=True)),
            ttl_seconds=fields.integer("ttlSeconds", default.ttl_seconds, least=0, most=3600),
            lameduck_seconds=fields.integer("lameduckSeconds", default.lameduck_seconds, least=0, most=60),
            max_concurrent=fields.integer("maxConcurrent", default.max_concurrent, least=1, most=10**6),
            log=_log(fields, default.log),
            node_local_address=node_local.text("address", default.node_local_address),
        )
        if _address(settings.node_local_address) is None:
            node_local.note("address", f"wanted an IP address, got {settings.node_local_address[:100]!r}")
        node_local.finish()
        fields.finish()
        return settings

    @property
    def servers(self) -> dict[str, tuple[str, ...]]:
        """Every server CoreDNS is to ask, by the field that names it."""
        named = {f"zones.{zone}": servers for zone, servers in self.zones.items()}
        return {"upstreams": self.upstreams or ()} | named


def service_address(service_subnet: str) -> str:
    """The address of the cluster's DNS Service."""
    return str(ipaddress.ip_network(service_subnet)[SERVICE_ADDRESS_NUMBER])


def pods_ask(dns: DnsSettings, service_subnet: str, *, proxy_mode: str, has_node_local: bool) -> str:
    """The name server that the kubelets tell pods.

    With iptables the cache on each node takes the DNS Service's address over, and gives it back when it ends. With
    ipvs kube-proxy holds that address on an interface of its own, and for nftables and networks that replace
    kube-proxy upstream promises nothing: there pods are told the cache's own address.
    """
    service = service_address(service_subnet)
    return dns.node_local_address if has_node_local and proxy_mode != "iptables" else service


def demand_no_loop(fields: Fields, dns: DnsSettings, networks: dict[str, str], domain: str) -> None:
    """Notes servers that lead back to the cluster's own DNS, and a node-local address that something else has.

    ``networks`` are ``podSubnet`` and ``serviceSubnet`` by these names.
    """
    own = {
        service_address(networks["serviceSubnet"]): "the cluster's own DNS Service",
        dns.node_local_address: "dns.nodeLocal.address",
    }
    for key, servers in dns.servers.items():
        for number, server in enumerate(servers):
            address = _address(host_of(server))
            what = own.get(str(address))
            if what is None and address is not None and (address.is_loopback or address.is_unspecified):
                what = "the pod itself"
            if what:
                fields.note(f"dns.{key}[{number}]", f"{server} is {what}: CoreDNS would ask itself and time out")
    local = _address(dns.node_local_address)
    for name, text in networks.items():
        if local is not None and _within(local, ipaddress.ip_network(text)):
            fields.note("dns.nodeLocal.address", f"{local} is inside {name} {text}; wanted one that nothing else has")
    if local is not None and (local.is_loopback or local.is_unspecified):
        fields.note("dns.nodeLocal.address", f"a pod does not reach its node at {local}")
    for zone in dns.zones:
        if zone == domain or zone.endswith(f".{domain}"):
            fields.note(f"dns.zones.{zone}", f"{domain} is the cluster's own, and Services would not be found")


def host_of(server: str) -> str:
    """The address in ``address``, ``address:port`` or ``[address]:port``."""
    match = _SERVER_WITH_PORT.fullmatch(server)
    return (match["v6"] or match["v4"]) if match else server


def _servers(fields: Fields, key: str) -> tuple[str, ...]:
    servers = tuple(fields.texts(key))
    for number, server in enumerate(servers):
        match = _SERVER_WITH_PORT.fullmatch(server)
        if _address(host_of(server)) is None or (match and not 0 < int(match["port"]) < 65536):
            fields.note(f"{key}[{number}]", f"wanted an address, or address:port, got {server[:100]!r}")
    if len(servers) > _MOST_SERVERS:
        fields.note(key, f"wanted at most {_MOST_SERVERS}, got {len(servers)}")
    return servers


def _zones(fields: Fields) -> dict[str, tuple[str, ...]]:
    zones = {}
    for zone in fields.keys():  # noqa: SIM118 - Fields is no mapping
        zones[zone] = _servers(fields, zone)
        if not is_node_name(zone):
            fields.note(zone, "wanted a zone in lower case, without the last dot")
        elif not zones[zone]:
            fields.note(zone, "wanted at least one server")
    return zones


def _hosts(fields: Fields) -> dict[str, tuple[str, ...]]:
    hosts = {}
    for address in fields.keys():  # noqa: SIM118 - Fields is no mapping
        hosts[address] = tuple(fields.texts(address))
        if _address(address) is None:
            fields.note(address, "wanted an address, with a list of its names")
        for number, name in enumerate(hosts[address]):
            if not is_host(name) or _address(name) is not None:
                fields.note(f"{address}[{number}]", f"wanted a name in lower case, got {name[:100]!r}")
    return hosts


def _log(fields: Fields, default: tuple[str, ...]) -> tuple[str, ...]:
    classes = tuple(fields.texts("log", list(default)))
    for number, name in enumerate(classes):
        if name not in LOG_CLASSES:
            fields.note(f"log[{number}]", f"wanted one of {', '.join(LOG_CLASSES)}, got {name[:60]!r}")
    return classes


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _within(address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    return address.version == network.version and address in network
