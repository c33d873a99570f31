"""What a reset takes away: each row of the table, and that nothing of the site goes with it."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.leftovers import LEFTOVERS, Leftover, is_leftover_link, owner_of
from installer.packetfilter import grouped, left_servers, removals, virtual_servers
from installer.steps.leftovers import RemoveRoutes, RemoveVirtualServers, remove_leftovers
from tests.fakes.machine import Machine
from tests.fakes.network import PacketFilter

SITE = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:SITE-KUBE-IN - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "for KUBE-SERVICES people" -j ACCEPT
-A INPUT -m comment --comment "it's \\"cali\\" here" -j SITE-KUBE-IN
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -j RETURN
-A SITE-KUBE-IN -s 10.244.0.0/16 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 192.168.7.0/24 -j MASQUERADE
COMMIT
"""
KUBERNETES = """\
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
:FLANNEL-FWD - [0:0]
:cali-INPUT - [0:0]
:cali-tw-cali0123456789a - [0:0]
:CILIUM_INPUT - [0:0]
:CNI-ADMIN - [0:0]
:CNI-FORWARD - [0:0]
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-A INPUT -m comment --comment "cilium-feeder: CILIUM_INPUT" -j CILIUM_INPUT
-A INPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A INPUT -d 169.254.20.10/32 -p udp -m comment --comment "NodeLocal DNS Cache: allow DNS traffic" -j ACCEPT
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A FORWARD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-INPUT -g cali-tw-cali0123456789a
-A CNI-FORWARD -j CNI-ADMIN
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
COMMIT
*nat
:KUBE-SVC-ERIFXISQEP7F7OF4 - [0:0]
:KUBE-SVC-TCOU7JCQXEZGVUNU - [0:0]
:CNI-0123456789abcdef01234567 - [0:0]
-A POSTROUTING -s 10.244.0.5/32 -m comment --comment "name: \\"cbr0\\" id: \\"ab\\"" -j CNI-0123456789abcdef01234567
-A KUBE-SVC-ERIFXISQEP7F7OF4 -j KUBE-SVC-TCOU7JCQXEZGVUNU
COMMIT
"""
EXAMPLES = {
    "KUBE-*": "KUBE-SVC-ERIFXISQEP7F7OF4",
    "CNI-*": "CNI-HOSTPORT-DNAT",
    "FLANNEL-*": "FLANNEL-POSTRTG",
    "cali-*": "cali-OUTPUT",
    "CILIUM_*": "CILIUM_POST_nat",
    "OLD_CILIUM_*": "OLD_CILIUM_PRE_nat",
    "NodeLocal DNS Cache: *": "NodeLocal DNS Cache: skip conntrack",
    "cali:*": "cali:O3lYWMrLQYEMJtB5",
    "cilium-feeder: *": "cilium-feeder: CILIUM_INPUT",
    "cali40*": "cali40masq-ipam-pools",
    "cali4t*": "cali4t0",
    "cali60*": "cali60all-ipam-pools",
    "cali6t*": "cali6t1",
    "cali[0-9a-f]*": "cali0123456789a",
    "cilium_*": "cilium_host",
    "lxc[0-9a-f]*": "lxc9f2c77e1aa02",
}
LINK_KIND = {"cali[0-9a-f]*": "veth", "lxc[0-9a-f]*": "veth", "lxc_health": "veth"}


def machine_with(row: Leftover) -> Machine:
    """A machine on which one thing of a row was left, and nothing else."""
    machine, name = Machine(), EXAMPLES.get(row.mark, row.mark)
    machine.node.programs = {"iptables-save", "ip6tables-save", "nft", "ipset", "ipvsadm"}
    network = machine.net
    if row.kind == "chain":
        network.filters["ip6tables"] = PacketFilter(f"*raw\n:OUTPUT ACCEPT [0:0]\n:{name} - [0:0]\nCOMMIT\n")
    elif row.kind == "comment":
        rule = f'-A OUTPUT -m comment --comment "{name}" -j ACCEPT'
        network.filters["iptables"] = PacketFilter(f"*raw\n:OUTPUT ACCEPT [0:0]\n{rule}\nCOMMIT\n")
    elif row.kind == "set":
        network.sets = [name]
    elif row.kind == "table":
        network.nft_tables = [name]
    elif row.kind == "link":
        network.links = [link(name, LINK_KIND.get(row.mark, "dummy"))]
    elif row.kind == "port of":
        network.links = [link(name, "bridge"), link("veth0a1b2c3d", "veth", master=name)]
    elif row.kind == "address on":
        network.links = [link(name, "ipip", "10.244.3.1")]
    elif row.kind == "route":
        network.routes = [{"dst": "10.244.111.192/26", "gateway": "10.0.24.31", "dev": "eth0", "protocol": name}]
    else:
        machine.node.with_files({name: "x"})
    return machine


def link(name: str, kind: str, *addresses: str, **more: str) -> dict[str, Any]:
    infos = [{"local": address, "scope": "global"} for address in addresses]
    return {"ifname": name, "linkinfo": {"info_kind": kind}, "addr_info": infos, **more}


def take_away(machine: Machine) -> list[str]:
    """Carries every step out; those that had something to do."""
    acted = []
    for step in remove_leftovers("10.244.0.0/16", "10.96.0.0/12"):
        found = step.check(machine.node)
        if not found.satisfied:
            assert found.changes, step.id
            step.apply(machine.node)
            assert step.check(machine.node).satisfied, step.id
            acted.append(step.id)
    return acted


@pytest.mark.parametrize("row", LEFTOVERS, ids=lambda row: f"{row.kind} {row.mark}")
def test_trap_15_each_row_is_found_and_taken_away(row: Leftover) -> None:
    machine = machine_with(row)
    assert len(take_away(machine)) == 1
    assert take_away(machine) == []
    assert machine.node.files() == machine_with(row).node.files() or row.kind == "file"
    assert [entry["ifname"] for entry in machine.net.links] == (["tunl0"] if row.kind == "address on" else [])


def test_every_row_has_an_owner_and_no_row_is_there_twice() -> None:
    assert len({(row.kind, row.mark) for row in LEFTOVERS}) == len(LEFTOVERS)
    assert all(row.owner for row in LEFTOVERS)


@pytest.mark.parametrize(
    ("name", "kind", "bridge"),
    [
        ("eth0", "", ""),
        ("docker0", "bridge", ""),
        ("veth1a2b3c4", "veth", "docker0"),
        ("lxcbr0", "bridge", ""),
        ("lxdbr0", "bridge", ""),
        ("calibration", "vlan", ""),
        ("tunl0", "ipip", ""),
        ("flannel.2", "vxlan", ""),
        ("eth1", "", "cni0"),
    ],
)
def test_interfaces_of_the_site_stay(name: str, kind: str, bridge: str) -> None:
    assert not is_leftover_link(name, kind, bridge)


def test_nothing_of_a_site_alone_is_touched() -> None:
    machine = Machine()
    machine.node.programs = {"iptables-save", "ip6tables-save", "nft", "ipset", "ipvsadm", "bird"}
    machine.net.filters["iptables"] = PacketFilter(SITE)
    machine.net.nft_tables = ["inet filter", "ip nat", "inet kube-proxy", "ip site-calico"]
    machine.net.sets = ["blocked", "site-KUBE-x"]
    machine.net.servers = "TCP  C0A80A01:0050 rr\n  -> C0A80A02:1F90      Masq    1      0          0\n"
    machine.net.links = [link("eth0", "", "10.0.24.31"), link("tunl0", "ipip", "172.31.0.1")]
    machine.net.routes = [{"dst": "default", "gateway": "10.0.24.1", "dev": "eth0", "protocol": "bird"}]
    before = machine.node.files()
    assert take_away(machine) == []
    assert machine.net.filters["iptables"].saved() == SITE
    assert machine.node.files() == before


def merged(saved: str, other: str) -> str:
    """The rules of both, as they stand together on one machine."""
    both = PacketFilter(saved)
    for name, table in PacketFilter(other).tables.items():
        both.tables[name].chains |= table.chains
        both.tables[name].rules = [*table.rules, *both.tables[name].rules]
    return both.saved()


def test_rules_of_the_site_survive_byte_for_byte() -> None:
    found = PacketFilter(merged(SITE, KUBERNETES))
    script = removals(found.saved()).script
    found.restore(script)
    assert found.saved() == SITE
    assert removals(SITE).script == ""


def test_what_goes_is_told_with_counts_and_names() -> None:
    filter_, rules, nat, one_rule = removals(merged(SITE, KUBERNETES)).told()
    assert filter_.startswith("filter: delete 8 chains, CILIUM_INPUT, CNI-ADMIN, CNI-FORWARD, FLANNEL-FWD, KUBE-")
    assert filter_.endswith("cali-INPUT, cali-tw-* (1)")
    assert rules == "filter: delete 7 rules of theirs from other chains"
    assert nat == "nat: delete 3 chains, CNI-* (1), KUBE-SVC-* (2)"
    assert one_rule.startswith("nat: delete 1 rule of")
    assert grouped(["KUBE-PROXY-FIREWALL", "KUBE-EXTERNAL-SERVICES", "CNI-DN-34d12f4583f5ecbe79fd3"]) == (
        "CNI-DN-* (1), KUBE-EXTERNAL-SERVICES, KUBE-PROXY-FIREWALL"
    )


def test_rules_an_administrator_wrote_for_pods_stay() -> None:
    rule = "-A CNI-ADMIN -s 10.0.0.0/8 -j ACCEPT"
    found = PacketFilter(merged(SITE, KUBERNETES.replace("-A CNI-FORWARD", f"{rule}\n-A CNI-FORWARD")))
    found.restore(removals(found.saved()).script)
    assert rule in found.saved()
    assert "CNI-FORWARD" not in found.saved()


_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True)
_SITE_CHAINS = _NAMES.filter(lambda name: owner_of("chain", name) is None)
_OWN_CHAINS = st.builds(
    "{}{}".format,
    st.sampled_from(["KUBE-", "CNI-", "FLANNEL-", "cali-", "CILIUM_", "OLD_CILIUM_"]),
    st.from_regex(r"[A-Z0-9]{1,16}", fullmatch=True),
).filter(lambda name: name != "CNI-ADMIN")
_COMMENTS = st.text(st.characters(codec="ascii", categories=("L", "N", "Zs")), max_size=12)


@given(
    st.lists(_SITE_CHAINS, min_size=1, max_size=5, unique=True),
    st.lists(_OWN_CHAINS, min_size=1, max_size=5, unique=True),
    st.data(),
)
def test_whatever_the_rules_only_ours_go(site: list[str], ours: list[str], data: st.DataObject) -> None:
    saved, wanted = [":INPUT DROP [0:0]"], [":INPUT DROP [0:0]"]
    for chain in (*site, *ours):
        saved.append(f":{chain} - [0:0]")
        wanted += [f":{chain} - [0:0]"] if chain in site else []
    for _ in range(data.draw(st.integers(0, 12))):
        chain = data.draw(st.sampled_from(["INPUT", *site, *ours]))
        target = data.draw(st.sampled_from(["ACCEPT", *site, *ours]))
        comment = data.draw(_COMMENTS)
        rule = f'-A {chain} -m comment --comment "x{comment}" -{data.draw(st.sampled_from("jg"))} {target}'
        saved.append(rule)
        wanted += [rule] if chain not in ours and target not in ours else []
    found = PacketFilter("\n".join(["*filter", *saved, "COMMIT"]))
    found.restore(removals(found.saved()).script)
    assert found.saved().splitlines() == ["*filter", *wanted, "COMMIT"]


SERVERS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr
  -> 0A00181F:192B      Masq    1      0          0
UDP  0A60000A:0035 rr
TCP  0A00181F:7530 rr
  -> 0AF40005:1F90      Masq    1      0          0
TCP  0A00181F:7531 rr
TCP  C0A80A01:0050 rr
  -> C0A80A02:1F90      Masq    1      0          0
FWM  00000005 rr
  -> 0AF40005:1F90      Masq    1      0          0
TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:01BB rr
"""


def test_virtual_servers_of_the_site_stay() -> None:
    servers = virtual_servers(SERVERS)
    assert [server.endpoint for server in servers][-1] == "[fd00::1]:443"
    pods, services = ip_network("10.244.0.0/16"), ip_network("10.96.0.0/12")
    left = left_servers(servers, own=(), pods=pods, services=services, has_link=True)
    wanted = ["10.96.0.1:443", "10.96.0.10:53", "10.0.24.31:30000", "10.0.24.31:30001"]
    assert [server.endpoint for server in left] == wanted
    left = left_servers(servers, own=("fd00::1",), pods=pods, services=services, has_link=False)
    assert [server.endpoint for server in left] == [*wanted[:3], "[fd00::1]:443"]


@pytest.mark.parametrize("tool", [True, False])
def test_virtual_servers_go_where_there_is_a_tool_and_are_told_where_not(tool: bool) -> None:
    machine = Machine()
    machine.node.programs = {"ipvsadm"} if tool else set()
    ipv4 = SERVERS.partition("TCP  [")[0]
    machine.net.servers = ipv4
    machine.net.links = [link("kube-ipvs0", "dummy")]
    machine.node.with_files({"/proc/net/ip_vs": ipv4})
    step = RemoveVirtualServers(ip_network("10.244.0.0/16"), ip_network("10.96.0.0/12"))
    found = step.check(machine.node)
    if not tool:
        assert (found.satisfied, found.detail) == (True, "4 stay until a reboot: no ipvsadm here")
        return
    assert found.changes[0] == "delete tcp 10.96.0.1:443"
    assert step.apply(machine.node) == "4 deleted"
    assert [server.endpoint for server in virtual_servers(machine.net.servers)] == ["192.168.10.1:80"]


def test_trap_18_routes_of_calicos_bird_go_and_those_of_the_sites_own_bird_stay() -> None:
    machine = Machine()
    routes = [
        {"dst": "10.244.111.192/26", "gateway": "10.0.24.31", "dev": "eth0", "protocol": "bird"},
        {"type": "blackhole", "dst": "10.244.5.0/26", "protocol": "bird"},
        {"dst": "172.20.0.0/16", "gateway": "10.0.24.9", "dev": "eth0", "protocol": "bird"},
        {"dst": "10.0.24.0/24", "dev": "eth0", "protocol": "kernel"},
    ]
    step = RemoveRoutes(ip_network("10.244.0.0/16"))
    machine.net.routes = list(routes)
    assert len(step.check(machine.node).changes) == 3
    machine.node.programs = {"bird"}
    assert step.check(machine.node).changes == (
        "delete route 10.244.111.192/26 via 10.0.24.31 dev eth0 proto bird",
        "delete route blackhole 10.244.5.0/26 proto bird",
    )
    step.apply(machine.node)
    assert machine.net.routes == routes[2:]


def test_what_the_tools_say_strangely_is_not_acted_on() -> None:
    machine = Machine()
    machine.node._answers[("ip",)].clear()
    machine.node.script(["ip"], json.dumps({"not": "a list"})[:5])
    assert take_away(machine) == []
