"""What an add-on is installed with: the bundle's values, the operator's over them, facts filled in; what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from installer.addons import cluster_facts, values_of
from installer.bundle.addon import BundledAddon
from installer.bundle.values import SAMPLE, merged
from installer.config import ClusterConfig
from installer.dns import DnsSettings
from installer.endpoint import ApiEndpoint, ClusterNode
from installer.errors import InputError
from installer.facts import Address
from installer.render.kubeadm import NodeIdentity
from installer.settings import Endpoint
from tests.fakes.addons import FLANNEL, METRICS
from tests.fakes.small_bundle import small_bundle, without_component
from tests.unit.test_plan import CONFIG, cp_plan

NODE = NodeIdentity("cp-1", "10.0.24.31")
ADDRESSES = (Address("192.168.7.4", 24, "eth1", 9000), Address("10.0.24.31", 22, "eth0", 1500))


def known(config: ClusterConfig = CONFIG, mode: str = "iptables") -> dict[str, str]:
    return cluster_facts(config, NODE, "1.30.14", ADDRESSES, proxy_mode=mode)


def values(own: dict[str, Any], addon: BundledAddon = FLANNEL) -> dict[str, Any]:
    config = replace(CONFIG, addons={addon.name: own})
    return values_of(addon, config, known(config))


def test_every_fact_that_values_may_name_is_known_of_a_cluster() -> None:
    found = known()
    here = {"apiHost": "10.0.24.31", "nodeNetwork": "10.0.24.0", "nodePrefixes": "10.0.24.0/22"}
    assert found == dict(SAMPLE) | here


def test_what_nodes_can_be_called_and_where_they_are_is_what_cluster_yaml_names() -> None:
    cp = (ClusterNode("cp-1", "10.0.24.31", "cp"), ClusterNode("cp.2", "10.9.0.2", "cp"))
    found = known(replace(CONFIG, nodes=cp))
    assert (found["nodeNames"], found["nodePrefixes"]) == (".*", "10.0.24.0/22,10.9.0.2/32")
    names = re.compile(known(replace(CONFIG, nodes=(*cp, ClusterNode("w-1", "10.0.24.40", "worker"))))["nodeNames"])
    assert all(names.search(name) for name in ("cp-1", "cp.2", "w-1"))
    assert not any(names.search(name) for name in ("cp-12", "cpx2", "other"))


def test_facts_follow_cluster_yaml() -> None:
    config = replace(
        CONFIG,
        endpoint=ApiEndpoint("external", Endpoint("api.plant.local", 8443)),
        service_subnet="fd00:10:96::/108",
        dns_domain="plant.local",
    )
    found = known(config, "none")
    assert (found["apiHost"], found["apiPort"]) == ("api.plant.local", "8443")
    assert (found["clusterDNS"], found["dnsDomain"]) == ("fd00:10:96::a", "plant.local")
    assert (found["proxyMode"], found["kubeProxyReplacement"]) == ("none", "true")
    assert (
        known(replace(CONFIG, dns=DnsSettings(node_local_address="169.254.25.10")))["nodeLocalDNS"] == "169.254.25.10"
    )


def test_trap_32_the_pods_mtu_is_what_vxlan_leaves_of_the_node_s_interface_jumbo_frames_too() -> None:
    found = {
        mtu: cluster_facts(CONFIG, NODE, "1.30.14", (Address(NODE.address, 22, "eth0", mtu),), proxy_mode="ipvs")
        for mtu in (1500, 9000, 1400, 0)
    }
    assert {mtu: fact["podMTU"] for mtu, fact in found.items()} == {1500: "1450", 9000: "8950", 1400: "1350", 0: "1450"}


def test_values_are_filled_and_the_operator_s_are_laid_over_them() -> None:
    own = {"flannel": {"backend": "host-gw", "note": "${apiHost}:${apiPort}"}, "global": {"x": [1]}}
    assert values(own) == {
        "podCidr": "10.244.0.0/16",
        "flannel": {"backend": "host-gw", "note": "10.0.24.31:6443", "args": ["--ip-masq"]},
        "global": {"x": [1]},
    }
    assert FLANNEL.values["flannel"]["backend"] == "vxlan", "the bundle's own are not changed"


@pytest.mark.parametrize(
    ("over", "result"),
    [
        ({}, {"a": {"b": 1, "c": [1, 2]}}),
        ({"a": {"c": [3]}}, {"a": {"b": 1, "c": [3]}}),
        ({"a": {"b": None}}, {"a": {"b": None, "c": [1, 2]}}),
        ({"a": 5, "d": {}}, {"a": 5, "d": {}}),
    ],
)
def test_merging_is_helm_s(over: dict[str, Any], result: dict[str, Any]) -> None:
    assert merged({"a": {"b": 1, "c": [1, 2]}}, over) == result


@pytest.mark.parametrize(
    ("own", "where", "got"),
    [
        ({"podCidr": "10.32.0.0/16"}, "values.podCidr", '"10.32.0.0/16"'),
        ({"podCidr": None}, "values.podCidr", "null"),
        ({"ipam": {"pools": ["10.0.0.0/8"]}}, "values.ipam.pools[0]", '"10.0.0.0/8"'),
        ({"ipam": {"pools": []}}, "values.ipam.pools[0]", "null"),
        ({"ipam": 3}, "values.ipam.pools[0]", "null"),
    ],
)
def test_a_pod_network_of_other_addresses_than_kubeadm_s_is_refused(own: dict[str, Any], where: str, got: str) -> None:
    addon = replace(FLANNEL, values={"podCidr": "${podSubnet}", "ipam": {"pools": ["${podSubnet}"]}})
    with pytest.raises(InputError, match="different addresses") as caught:
        values(own, addon)
    assert (caught.value.where, caught.value.got) == (f"cluster.yaml, addons.flannel.{where}", got)


def test_the_same_subnet_said_again_is_no_disagreement_and_other_kinds_may_have_their_own() -> None:
    assert values({"podCidr": "10.244.0.0/16"})["podCidr"] == "10.244.0.0/16"
    assert values({"podCidr": "${podSubnet}"})["podCidr"] == "10.244.0.0/16"
    assert values({"podCidr": "10.9.0.0/16"}, replace(FLANNEL, kind="addon"))["podCidr"] == "10.9.0.0/16"


def test_values_are_read_from_cluster_yaml() -> None:
    text = "addons:\n  flannel:\n    values: {flannel: {mtu: 1400}}\n  metrics-server:\n"
    assert ClusterConfig.from_text(text, where="c").addons == {
        "flannel": {"flannel": {"mtu": 1400}},
        "metrics-server": {},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("addons: {flannel: {values: {a: '${podCidr}'}}}", "addons.flannel: values.a: unknown fact ${podCidr}"),
        ("addons: {flannel: {values: [1]}}", "addons.flannel.values: wanted a mapping"),
        ("addons: {flannel: {values: {a: .inf}}}", "addons.flannel: values.a: wanted a number, got inf"),
        ("addons: {flannel: {vals: {}}}", "addons.flannel.vals: unknown field"),
        ("addons: [flannel]", "addons: wanted a mapping"),
        ("addons: {flannel: 3}", "addons.flannel: wanted a mapping"),
    ],
)
def test_what_cluster_yaml_cannot_say_of_add_ons(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        ClusterConfig.from_text(text, where="cluster.yaml")
    assert said in str(caught.value.got)


def test_values_of_an_add_on_that_the_bundle_lacks_are_refused_with_those_it_has() -> None:
    config = replace(CONFIG, addons={"cilium": {}})
    with pytest.raises(InputError, match="no such add-on") as caught:
        cp_plan(small_bundle(addons=(FLANNEL, METRICS)), config)
    assert (caught.value.wanted, caught.value.got) == ("one of flannel, metrics-server", "cilium")
    with pytest.raises(InputError, match="no such add-on") as caught:
        cp_plan(config=config)
    assert "has none" in str(caught.value.wanted)


@pytest.mark.parametrize(("component", "said"), [("helm", "no helm"), ("cni-plugins", "no cni-plugins")])
def test_a_bundle_that_cannot_install_its_add_on_is_refused(component: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        cp_plan(without_component(small_bundle(addons=(FLANNEL,)), component))
