"""Who a machine is: against ``nodes``, its own hosts file, its record and its routes. Trap 10 of the field report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from installer import probes
from installer.config import ClusterConfig
from installer.endpoint import ClusterNode
from installer.facts import Route
from tests.fakes.debian import ADDRESS
from tests.fakes.node import FakeNode
from tests.unit.test_preflight import RECORD, found, level, subject

OTHERS = (ClusterNode("cp-2", "10.0.24.29", "cp"), ClusterNode("cp-3", "10.0.24.32", "cp"))


def with_nodes(*nodes: ClusterNode, role: str = "cp", **facts: Any) -> Any:
    return subject(role=role, config=ClusterConfig(nodes=(*nodes, *OTHERS)), **facts)


@pytest.mark.parametrize(
    ("node", "role", "why"),
    [
        (ClusterNode("cp-9", ADDRESS, "cp"), "cp", f"nodes says {ADDRESS} is cp-9; this machine has that address"),
        (ClusterNode("cp-1", "10.0.24.7", "cp"), "cp", "nodes says cp-1 is at 10.0.24.7; this machine has that name"),
        (ClusterNode("cp-1", ADDRESS, "worker"), "cp", "nodes says cp-1 has the role worker; --role says cp"),
        (ClusterNode("w-9", "10.0.24.7", "worker"), "worker", "nodes names w-9 10.0.24.7 worker"),
    ],
)
def test_trap_10_a_machine_that_is_not_the_one_named_is_refused_with_both_facts(
    node: ClusterNode, role: str, why: str
) -> None:
    finding = found("node-identity", with_nodes(node, role=role))
    assert finding.level == "problem"
    assert finding.seen == f"this machine is cp-1 {ADDRESS} {role}"
    assert finding.why.startswith(why)


def test_a_machine_as_named_is_itself() -> None:
    assert level("node-identity", with_nodes(ClusterNode("cp-1", ADDRESS, "cp"))) == "ok"
    assert level("node-identity", subject()) == "ok"


def test_workers_may_be_left_out_of_nodes_but_no_control_plane() -> None:
    assert level("node-identity", with_nodes(role="worker")) == "ok"
    assert level("node-identity", with_nodes()) == "problem"


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ({"cp-1": ("127.0.1.1",)}, "ok"),
        ({"cp-1": (ADDRESS,), "cp-2": ("10.0.24.29",)}, "ok"),
        ({"cp-1": ("10.0.24.99",)}, "problem"),
        ({"cp-1": ("127.0.1.1", "10.0.24.99")}, "problem"),
        ({"cp-2": ("10.0.24.32",)}, "problem"),
        ({"cp-2": ("127.0.0.1",)}, "problem"),
        ({"k8s-api": ("127.0.0.1",)}, "ok"),
        ({"k8s-api": ("10.0.24.100",)}, "problem"),
        ({"k8s-api": ("nonsense",)}, "problem"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(hosts: dict[str, tuple[str, ...]], expected: str) -> None:
    assert level("names", with_nodes(ClusterNode("cp-1", ADDRESS, "cp"), hosts=hosts)) == expected


def test_a_copied_disk_is_not_the_machine_it_was() -> None:
    record = replace(RECORD, machine_id="a" * 32)
    assert level("machine-id", subject(installed=record, machine_id="a" * 32)) == "ok"
    finding = found("machine-id", subject(installed=record, machine_id="b" * 32))
    assert finding.level == "problem"
    assert "a" * 32 in finding.why
    assert "b" * 32 in finding.seen
    assert level("machine-id", subject(installed=RECORD, machine_id="b" * 32)) == "ok"


def test_trap_33_a_route_into_the_cluster_s_own_networks_is_refused() -> None:
    finding = found("address-plan", subject(routes=(Route("10.244.0.0/14", "eth0"),)))
    assert finding.level == "problem"
    assert finding.seen == "10.244.0.0/14 routed through eth0"
    assert level("address-plan", subject(routes=(Route("10.1.0.0/16", "eth0"),))) == "ok"
    assert level("address-plan", subject(routes=(Route("10.244.1.0/24", "eth0"),), installed=RECORD)) == "ok"


def test_the_ports_of_a_local_endpoint_must_be_free() -> None:
    taken: dict[str, Any] = {"listening_ports": (16443,)}
    assert level("ports", subject(**taken)) == "ok"
    assert level("ports", with_nodes(ClusterNode("cp-1", ADDRESS, "cp"), **taken)) == "problem"


def test_routes_are_read_from_the_kernel() -> None:
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    rows = (
        "eth0\t00000000\t0118000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0018000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "cni0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    zero = "0" * 32
    six = (
        f"fd00{'0' * 28} 40 {zero} 00 {zero} 00000100 1 0 1 eth0\n"
        f"fe80{'0' * 28} 40 {zero} 00 {zero} 00000100 1 0 1 eth0\n"
        f"{zero} 00 {zero} 00 {zero} 00000400 1 0 1 eth0\n"
    )
    node = FakeNode().with_files({"/proc/net/route": head + rows, "/proc/net/ipv6_route": six})
    assert probes.routes(node) == (("10.0.24.0/24", "eth0"), ("fd00::/64", "eth0"))
    assert probes.routes(FakeNode()) == ()


def test_hosts_are_read_with_every_name_and_without_comments() -> None:
    node = FakeNode().with_files({"/etc/hosts": "127.0.0.1 localhost\n\n10.0.0.1 CP-1 a # b\n10.0.0.2 a\n"})
    assert probes.hosts(node) == {"localhost": ("127.0.0.1",), "cp-1": ("10.0.0.1",), "a": ("10.0.0.1", "10.0.0.2")}
