"""CoreDNS' configuration in the cluster: written once, told line by line where it differs, and never in a loop."""

from __future__ import annotations

import re

import pytest

from installer.config import ClusterConfig
from installer.dns import DnsCache, DnsSettings
from installer.execute import Plan
from installer.plan import build_plan
from installer.render import resolver
from installer.render.corefile import corefile
from installer.status import gather_status
from installer.steps import coredns
from installer.steps.cluster import KUBECTL
from installer.steps.coredns import CoreDnsConfig
from installer.steps.kubeadm import KUBELET_CONFIG
from tests.fakes.desk import Desk
from tests.fakes.machine import KUBEADMS_COREFILE, Machine
from tests.fakes.small_bundle import small_bundle
from tests.unit.test_plan import ADDRESS, CLUSTER, LOCAL, carry_out, cp_plan, facts, join_file

STEP = CoreDnsConfig(DnsSettings(), "cluster.local")
NAME = "kube-system/coredns"
KNOWN_TO_KUBEADM = {
    "cache": ("success", "denial", "prefetch", "serve_stale", "disable", "servfail", "keepttl"),
    "errors": ("consolidate", "stacktrace"),
    "forward": ("except", "force_tcp", "prefer_udp", "expire", "max_fails", "policy", "health_check", "max_concurrent"),
    "health": ("lameduck",),
    "hosts": ("ttl", "no_reverse", "reload", "fallthrough"),
    "kubernetes": ("pods", "endpoint_pod_names", "ttl", "noendpoints", "fallthrough", "ignore"),
    "log": ("class",),
    **dict.fromkeys(("ready", "prometheus", "loop", "reload", "loadbalance"), ()),
}
"""What its library for carrying a Corefile over knows of every CoreDNS from 1.10.1 (Kubernetes 1.28) on."""


def cluster_with(live: str) -> Machine:
    machine = Machine()
    machine.node.write_file(KUBECTL, b"", mode=0o755)
    machine.cluster.configmaps[NAME] = {"Corefile": live}
    return machine


def live(machine: Machine) -> str:
    return machine.cluster.configmaps[NAME]["Corefile"]


def test_the_first_install_replaces_kubeadms_before_anything_else_runs_and_a_second_changes_nothing() -> None:
    machine = Machine()
    plan = cp_plan()
    order = [step.id for step in plan.steps]
    assert order.index("kubeadm/init") < order.index("dns/coredns") < order.index("cluster/ready")
    done = carry_out(machine, plan)
    assert done["dns/coredns"].detail == "outside names asked of nobody"
    assert live(machine) == corefile(DnsSettings(), "cluster.local", ())
    assert machine.node.read_text(coredns.KEPT_PATH) == KUBEADMS_COREFILE
    assert carry_out(machine, plan)["dns/coredns"].outcome == "as wanted"


@pytest.mark.parametrize("cluster", [CLUSTER, LOCAL])
@pytest.mark.parametrize("role", ["cp", "worker"])
def test_a_node_that_joins_leaves_it_to_the_first(cluster: ClusterConfig, role: str) -> None:
    join = join_file(cluster=cluster)
    plan: Plan = build_plan(small_bundle(), role, join.cluster, facts(), address=ADDRESS, join=join)
    assert "dns/coredns" not in [step.id for step in plan.steps]


@pytest.mark.parametrize(
    ("files", "upstreams", "asked"),
    [
        ({}, None, ()),
        ({"/etc/resolv.conf": "search corp.example\n"}, None, ()),
        ({"/etc/resolv.conf": "nameserver 127.0.0.53\n"}, None, ()),
        ({"/etc/resolv.conf": "nameserver 10.0.24.2\n"}, None, ("/etc/resolv.conf",)),
        ({"/etc/resolv.conf": "nameserver 10.0.24.2\n"}, (), ()),
        ({"/etc/resolv.conf": "nameserver 10.0.24.2\n"}, ("10.0.24.3",), ("10.0.24.3",)),
        ({}, ("10.0.24.3",), ("10.0.24.3",)),
        (
            {
                "/etc/resolv.conf": "nameserver 127.0.0.53\n",
                "/run/systemd/resolve/resolv.conf": "nameserver 10.0.24.2\n",
            },
            None,
            ("/etc/resolv.conf",),
        ),
    ],
)
def test_who_is_asked_for_outside_names(
    files: dict[str, str], upstreams: tuple[str, ...] | None, asked: tuple[str, ...]
) -> None:
    machine = cluster_with(KUBEADMS_COREFILE)
    machine.node.with_files(dict(files))
    assert coredns.upstreams(machine.node, DnsSettings(upstreams=upstreams)) == asked


def test_it_goes_by_the_file_that_the_kubelet_uses_once_there_is_one() -> None:
    machine = cluster_with(KUBEADMS_COREFILE)
    machine.node.with_files({"/etc/resolv.conf": "nameserver 10.0.24.2\n"})
    machine.node.with_files({KUBELET_CONFIG: f"resolvConf: {resolver.OWN_PATH}\n"})
    assert coredns.upstreams(machine.node, DnsSettings()) == (), "pods are not given the site's file"
    machine.node.with_files({KUBELET_CONFIG: "resolvConf: /etc/resolv.conf\n"})
    assert coredns.upstreams(machine.node, DnsSettings()) == ("/etc/resolv.conf",)
    machine.node.with_files({"/etc/resolv.conf": "nameserver ::1\n"})
    assert coredns.upstreams(machine.node, DnsSettings()) == (), "it would ask itself"


def test_what_somebody_wrote_is_shown_line_by_line_kept_and_replaced() -> None:
    machine = cluster_with("")
    STEP.apply(machine.node)
    ours = live(machine)
    theirs = ours.replace("ttl 30", "ttl 5").replace("    ready\n", "")
    machine.cluster.configmaps[NAME]["Corefile"] = theirs
    found = STEP.check(machine.node)
    assert not found.satisfied
    assert found.changes == (
        "write kube-system/coredns: outside names asked of nobody",
        "+    ready",
        "-        ttl 5",
        "+        ttl 30",
    )
    STEP.apply(machine.node)
    assert live(machine) == ours
    assert machine.node.read_text(coredns.KEPT_PATH) == theirs
    assert STEP.check(machine.node).satisfied


def test_only_the_corefile_of_the_config_map_is_touched() -> None:
    machine = cluster_with(KUBEADMS_COREFILE)
    machine.cluster.configmaps[NAME]["Corefile-backup"] = "kubeadm's"
    STEP.apply(machine.node)
    assert machine.cluster.configmaps[NAME]["Corefile-backup"] == "kubeadm's"


def test_an_api_that_does_not_answer_is_no_reason_to_call_it_done() -> None:
    machine = Machine()
    assert STEP.check(machine.node).changes == ("write kube-system/coredns: outside names asked of nobody",)


def test_status_says_when_somebody_changed_it(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    machine = desk.machine

    def state() -> list[str]:
        found = gather_status(machine.node, desk.journal).items
        return [item.state for item in found if item.kind == "configmap"]

    assert state() == ["as installed"]
    machine.cluster.configmaps[NAME]["Corefile"] += "# theirs\n"
    assert state() == ["changed"]
    del machine.cluster.configmaps[NAME]
    assert state() == ["changed"]
    assert "configmap kube-system/coredns" in desk.run("status")[1]


VARIANTS = (
    (DnsSettings(), ()),
    (DnsSettings(), ("/etc/resolv.conf",)),
    (DnsSettings(cache=DnsCache(prefetch_queries=0), log=()), ("10.0.24.2", "10.0.24.3")),
    (DnsSettings(zones={"corp.example": ("10.0.24.4",)}, hosts={"10.0.24.9": ("registry.corp.example", "r")}), ()),
)


@pytest.mark.parametrize(("dns", "asked"), VARIANTS)
def test_kubeadm_upgrade_can_carry_every_plugin_and_option_over(dns: DnsSettings, asked: tuple[str, ...]) -> None:
    plugin = ""
    for line in corefile(dns, "cluster.local", asked).splitlines():
        words = line.split()
        if line.startswith("    ") and not line.startswith("        ") and words != ["}"]:
            plugin = words[0]
            assert plugin in KNOWN_TO_KUBEADM
        elif line.startswith("        "):
            assert words[0] in KNOWN_TO_KUBEADM[plugin] or (plugin == "hosts" and re.match(r"[0-9.]+$", words[0]))


def test_a_name_of_the_site_is_found_in_whichever_zone_it_is() -> None:
    hosts: dict[str, tuple[str, ...]] = {"10.0.24.9": ("registry.corp.example", "printer")}
    hosts["10.0.24.8"] = ("a.lab.corp.example",)
    zones: dict[str, tuple[str, ...]] = {"corp.example": ("10.0.24.4",), "lab.corp.example": ("10.0.24.5",)}
    text = corefile(DnsSettings(zones=zones, hosts=hosts), "cluster.local", ())
    served = {
        block.split(":53")[0].strip("\n"): re.findall(r"10\.0\.24\.[89] .*", block) for block in text.split("\n}\n")
    }
    assert served == {
        ".": ["10.0.24.9 printer"],
        "corp.example": ["10.0.24.9 registry.corp.example"],
        "lab.corp.example": ["10.0.24.8 a.lab.corp.example"],
        "": [],
    }
