"""Traps of the field reports that the catalogue's add-ons answer, named after their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler.addon_choice import chosen_addons
from bundler.addon_types import FOLDERS, Addon
from bundler.catalog import Catalog
from installer.addons import addon_notes, cluster_facts, values_of
from installer.config import ClusterConfig
from installer.facts import Address
from installer.render.kubeadm import NodeIdentity
from tests.fakes.addons import FLANNEL
from tests.fakes.small_bundle import small_bundle

OPERATE = Path(__file__).parents[2] / "docs" / "operate.md"
CATALOG = Catalog.load()
ADDONS = {name: CATALOG.addon(kind, name) for kind in FOLDERS for name in CATALOG.offered(kind)}
NODE = NodeIdentity("cp-1", "10.0.24.31")
NODES = """nodes:
- {name: cp-1, address: 10.0.24.31, role: cp}
- {name: w-1, address: 10.9.0.2, role: worker}
"""


def texts(values: Any) -> Iterator[str]:
    """Every text in ``values``, however deep."""
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, (list, tuple)):
        yield str(values)
        return
    for value in values:
        yield from texts(value)


def installed_with(addon: Addon, cluster: str) -> dict[str, Any]:
    """The values on a node of the cluster that ``cluster.yaml`` describes, with IPVS."""
    config = ClusterConfig.from_text(cluster, where="cluster.yaml")
    facts = cluster_facts(config, NODE, "1.30.14", (Address(NODE.address, 24, "eth0", 1500),), proxy_mode="ipvs")
    return values_of(replace(FLANNEL, name=addon.name, kind=addon.kind, values=addon.values), config, facts)


def test_trap_17_no_packet_of_a_pod_is_on_the_site_s_network_unless_the_site_wants_it() -> None:
    assert CATALOG.offered("cni") == ("calico", "cilium", "flannel")
    assert not any("CrossSubnet" in text for name in CATALOG.offered("cni") for text in texts(ADDONS[name].values))
    (pool,) = ADDONS["calico"].values["installation"]["calicoNetwork"]["ipPools"]
    assert (pool["encapsulation"], pool["cidr"]) == ("VXLAN", "${podSubnet}")
    cilium = ADDONS["cilium"].values
    assert (cilium["routingMode"], cilium["tunnelProtocol"]) == ("tunnel", "vxlan")
    assert ADDONS["flannel"].values["flannel"]["backend"] == "vxlan"
    assert any("CrossSubnet" in note for note in ADDONS["calico"].notes), "plan shows the notes"


def test_trap_20_the_dns_cache_of_a_node_is_told_the_way_to_coredns_by_a_service_of_its_own() -> None:
    addon = ADDONS["node-local-dns"]
    assert addon.objects is not None
    forwards = re.findall(r"^ *forward +(.*) \{$", addon.objects.text, re.MULTILINE)
    assert forwards == [". __PILLAR__CLUSTER__DNS__"], "which the program replaces by the address of -upstreamsvc"
    assert re.findall(r"-upstreamsvc=(\S+)", addon.objects.text) == ["kube-dns-upstream"]
    values = installed_with(addon, "dns: {nodeLocal: {address: 169.254.25.10}}")
    assert (values["address"], values["clusterDNS"], values["proxyMode"]) == ("169.254.25.10", "10.96.0.10", "ipvs")


def test_trap_21_the_dns_cache_of_a_node_forgets_what_is_not_there_soon_and_every_time_is_a_value() -> None:
    cache = installed_with(ADDONS["node-local-dns"], "")["cache"]
    assert cache["denial"]["seconds"] == 5
    mine = "addons: {node-local-dns: {values: {cache: {success: {seconds: 120}, prefetch: {queries: 10}}}}}"
    cache = installed_with(ADDONS["node-local-dns"], mine)["cache"]
    assert cache["success"] == {"entries": 9984, "seconds": 120}
    assert cache["prefetch"] == {"queries": 10, "gap": "60s", "percent": 15}


def test_trap_22_what_search_domains_cost_is_told_and_their_answers_are_kept_on_the_node() -> None:
    told = re.sub(r"\s+", " ", OPERATE.read_text(encoding="utf-8"))
    assert "fewer than five dots in each of its search domains first, four questions for `example.org`" in told
    assert 'options: [{name: ndots, value: "2"}]' in told
    objects = ADDONS["node-local-dns"].objects
    assert objects is not None
    assert "denial {{ $cache.denial.entries }}" in objects.text, "the three answers that there is no such name"


def test_trap_24_kubelets_get_certificates_that_the_cluster_signed_and_metrics_server_believes_no_others() -> None:
    assert [str(need) for need in ADDONS["metrics-server"].needs] == ["kubelet-csr-approver"]
    assert not any("insecure" in text for text in texts(ADDONS["metrics-server"].values))
    values = installed_with(ADDONS["kubelet-csr-approver"], NODES)
    assert values["providerIpPrefixes"] == ["10.0.24.0/24,10.9.0.2/32"]
    assert re.search(values["providerRegex"], "w-1")
    assert not re.search(values["providerRegex"], "w-2")
    assert values["bypassDnsResolution"] is True


def test_trap_30_longhorn_says_what_its_nodes_must_have() -> None:
    host = ADDONS["longhorn"].host
    assert (host.commands, host.modules, host.units) == (("iscsiadm",), ("iscsi_tcp",), ("iscsid.service",))


def test_trap_34_flannel_says_that_it_ignores_network_policies() -> None:
    flannel = replace(FLANNEL, notes=ADDONS["flannel"].notes)
    told = list(addon_notes(replace(small_bundle().index, addons=(flannel,))))
    assert any("NetworkPolicy" in line for line in told)


def test_calico_s_definitions_stand_before_it_where_its_chart_has_none() -> None:
    release = CATALOG.release("1.34")
    assert [str(chosen) for chosen in chosen_addons("calico", (), CATALOG, release)] == ["calico v3.31.7"]
    chosen = chosen_addons("calico@v3.32.0", (), CATALOG, release)
    assert [str(item) for item in chosen] == ["calico-crds v3.32.0", "calico v3.32.0"]


@pytest.mark.parametrize("name", sorted(ADDONS))
def test_no_add_on_has_an_image_whose_name_says_nothing(name: str) -> None:
    """An image without a tag, or called latest, is pulled anew by nodes that can, and never found by the others."""
    for version in ADDONS[name].versions.values():
        assert version.images is not None
        assert not [str(image) for image in version.images if image.tag in (None, "latest")]
