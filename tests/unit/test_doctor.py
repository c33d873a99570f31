"""The doctor's checks: each on a node that is well, and on one that is broken in the way it is there for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from installer.bundle.digest import Digest
from installer.certificates import Validity, first_validity
from installer.check import Choice, Finding
from installer.config import ClusterConfig
from installer.doctor import CHECKS, demand_well, diagnose
from installer.doctor.containers import Container, containers, decoded
from installer.doctor.counters import Counters, counters
from installer.doctor.health import Health, RoutedNetwork, look_at_health
from installer.doctor.signatures import SIGNATURES, sightings
from installer.drift import Item
from installer.errors import HealthError
from installer.facts import gather
from installer.installed import Installed
from installer.kernelstate import KernelState, Table
from installer.node import DiskSpace
from installer.preflight import CHECKS as PREFLIGHT
from tests.fakes.certificate import CA_PEM
from tests.fakes.debian import ADDRESS, debian
from tests.fakes.node import FakeNode

_DAY = 24 * 3600
NODE = debian().node
NOW = int(NODE.clock_seconds)
RECORD = Installed(
    Digest.of(b""), "k8s", "1.30.14", "cp", "cp-1", ADDRESS, "/var/lib/containerd", "done", NOW - 10 * _DAY
)
FACTS = replace(gather(NODE), installed=RECORD, network_configurations=("05-cilium.conflist",))
PAUSE = "registry.k8s.io/pause:3.9"
RUNNING = tuple(
    Container(f"kube-system/{name}-cp-1", name, "running", 0, "", 0)
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
)
WELL = Health(
    facts=FACTS,
    config=ClusterConfig(),
    services={"containerd": "active", "kubelet": "active"},
    restarts={"containerd": 0, "kubelet": 1},
    items=(Item("image", PAUSE, "as installed"), Item("file", "/etc/crictl.yaml", "as installed")),
    certificates={"/etc/kubernetes/pki/apiserver.crt": Validity(NOW - _DAY, NOW + 300 * _DAY)},
    containers=RUNNING,
    routes=(RoutedNetwork("default", "ens3", "static"), RoutedNetwork("10.244.0.0/24", "cilium_host", "kernel")),
    plugins_missing=(),
    sandbox=PAUSE,
    sandbox_wanted=PAUSE,
    api="ok",
    api_error="",
    name_servers=("10.0.0.2",),
    counters=Counters(),
)


def judged(**changes: Any) -> tuple[Finding, ...]:
    return diagnose(replace(WELL, **changes), Choice())


def facts(**changes: Any) -> dict[str, Any]:
    return {"facts": replace(FACTS, **changes)}


def certificate(begins: int, ends: int) -> dict[str, Any]:
    return {"certificates": {"/etc/kubernetes/pki/apiserver.crt": Validity(NOW + begins * _DAY, NOW + ends * _DAY)}}


def with_container(**changes: Any) -> dict[str, Any]:
    """One of the control plane's containers changed."""
    return {"containers": (*RUNNING[1:], replace(RUNNING[0], **changes))}


def test_a_node_that_is_well_has_nothing_to_say() -> None:
    assert [item for item in judged() if item.level != "ok"] == []
    demand_well(judged(), "cp-1")


def test_names_are_one_check_s_each_but_for_those_shared_with_the_preflight() -> None:
    ours: list[str] = [item.name for item in CHECKS]
    before: dict[str, Any] = {item.name: item for item in PREFLIGHT}
    assert len(ours) == len(set(ours))
    assert all(before[item.name] is item for item in CHECKS if item.name in before)


BROKEN: list[tuple[str, dict[str, Any], str, str]] = [
    ("install", facts(installed=replace(RECORD, state="started")), "problem", "run the same ./install again"),
    ("install", facts(installed=None), "warn", "sudo ./install"),
    ("services kubelet", {"services": {"kubelet": "failed"}}, "problem", "systemctl restart kubelet"),
    ("services containerd", {"services": {"containerd": "inactive"}}, "problem", "systemctl restart containerd"),
    ("services kubelet", {"services": {"kubelet": "waiting for kubeadm"}}, "warn", "./install"),
    ("services kubelet", {"restarts": {"kubelet": 12}}, "warn", "journalctl -u kubelet"),
    ("cri", {"containers": None}, "problem", "systemctl restart containerd"),
    ("static-pods etcd", {"containers": RUNNING[1:]}, "problem", "ls /etc/kubernetes/manifests/etcd.yaml"),
    ("static-pods etcd", with_container(state="exited", exit_code=137), "problem", "crictl logs"),
    (
        "containers coredns-1/coredns",
        {"containers": (*RUNNING, Container("kube-system/coredns-1", "coredns", "exited", 1, "Error", 7))},
        "problem",
        "crictl logs",
    ),
    ("api", {"api": "", "api_error": "connection refused"}, "problem", "static-pods"),
    ("pause", {"sandbox": "registry.k8s.io/pause:3.10"}, "problem", "./install"),
    ("pause", {"sandbox": None}, "problem", "containerd config dump"),
    ("images", {"items": (Item("image", PAUSE, "changed", "pinned", "not pinned"),)}, "problem", "./install"),
    ("drift", {"items": (Item("sysctl", "net.ipv4.ip_forward", "changed", "at least 1", "0"),)}, "warn", "./install"),
    ("certificates apiserver.crt", certificate(-400, -1), "problem", "kubeadm certs renew all"),
    ("certificates apiserver.crt", certificate(-300, 3), "problem", "kubeadm certs renew all"),
    ("certificates apiserver.crt", certificate(-300, 30), "warn", "kubeadm certs renew all"),
    ("certificates apiserver.crt", certificate(1, 300), "problem", "date -u -s"),
    ("certificates apiserver.crt", {"certificates": {"/etc/kubernetes/pki/apiserver.crt": None}}, "problem", "copy"),
    ("disks /", facts(disks={"/": DiskSpace("/", 1000, 50, 100)}), "problem", "du -xh"),
    ("disks /", facts(disks={"/": DiskSpace("/", 1000, 120, 100)}), "warn", "du -xh"),
    ("disks /", facts(disks={"/": DiskSpace("/", 1000, 900, 0)}), "problem", "--inodes"),
    ("tasks", facts(kernel_state=KernelState(tasks=Table(95, 100))), "problem", "kernel.pid_max"),
    ("conntrack", facts(kernel_state=KernelState(conntrack=Table(99, 100))), "problem", "nf_conntrack_max"),
    ("neighbours", facts(kernel_state=KernelState(neighbours=Table(1000, 1024))), "warn", "gc_thresh3"),
    ("inotify", {"inotify": {0: Table(8192, 8192), 1000: Table(3, 8192)}}, "problem", "max_user_watches"),
    ("inotify", {"inotify": {1000: Table(7000, 8192)}}, "warn", "max_user_watches"),
    ("overflows neighbours", {"counters": Counters(neighbours_refused=4)}, "warn", "gc_thresh3"),
    ("overflows connections", {"counters": Counters(connections_dropped=4)}, "warn", "nf_conntrack_max"),
    ("overflows races", {"counters": Counters(insertions_failed=9)}, "warn", "node-local-dns"),
    ("overflows accepts", {"counters": Counters(accepts_overflowed=2)}, "warn", "somaxconn"),
    (
        "cgroups-left",
        facts(kernel="3.10.0-1160.el7", cgroup_version=1) | {"counters": Counters(memory_groups=65_100)},
        "problem",
        "nokmem",
    ),
    ("pod-network", facts(network_configurations=()), "problem", "kubectl"),
    ("pod-network", facts(network_configurations=("05-cilium.conflist", "10-calico.conflist")), "problem", "10-calico"),
    ("pod-network", {"plugins_missing": ("portmap",)}, "problem", "./install"),
    (
        "routes",
        {"routes": (RoutedNetwork("10.244.1.0/26", "ens3", "bird"),)},
        "problem",
        "ip route del 10.244.1.0/26 dev ens3",
    ),
    ("resolver", {"name_servers": ("127.0.0.53",)}, "warn", "dns.upstream"),
    ("resolver", {"name_servers": ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")}, "warn", "three"),
    ("clock-back", facts(now_seconds=RECORD.since_seconds - 1) | certificate(-20, 90), "problem", "date -u -s"),
    (
        "logs the connection table is full",
        {"sightings": sightings({"journalctl -k": "nf_conntrack: table full, dropping packet"}, SIGNATURES)},
        "warn",
        "explain conntrack",
    ),
]


@pytest.mark.parametrize(("name", "changes", "level", "fix"), BROKEN)
def test_a_break_is_found_by_its_check_alone(name: str, changes: dict[str, Any], level: str, fix: str) -> None:
    (found,) = (item for item in judged(**changes) if item.level != "ok")
    assert (found.name, found.level) == (name, level)
    assert fix in found.fix
    assert found.why


def test_every_check_can_find_something() -> None:
    assert {item.name for item in CHECKS} - {name.partition(" ")[0] for name, *_ in BROKEN} == {"open-files"}


def test_calico_s_own_routes_are_not_foreign_to_it() -> None:
    calico = facts(network_configurations=("10-calico.conflist",))
    bird = (RoutedNetwork("10.244.1.0/26", "ens3", "bird"),)
    assert not [item for item in judged(routes=bird, **calico) if item.level != "ok"]


def test_problems_end_with_what_to_do_and_an_exit_code() -> None:
    with pytest.raises(HealthError) as caught:
        demand_well(judged(containers=None, sandbox=None), "cp-1")
    assert str(caught.value.got).startswith("2 problems\ncri: does not answer\n  why  ")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (0, "ended well"),
        (1, "its log says why"),
        (127, "no such program"),
        (137, "SIGKILL"),
        (139, "SIGSEGV"),
        (143, "SIGTERM"),
        (160, "signal 32"),
        (70, "sysexits"),
        (42, "own code"),
        (255, "out of range"),
    ],
)
def test_exit_codes_are_decoded(code: int, meaning: str) -> None:
    assert meaning in decoded(code)


LINES = {
    "neighbour: arp_cache: neighbor table overflow!": "the ARP table is full",
    "inotify_add_watch /sys/fs/cgroup/x: no space left on device": "a user's inotify watches are used up",
    "mkdir /sys/fs/cgroup/memory/kubepods/x: no space left on device": "the kernel leaks memory control groups",
    "write /var/lib/containerd/x: no space left on device": "a disk is full",
    "runc: page allocation failure: order:6, mode:0x40d0": "memory is too fragmented",
    'failed to get sandbox image "registry.k8s.io/pause:3.10"': "the sandbox image is not in the store",
    'Failed to pull image "x": dial tcp: lookup x: no such host': "an image is not here",
    "tls: failed to verify certificate: x509: certificate has expired or is not yet valid": "a certificate is",
    '[FATAL] plugin/loop: Loop (127.0.0.1:1 -> :53) detected for zone "."': "CoreDNS asks itself",
}


@pytest.mark.parametrize(("line", "cause"), LINES.items())
def test_a_line_has_one_cause(line: str, cause: str) -> None:
    found = sightings({"log": f"before\n{line}\n{line}\nafter"}, SIGNATURES)
    assert [(item.times, item.line) for item in found] == [(2, line)]
    assert found[0].signature.cause.startswith(cause)


def test_the_newest_container_of_a_name_counts() -> None:
    def row(attempt: int, state: str, code: int) -> dict[str, Any]:
        labels = {"io.kubernetes.pod.namespace": "kube-system", "io.kubernetes.pod.name": "etcd-cp-1"}
        metadata = {"name": "etcd", "attempt": attempt}
        return {"metadata": metadata, "labels": labels, "state": f"CONTAINER_{state}", "exitCode": code}

    argv = "/usr/local/bin/crictl --runtime-endpoint unix:///x ps -a -o json"
    rows = [row(1, "RUNNING", 0), row(0, "EXITED", 2)]
    node = FakeNode().script(argv, json.dumps({"containers": rows}))
    assert containers(node, "unix:///x") == (Container("kube-system/etcd-cp-1", "etcd", "running", 0, "", 1),)
    assert containers(FakeNode().script(argv, "", code=1), "unix:///x") is None
    assert containers(FakeNode().script(argv, "rubbish"), "unix:///x") is None


def test_counters_are_found_by_their_column_s_name() -> None:
    node = FakeNode().with_files(
        {
            "/proc/net/stat/arp_cache": "entries table_fulls\n10 0000000a\n10 00000001\n",
            "/proc/net/stat/nf_conntrack": "entries drop early_drop insert_failed\n1 2 3 ff\n1 0 0 rubbish\n",
            "/proc/net/netstat": "TcpExt: A ListenOverflows\nTcpExt: 1 77\nIpExt: B\nIpExt: 2\n",
            "/proc/cgroups": "#subsys_name hierarchy num_cgroups enabled\nmemory 4 812 1\n",
        }
    )
    assert counters(node) == Counters(11, 5, 255, 77, 812)
    assert counters(FakeNode()) == Counters()


def test_a_certificate_s_dates_are_read() -> None:
    found = first_validity(CA_PEM)
    assert found == Validity(1795246153, 2110606153)
    assert first_validity("no certificate") is None
    assert first_validity(CA_PEM.replace("MIIDCzCC", "MIIDCzAA")) is None


def test_a_node_is_looked_at_without_an_api(tmp_path: Path) -> None:
    machine = debian()
    node = machine.node
    ask = "/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/kubelet.conf get --raw=/readyz --request-timeout=10s"
    node.with_files(
        {
            "/etc/kubernetes/kubelet.conf": "",
            "/etc/kubernetes/pki/ca.crt": CA_PEM,
            "/etc/cni/net.d/05-cilium.conflist": json.dumps({"plugins": [{"type": "cilium-cni"}, {"type": "portmap"}]}),
            "/opt/cni/bin/portmap": "",
            "/etc/resolv.conf": "search x\nnameserver 10.0.0.2\n",
        }
    )
    routes = [{"dst": "10.244.1.0/26", "dev": "ens3", "protocol": "bird"}]
    node.script(ask, "", code=1, stderr="Unable to connect\nconnection refused\n")
    node.script("ip -j route show", json.dumps(routes))
    node.script("/usr/local/bin/crictl --runtime-endpoint unix:///run/containerd/containerd.sock ps -a -o json", code=1)
    for unit in ("containerd", "kubelet"):
        node.script(f"systemctl show -p NRestarts --value {unit}.service", "3\n")
        node.script(f"journalctl -q --no-pager -o cat -n 2000 -u {unit}", "PLEG is not healthy\n")
    node.script("journalctl -q --no-pager -o cat -n 2000 -k", "")
    found = look_at_health(node, tmp_path)
    assert (found.api, found.api_error) == ("", "connection refused")
    assert found.plugins_missing == ("cilium-cni",)
    assert found.routes == (RoutedNetwork("10.244.1.0/26", "ens3", "bird"),)
    assert found.name_servers == ("10.0.0.2",)
    assert found.restarts == {"containerd": 3, "kubelet": 3}
    assert set(found.certificates) == {"/etc/kubernetes/pki/ca.crt"}
    assert [item.signature.cause for item in found.sightings] == ["containerd answers the kubelet too slowly"] * 2
    names = {item.name.partition(" ")[0] for item in diagnose(found, Choice()) if item.level == "problem"}
    assert {"cri", "api", "routes", "pod-network"} <= names
