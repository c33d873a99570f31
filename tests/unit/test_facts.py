"""Facts of a machine, from what its kernel and its programs say."""

from __future__ import annotations

import json

import pytest

from installer import probes
from installer.facts import Address, NodeFacts, OsRelease, Swap, gather
from tests.fakes.debian import ADDRESS, addresses, debian
from tests.fakes.machine import KERNEL
from tests.fakes.node import FakeNode


def facts() -> NodeFacts:
    return gather(debian().node)


def test_a_machine_is_described() -> None:
    found = facts()
    assert (found.hostname, found.machine, found.platform, found.kernel) == ("cp-1", "x86_64", "linux/amd64", KERNEL)
    assert found.os_release == OsRelease("debian", "12", "Debian GNU/Linux 12 (bookworm)")
    assert (found.cgroup_version, found.systemd, found.cpus, found.memory_bytes) == (2, True, 2, 4040404 * 1024)
    assert found.swaps == (Swap("/dev/sda2", "partition", 1048572 * 1024),)
    assert found.addresses == (Address(ADDRESS, 24, "ens3", 1500),)
    assert (found.has_default_route, found.listening_ports) == (False, (22,))
    assert found.modules["overlay"] == "available"
    assert (found.runtime, found.kubernetes.in_cluster, found.installed) == (None, False, None)
    assert found.disks["/var/lib/containerd"].mount == "/"


def test_facts_are_plain_values() -> None:
    document = json.loads(json.dumps(facts().to_dict()))
    assert document["addresses"] == [{"address": ADDRESS, "interface": "ens3", "prefix_length": 24, "mtu_bytes": 1500}]
    assert document["platform"] == "linux/amd64"


def test_a_bare_machine_without_any_program_still_answers() -> None:
    node = FakeNode().absent("uname", "ip", "timedatectl", "systemctl")
    found = gather(node)
    assert (found.machine, found.platform, found.addresses, found.cpus, found.cgroup_version) == ("", None, (), 0, 0)
    assert (found.packages, found.firewalls, found.swaps, found.has_default_route) == ({}, (), (), False)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("/proc/net/route", "Iface\tDestination\nens3\t00000000\t0118000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", True),
        ("/proc/net/route", "Iface\tDestination\nens3\t00000000\t0118000A\t0003\t0\t0\t0\t000000FF\t0\t0\t0\n", False),
        ("/proc/net/ipv6_route", f"{'0' * 32} 00 {'0' * 32} 00 {'f' * 32} 00000400 1 0 00000003 ens3\n", True),
        ("/proc/net/ipv6_route", f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 1 0 00200200 lo\n", False),
    ],
)
def test_a_default_route_is_seen(path: str, text: str, expected: bool) -> None:
    assert probes.has_default_route(FakeNode().with_files({path: text})) is expected


def test_only_addresses_that_could_be_the_nodes_count() -> None:
    links = json.loads(
        addresses(("10.0.0.5", 24, "ens3"), ("192.168.9.2", 16, "br-0123456789ab"), ("10.9.9.9", 8, "br0"))
    )
    links.append({"ifname": "ens4", "flags": ["BROADCAST"], "addr_info": [{"local": "10.1.1.1", "scope": "global"}]})
    node = FakeNode().script("ip -j addr show", json.dumps(links))
    assert probes.addresses(node) == (("10.0.0.5", 24, "ens3", 1500), ("10.9.9.9", 8, "br0", 1500))


@pytest.mark.parametrize("text", ["", "not json", "{}", "[1, 2]"])
def test_an_ip_program_that_says_something_else_gives_no_address(text: str) -> None:
    assert probes.addresses(FakeNode().script("ip -j addr show", text)) == ()


@pytest.mark.parametrize(("online", "count"), [("0", 1), ("0-3", 4), ("0-1,4-7", 6), ("0,2,5", 3), ("", 0)])
def test_processors_online(online: str, count: int) -> None:
    assert probes.cpus(FakeNode().with_files({"/sys/devices/system/cpu/online": online})) == count


def test_modules_loaded_builtin_available_missing() -> None:
    node = FakeNode().with_files(
        {
            "/proc/modules": "overlay 1 0 - Live 0x0\nnf_conntrack 2 1 x, Live 0x0\n",
            "/lib/modules/6.1/modules.builtin": "kernel/net/bridge/br-netfilter.ko\n",
            "/lib/modules/6.1/modules.dep": "kernel/net/ip_vs.ko.xz: kernel/lib/libcrc32c.ko.xz\n",
        }
    )
    node.make_dir("/sys/module/vxlan")
    found = probes.modules(node, "6.1", ("overlay", "br_netfilter", "ip_vs", "vxlan", "libcrc32c", "nf_tables"))
    assert found == {
        "overlay": "loaded",
        "br_netfilter": "builtin",
        "ip_vs": "available",
        "vxlan": "builtin",
        "libcrc32c": "missing",
        "nf_tables": "missing",
    }


def test_modules_that_only_their_traces_show() -> None:
    node = FakeNode().with_files(
        {"/proc/filesystems": "nodev\toverlay\n", "/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n"}
    )
    found = probes.modules(node, "6.1", ("overlay", "br_netfilter", "vxlan"))
    assert found == {"overlay": "builtin", "br_netfilter": "builtin", "vxlan": "missing"}


def test_ports_of_both_families() -> None:
    node = FakeNode().with_files(
        {
            "/proc/net/tcp": "  sl\n 0: 0100007F:0016 00000000:0000 0A\n 1: 0100007F:1F90 0100007F:0016 01\n",
            "/proc/net/tcp6": f"  sl\n 0: {'0' * 32}:192B {'0' * 32}:0000 0A\n",
        }
    )
    assert probes.listening_ports(node) == (22, 6443)


def test_packages_of_both_families() -> None:
    node = FakeNode().script(["dpkg-query"], "installed kubelet 1.30.1-1.1\ndeinstalled docker.io 20\n")
    node.write_file("/usr/bin/dpkg-query", b"", mode=0o755)
    assert probes.packages(node) == {"kubelet": "1.30.1-1.1"}
    rpm = FakeNode(programs={"rpm"}).script(["rpm"], "containerd.io 1.7.1\npackage kubelet is not installed\n", code=1)
    assert probes.packages(rpm) == {"containerd.io": "1.7.1"}


def test_names_in_quotes_of_any_kind() -> None:
    text = 'ID=rocky\nPRETTY_NAME=\'Rocky "9"\'\n# comment\nVERSION_ID="9.4"\nBROKEN="x\n'
    assert probes.os_release(FakeNode().with_files({"/usr/lib/os-release": text})) == ("rocky", "9.4", 'Rocky "9"')
