"""The mapping ``dns`` of cluster.yaml: what it says when left out, what is read, and what is refused."""

from __future__ import annotations

import pytest

from installer.config import ClusterConfig
from installer.dns import DnsCache, DnsSettings, service_address
from installer.errors import InputError

EVERYTHING = """
dns:
  upstreams: [10.0.24.2, "10.0.24.3:5353", "[fd00::2]:53", fd00::3]
  zones:
    corp.example: [10.0.24.4]
  hosts:
    10.0.24.9: [registry.corp.example, mirror]
  cache: {successEntries: 2048, successSeconds: 60, denialEntries: 4096, denialSeconds: 2,
          prefetchQueries: 0, prefetchGapSeconds: 30, prefetchPercent: 20}
  ttlSeconds: 10
  lameduckSeconds: 0
  maxConcurrent: 500
  log: [all]
  nodeLocal: {address: 169.254.25.10}
"""


def read(text: str) -> DnsSettings:
    return ClusterConfig.from_text(text, where="cluster.yaml").dns


def test_every_field_has_a_default_and_every_field_is_read() -> None:
    assert read("") == DnsSettings()
    assert read("").upstreams is None, "the nodes' own files decide"
    assert read("dns: {upstreams: []}").upstreams == (), "nobody is asked"
    assert read(EVERYTHING) == DnsSettings(
        upstreams=("10.0.24.2", "10.0.24.3:5353", "[fd00::2]:53", "fd00::3"),
        zones={"corp.example": ("10.0.24.4",)},
        hosts={"10.0.24.9": ("registry.corp.example", "mirror")},
        cache=DnsCache(2048, 60, 4096, 2, 0, 30, 20),
        ttl_seconds=10,
        lameduck_seconds=0,
        max_concurrent=500,
        log=("all",),
        node_local_address="169.254.25.10",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("upstreams: [dns.corp.example]", "dns.upstreams[0]: wanted an address, or address:port"),
        ('upstreams: ["10.0.24.2:0"]', "dns.upstreams[0]: wanted an address"),
        (f"upstreams: [{', '.join(['10.0.24.2'] * 16)}]", "dns.upstreams: wanted at most 15, got 16"),
        ("zones: {Corp: [10.0.24.2]}", "dns.zones.Corp: wanted a zone in lower case"),
        ("zones: {corp.example: []}", "dns.zones.corp.example: wanted at least one server"),
        ("zones: {cluster.local: [10.0.24.2]}", "dns.zones.cluster.local: cluster.local is the cluster's own"),
        ("zones: {x.cluster.local: [10.0.24.2]}", "dns.zones.x.cluster.local: cluster.local is the cluster's own"),
        ("hosts: {registry: [10.0.24.9]}", "dns.hosts.registry: wanted an address"),
        ("hosts: {10.0.24.9: ['two words']}", "dns.hosts.10.0.24.9[0]: wanted a name"),
        ("cache: {successEntries: 10}", "dns.cache.successEntries: wanted 1024 to"),
        ("cache: {prefetchPercent: 95}", "dns.cache.prefetchPercent: wanted 10 to 90"),
        ("log: [errors]", "dns.log[0]: wanted one of all, denial, error, success"),
        ("nodeLocal: {address: here}", "dns.nodeLocal.address: wanted an IP address"),
        ("nodeLocal: {address: 10.96.7.7}", "dns.nodeLocal.address: 10.96.7.7 is inside serviceSubnet"),
        ("nodeLocal: {address: 127.0.0.53}", "dns.nodeLocal.address: a pod does not reach its node at 127.0.0.53"),
        ("forward: [10.0.24.2]", "dns.forward: unknown field"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_path(text: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        read(f"dns: {{{text}}}")
    assert problem in str(caught.value.got)


@pytest.mark.parametrize(
    ("server", "what"),
    [
        ("10.96.0.10", "the cluster's own DNS Service"),
        ("10.96.0.10:53", "the cluster's own DNS Service"),
        ("169.254.20.10", "dns.nodeLocal.address"),
        ("127.0.0.53", "the pod itself"),
        ("0.0.0.0", "the pod itself"),
    ],
)
@pytest.mark.parametrize("field", ["upstreams: [%s]", "zones: {corp.example: [%s]}"])
def test_trap_20_a_server_that_leads_back_to_the_cluster_s_own_dns_is_refused(
    server: str, what: str, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        read("dns: {" + field % f'"{server}"' + "}")
    assert f"{server} is {what}: CoreDNS would ask itself and time out" in str(caught.value.got)


def test_the_service_s_address_is_the_one_kubeadm_gives_it() -> None:
    assert service_address("10.96.0.0/12") == "10.96.0.10"
    assert service_address("fd00:10:96::/108") == "fd00:10:96::a"
