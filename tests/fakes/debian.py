"""The rest of a Debian node: what facts and preflight look at, beside what the steps work on."""

from __future__ import annotations

import json

from installer.facts import TOOLS
from tests.fakes.machine import KERNEL, Machine

ADDRESS = "10.0.24.31"
MODULES = (
    "overlay",
    "br_netfilter",
    "nf_conntrack",
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_sh",
    "nf_tables",
    "vxlan",
)


def addresses(*found: tuple[str, int, str]) -> str:
    """What ``ip -j addr show`` prints for these addresses, with a loopback and a container bridge beside them."""
    links = [_link("lo", "127.0.0.1", 8, "host"), _link("cni0", "10.244.0.1", 24, "global")]
    links += [_link(name, address, length, "global") for address, length, name in found]
    return json.dumps(links)


def _link(name: str, address: str, length: int, scope: str) -> dict[str, object]:
    return {
        "ifname": name,
        "flags": ["UP", "LOWER_UP"],
        "mtu": 1500,
        "addr_info": [
            {"family": "inet6" if ":" in address else "inet", "local": address, "prefixlen": length, "scope": scope},
            {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
        ],
    }


def debian(*found: tuple[str, int, str]) -> Machine:
    """A fake Debian 12 machine with no default route, fit to become a control plane; one address unless given."""
    machine = Machine()
    machine.node.with_files(
        {
            "/etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "/lib/modules/" + KERNEL + "/modules.dep": "".join(f"kernel/x/{name}.ko.xz: \n" for name in MODULES),
            "/proc/meminfo": "MemTotal:        4040404 kB\nMemFree:         100 kB\n",
            "/proc/net/ipv6_route": f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 1 0 00200200 lo\n",
            "/proc/net/route": "Iface\tDestination\nens3\t0018000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
            "/proc/net/tcp": f"  sl  local_address\n   0: 00000000:{22:04X} 00000000:0000 0A 0\n",
            "/proc/sys/kernel/hostname": "cp-1\n",
            "/run/systemd/system/marker": "",
            "/sys/devices/system/cpu/online": "0-1\n",
            "/sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
            "/usr/bin/dpkg-query": "",
        }
    )
    machine.node.programs = {*TOOLS, "iptables-save", "ip6tables-save", "ipset", "ipvsadm"}
    node = machine.node
    node.write_file("/usr/bin/dpkg-query", b"", mode=0o755)
    node.script("uname -m", "x86_64\n").script("ip -j addr show", addresses(*(found or ((ADDRESS, 24, "ens3"),))))
    node.script("timedatectl show -p NTPSynchronized --value", "no\n").script(["dpkg-query"], "")
    for unit in ("firewalld", "ufw", "nftables"):
        node.script(["systemctl", "is-active", f"{unit}.service"], "inactive\n", code=3)
    node.script("systemctl show -p LoadState -p ActiveState fapolicyd.service", "LoadState=not-found\n")
    node.script("/usr/local/bin/containerd --version", "containerd github.com/containerd/containerd v1.7.27 abcdef\n")
    return machine
