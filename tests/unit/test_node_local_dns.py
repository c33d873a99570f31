"""The DNS cache on each node: what pods are told to ask, when that is decided, and that the cache never asks itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from installer.config import ClusterConfig
from installer.dns import DnsSettings, pods_ask
from installer.errors import StepError
from installer.execute import Phase, Plan
from installer.plan import build_plan
from installer.steps.cluster import KUBECTL
from installer.steps.kubeadm import KUBELET_CONFIG
from installer.steps.nodelocaldns import NodeLocalAsksOthers
from tests.fakes.addons import CILIUM, NODE_LOCAL_DNS
from tests.fakes.cluster import Workload
from tests.fakes.machine import Machine
from tests.fakes.small_bundle import small_bundle
from tests.unit.test_plan import ADDRESS, carry_out, cp_plan, facts, join_file

ADDRESS_OF_CACHE, SERVICE, UPSTREAM = "169.254.20.10", "10.96.0.10", "10.101.7.7"
BUNDLE = small_bundle(addons=(NODE_LOCAL_DNS,))
STEP = NodeLocalAsksOthers("kube-system", ADDRESS_OF_CACHE, ADDRESS_OF_CACHE)
NAME = "kube-system/node-local-dns"
COREFILE = """\
.:53 {
    errors
    loop
    bind %s
    forward . %s {
        force_tcp
    }
}
"""


def cluster_with(bound: str, asked: str, upstream: str = UPSTREAM) -> Machine:
    machine = Machine()
    machine.node.write_file(KUBECTL, b"", mode=0o755)
    machine.cluster.configmaps[NAME] = {"Corefile": COREFILE % (bound, asked)}
    machine.cluster.services["kube-system/kube-dns-upstream"] = upstream
    machine.cluster.workloads["kube-system/daemonset/node-local-dns"] = Workload("dns", takes_seconds=3)
    return machine


def kubelet_of(machine: Machine) -> dict[str, Any]:
    """What kubeadm init was told for every kubelet of the cluster."""
    documents = yaml.safe_load_all(machine.kubeadm_configs[0])
    found: dict[str, Any] = next(item for item in documents if item["kind"] == "KubeletConfiguration")
    return found


@pytest.mark.parametrize(
    ("mode", "has_cache", "asked"),
    [
        ("iptables", True, SERVICE),
        ("ipvs", True, ADDRESS_OF_CACHE),
        ("nftables", True, ADDRESS_OF_CACHE),
        ("none", True, ADDRESS_OF_CACHE),
        ("ipvs", False, SERVICE),
        ("none", False, SERVICE),
    ],
)
def test_what_pods_ask_follows_from_kube_proxys_mode(mode: str, has_cache: bool, asked: str) -> None:
    assert pods_ask(DnsSettings(), "10.96.0.0/12", proxy_mode=mode, has_node_local=has_cache) == asked


@pytest.mark.parametrize("carried", [True, False])
def test_trap_24_kubelets_ask_the_cluster_for_certificates_where_somebody_approves_them(carried: bool) -> None:
    approver = replace(NODE_LOCAL_DNS, name="kubelet-csr-approver", values={}, ready=("deployment/approver",))
    machine = Machine()
    machine.cluster.workloads["kube-system/deployment/approver"] = Workload("approver")
    carry_out(machine, cp_plan(small_bundle(addons=(approver,) if carried else ())))
    assert kubelet_of(machine).get("serverTLSBootstrap") == (True if carried else None)


@pytest.mark.parametrize(("mode", "told"), [("ipvs", ADDRESS_OF_CACHE), ("iptables", None)])
def test_every_kubelet_is_told_when_the_cluster_is_made(mode: str, told: str | None) -> None:
    machine = cluster_with(ADDRESS_OF_CACHE, "__PILLAR__CLUSTER__DNS__")
    done = carry_out(machine, cp_plan(BUNDLE, ClusterConfig(kube_proxy_mode=mode)))
    assert kubelet_of(machine).get("clusterDNS") == (None if told is None else [told])
    assert done["node-local-dns/asks-others"].outcome == "proven"
    values = machine.cluster.release("kube-system", "node-local-dns")
    assert values is not None
    assert values.values == {"address": ADDRESS_OF_CACHE, "clusterDNS": SERVICE, "proxyMode": mode}
    order = list(done)
    assert order.index("node-local-dns/ready") < order.index("node-local-dns/asks-others")


def test_one_field_moves_the_cache_for_the_kubelets_and_for_the_add_on() -> None:
    config = ClusterConfig(kube_proxy_mode="ipvs", dns=DnsSettings(node_local_address="169.254.25.10"))
    machine = cluster_with("169.254.25.10", "__PILLAR__CLUSTER__DNS__")
    carry_out(machine, cp_plan(BUNDLE, config))
    release = machine.cluster.release("kube-system", "node-local-dns")
    assert release is not None
    assert kubelet_of(machine)["clusterDNS"] == [release.values["address"]] == ["169.254.25.10"]


def test_without_the_add_on_nothing_is_told() -> None:
    machine = Machine()
    carry_out(machine, cp_plan(config=ClusterConfig(kube_proxy_mode="ipvs")))
    assert "clusterDNS" not in kubelet_of(machine)


def test_a_joining_node_takes_the_clusters_word() -> None:
    machine = Machine()
    carry_out(machine, build_plan(BUNDLE, "worker", ClusterConfig(), facts(), address=ADDRESS, join=join_file()))
    assert "clusterDNS" not in machine.kubeadm_configs[0]


@pytest.mark.parametrize(
    ("mode", "note"),
    [
        ("ipvs", "pods ask 169.254.20.10, the DNS cache on their node; set with the cluster, not changed later"),
        ("iptables", "pods ask 10.96.0.10, which the DNS cache on their node takes over"),
    ],
)
def test_the_plan_says_what_pods_ask(mode: str, note: str) -> None:
    assert note in cp_plan(BUNDLE, ClusterConfig(kube_proxy_mode=mode)).notes


@pytest.mark.parametrize(
    ("bound", "asked", "upstream", "own"),
    [
        (f"{ADDRESS_OF_CACHE} {SERVICE}", SERVICE, UPSTREAM, SERVICE),
        (f"{ADDRESS_OF_CACHE} {SERVICE}", f"{SERVICE}:53", UPSTREAM, f"{SERVICE}:53"),
        (SERVICE, ADDRESS_OF_CACHE, UPSTREAM, ADDRESS_OF_CACHE),
        (f"{ADDRESS_OF_CACHE} {SERVICE}", "__PILLAR__CLUSTER__DNS__", SERVICE, SERVICE),
        (ADDRESS_OF_CACHE, "/etc/resolv.conf", UPSTREAM, ADDRESS_OF_CACHE),
    ],
)
def test_trap_20_a_cache_that_would_ask_itself_stops_the_install_and_names_the_address(
    bound: str, asked: str, upstream: str, own: str
) -> None:
    machine = cluster_with(bound, asked, upstream)
    machine.node.with_files({"/etc/resolv.conf": f"nameserver {ADDRESS_OF_CACHE}\n"})
    with pytest.raises(StepError, match="would ask itself") as caught:
        carry_out(machine, Plan((Phase("one", (STEP,)),)))
    assert caught.value.got == f"it forwards to {own}, where it answers itself"


@pytest.mark.parametrize(
    ("bound", "asked"),
    [
        (f"{ADDRESS_OF_CACHE} {SERVICE}", "__PILLAR__CLUSTER__DNS__"),
        (f"{ADDRESS_OF_CACHE} {SERVICE}", UPSTREAM),
        (ADDRESS_OF_CACHE, SERVICE),
        (ADDRESS_OF_CACHE, "/etc/resolv.conf"),
    ],
)
def test_trap_20_a_cache_that_asks_others_is_proven(bound: str, asked: str) -> None:
    machine = cluster_with(bound, asked)
    machine.node.with_files({"/etc/resolv.conf": "nameserver 10.0.24.2\n"})
    found = STEP.check(machine.node)
    assert (found.satisfied, found.proof) == (True, True), found.detail


def test_trap_20_every_server_of_the_configuration_is_looked_at() -> None:
    machine = cluster_with(ADDRESS_OF_CACHE, UPSTREAM)
    more = COREFILE.replace(".:53", "in-addr.arpa:53") % (SERVICE, SERVICE)
    machine.cluster.configmaps[NAME]["Corefile"] += more
    assert STEP.check(machine.node).detail == f"it forwards to {SERVICE}, where it answers itself"


@pytest.mark.parametrize("gone", ["configmap node-local-dns", "service kube-dns-upstream"])
def test_what_cannot_be_read_is_not_taken_for_good(gone: str) -> None:
    machine = cluster_with(ADDRESS_OF_CACHE, UPSTREAM)
    (machine.cluster.configmaps if gone.startswith("config") else machine.cluster.services).clear()
    found = STEP.check(machine.node)
    assert (found.satisfied, found.detail) == (False, f"{gone} cannot be read in kube-system")


def test_kubelets_that_were_set_up_before_the_cache_are_said() -> None:
    machine = cluster_with(ADDRESS_OF_CACHE, UPSTREAM)
    machine.node.with_files({KUBELET_CONFIG: f"clusterDNS: [{SERVICE}]\n"})
    found = STEP.check(machine.node)
    assert found.satisfied
    assert found.detail.endswith("pods ask 10.96.0.10, which is not the cache: the kubelets were set up before it")


def test_with_a_network_that_replaces_kube_proxy_pods_ask_the_cache_itself() -> None:
    bundle = small_bundle(addons=(CILIUM, replace(NODE_LOCAL_DNS)))
    machine = cluster_with(ADDRESS_OF_CACHE, "__PILLAR__CLUSTER__DNS__")
    machine.network = "kube-system/daemonset/cilium"
    machine.cluster.workloads[machine.network] = Workload("cilium")
    carry_out(machine, cp_plan(bundle, ClusterConfig(kube_proxy_mode="none")))
    assert kubelet_of(machine)["clusterDNS"] == [ADDRESS_OF_CACHE]
