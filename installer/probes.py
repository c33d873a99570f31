"""Single questions about a node, answered from ``/proc``, ``/sys``, ``/etc`` and a few read-only commands.

Each takes a view and returns plain values. What a minimal or strange machine does not say is empty, never an error:
the preflight decides what an absence means.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from collections.abc import Iterable
from typing import Any

from installer.node import NodeView

CLUSTER_PATHS = (
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/pki/ca.crt",
    "/var/lib/etcd/member",
    "/var/lib/kubelet/config.yaml",
)
"""What kubeadm leaves on a node that was initialised or joined."""
PACKAGES = (
    "cri-o",
    "containerd",
    "containerd.io",
    "docker-ce",
    "docker.io",
    "kubeadm",
    "kubectl",
    "kubelet",
    "moby-engine",
)
_LISTEN = "0A"
_MODULE_WITNESSES = {"br_netfilter": "/proc/sys/net/bridge/bridge-nf-call-iptables"}
"""What is there when a module is built into a kernel that ships no list of its built-in modules."""
_CONTAINER_INTERFACE = re.compile(
    r"cni|docker|cbr|br-[0-9a-f]{12}|veth|flannel|cali|cilium|lxc|tunl|vxlan\.|kube-|nodelocaldns|virbr"
)


def first_line(view: NodeView, path: str) -> str:
    """The first line of a file, or ``""``."""
    lines = (view.read_text(path) or "").splitlines()
    return lines[0].strip() if lines else ""


def kernel(view: NodeView) -> str:
    """The kernel's release, as ``uname -r`` prints it."""
    return first_line(view, "/proc/sys/kernel/osrelease")


def machine(view: NodeView) -> str:
    """The machine, as ``uname -m`` prints it."""
    return view.query(["uname", "-m"]).stdout.strip()


def os_release(view: NodeView) -> tuple[str, str, str]:
    """Id, version id and full name of the distribution."""
    values: dict[str, str] = {}
    for line in (view.read_text("/etc/os-release") or view.read_text("/usr/lib/os-release") or "").splitlines():
        key, _, value = line.partition("=")
        try:
            words = shlex.split(value)
        except ValueError:
            words = [value]
        values[key.strip()] = " ".join(words)
    return values.get("ID", ""), values.get("VERSION_ID", ""), values.get("PRETTY_NAME", "")


def cgroup_version(view: NodeView) -> int:
    """2, 1, or 0 where there are no control groups."""
    if view.stat("/sys/fs/cgroup/cgroup.controllers") is not None:
        return 2
    return 1 if view.list_dir("/sys/fs/cgroup") else 0


def clock_synchronised(view: NodeView) -> bool:
    """Whether systemd says that a time source keeps the clock."""
    return view.query(["timedatectl", "show", "-p", "NTPSynchronized", "--value"]).stdout.strip() == "yes"


def cpus(view: NodeView) -> int:
    """How many processors are online."""
    count = 0
    for part in first_line(view, "/sys/devices/system/cpu/online").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            count += int(last or first) - int(first) + 1
    return count


def memory_bytes(view: NodeView) -> int:
    """All memory the kernel has."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", view.read_text("/proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def swaps(view: NodeView) -> tuple[tuple[str, str, int], ...]:
    """Each swap area in use: device, kind, size in bytes."""
    rows = [line.split() for line in (view.read_text("/proc/swaps") or "").splitlines()[1:]]
    return tuple((row[0], row[1], int(row[2]) * 1024) for row in rows if len(row) >= 3)


def addresses(view: NodeView) -> tuple[tuple[str, int, str, int], ...]:
    """Each address that could be the node's: address, prefix length, interface, and that one's MTU in bytes.

    Loopback, link-local and deprecated addresses, and those of container bridges and of interfaces that are down,
    are left out.
    """
    found: list[tuple[str, int, str, int]] = []
    for link in _json_list(view.query(["ip", "-j", "addr", "show"]).stdout):
        name = str(link.get("ifname", ""))
        if "UP" not in link.get("flags", []) or _is_container_interface(name):
            continue
        for item in link.get("addr_info", []):
            if item.get("scope") == "global" and not item.get("deprecated") and not item.get("temporary"):
                found.append((str(item["local"]), int(item["prefixlen"]), name, int(link.get("mtu", 0))))
    return tuple(found)


def has_default_route(view: NodeView) -> bool:
    """Whether packets to anywhere have a way out, over IPv4 or IPv6."""
    for line in (view.read_text("/proc/net/route") or "").splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == "00000000" and words[7] == "00000000":
            return True
    for line in (view.read_text("/proc/net/ipv6_route") or "").splitlines():
        words = line.split()
        if len(words) > 9 and words[0] == "0" * 32 and words[1] == "00" and words[9] != "lo":
            return True
    return False


def routes(view: NodeView) -> tuple[tuple[str, str], ...]:
    """Each network the kernel has a route to, and the interface; without default routes, hosts and container nets."""
    found: list[tuple[str, str]] = []
    for line in (view.read_text("/proc/net/route") or "").splitlines()[1:]:
        words = line.split()
        if len(words) > 7:
            address, mask = (int.from_bytes(bytes.fromhex(words[at]), "little") for at in (1, 7))
            found.append((f"{ipaddress.IPv4Address(address)}/{mask.bit_count()}", words[0]))
    for line in (view.read_text("/proc/net/ipv6_route") or "").splitlines():
        words = line.split()
        if len(words) > 9:
            network = ipaddress.IPv6Address(int(words[0], 16))
            if not (network.is_link_local or network.is_multicast):
                found.append((f"{network}/{int(words[1], 16)}", words[9]))
    hosts_only = ("/0", "/32", "/128")
    return tuple(row for row in found if not row[0].endswith(hosts_only) and not _is_container_interface(row[1]))


def hosts(view: NodeView) -> dict[str, tuple[str, ...]]:
    """Every name in ``/etc/hosts`` with the addresses it has there."""
    found: dict[str, tuple[str, ...]] = {}
    for line in (view.read_text("/etc/hosts") or "").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            found[name.lower()] = (*found.get(name.lower(), ()), address)
    return found


def listening_ports(view: NodeView) -> tuple[int, ...]:
    """The TCP ports something listens on, at any address."""
    ports: set[int] = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (view.read_text(path) or "").splitlines()[1:]:
            words = line.split()
            if len(words) > 3 and words[3] == _LISTEN:
                ports.add(int(words[1].rpartition(":")[2], 16))
    return tuple(sorted(ports))


def listeners(view: NodeView, ports: Iterable[int]) -> dict[int, str]:
    """The program that listens on each of ``ports``, with its process: ``nginx (812)``; without what nobody tells."""
    found = {}
    for port in ports:
        said = view.query(["ss", "-Hltnp", "sport", "=", f":{port}"]).stdout
        programs = dict.fromkeys(re.findall(r'\("([^"]+)",pid=(\d+)', said))
        if programs:
            found[port] = ", ".join(f"{name} ({process})" for name, process in programs)
    return found


def network_configurations(view: NodeView) -> tuple[str, ...]:
    """The files in ``/etc/cni/net.d`` that a container runtime would take for a pod network."""
    names = view.list_dir("/etc/cni/net.d")
    return tuple(sorted(name for name in names if name.endswith((".conf", ".conflist", ".json"))))


def modules(view: NodeView, release: str, names: Iterable[str]) -> dict[str, str]:
    """For each kernel module: ``loaded``, ``builtin``, ``available`` on disk, or ``missing``."""
    loaded = {line.split()[0] for line in (view.read_text("/proc/modules") or "").splitlines() if line.split()}
    builtin = _module_names(view.read_text(f"/lib/modules/{release}/modules.builtin"))
    available = _module_names(view.read_text(f"/lib/modules/{release}/modules.dep"))
    builtin.update((view.read_text("/proc/filesystems") or "").split())
    found = {}
    for given in names:
        name = given.replace("-", "_")  # as the kernel itself writes it
        witnesses = (f"/sys/module/{name}", _MODULE_WITNESSES.get(name))
        if name in loaded:
            found[given] = "loaded"
        elif name in builtin:
            found[given] = "builtin"
        elif name in available:
            found[given] = "available"
        else:
            there = any(path is not None and view.stat(path) is not None for path in witnesses)
            found[given] = "builtin" if there else "missing"
    return found


def sysctls(view: NodeView, names: Iterable[str]) -> dict[str, str]:
    """The live value of each sysctl that is there."""
    values = {name: first_line(view, sysctl_path(name)) for name in names}
    return {name: value for name, value in values.items() if value}


def sysctl_path(name: str) -> str:
    """Where a sysctl is under ``/proc/sys``."""
    return "/proc/sys/" + name.replace(".", "/")


def active_units(view: NodeView, units: Iterable[str]) -> tuple[str, ...]:
    """Those of ``units`` that systemd says are active, without their suffix."""
    return tuple(unit.partition(".")[0] for unit in units if view.query(["systemctl", "is-active", unit]).ok)


def unit_state(view: NodeView, unit: str) -> str:
    """``active``, ``inactive``, or ``missing`` where systemd does not know it.

    A service whose socket of the same name is active is started when somebody calls, and counts as active.
    """
    said = view.query(["systemctl", "show", "-p", "LoadState", "-p", "ActiveState", unit]).stdout
    state = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if state.get("LoadState") not in ("loaded", "generated"):
        return "missing"
    socket = f"{unit.removesuffix('.service')}.socket"
    if state.get("ActiveState") in ("active", "activating", "reloading"):
        return "active"
    by_socket = unit.endswith(".service") and view.query(["systemctl", "is-active", socket]).ok
    return "active" if by_socket else "inactive"


def packages(view: NodeView) -> dict[str, str]:
    """The distribution's own packages of container runtimes and Kubernetes that are installed: name and version."""
    if view.which("dpkg-query"):
        form = "${db:Status-Status} ${Package} ${Version}\\n"
        rows = [line.split() for line in view.query(["dpkg-query", "-W", "-f", form, *PACKAGES]).stdout.splitlines()]
        return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}
    if view.which("rpm"):
        form = "%{NAME} %{VERSION}\\n"
        rows = [line.split() for line in view.query(["rpm", "-q", "--qf", form, *PACKAGES]).stdout.splitlines()]
        return {row[0]: row[1] for row in rows if len(row) == 2}
    return {}


def cluster_paths(view: NodeView) -> tuple[str, ...]:
    """Those of :data:`CLUSTER_PATHS` that are there."""
    return tuple(path for path in CLUSTER_PATHS if view.stat(path) is not None)


def _module_names(listing: str | None) -> set[str]:
    paths = (line.partition(":")[0] for line in (listing or "").splitlines())
    return {path.rpartition("/")[2].partition(".ko")[0].replace("-", "_") for path in paths}


def _is_container_interface(name: str) -> bool:
    return name == "lo" or _CONTAINER_INTERFACE.match(name) is not None


def _json_list(text: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(text or "[]")
    except ValueError:
        return []
    return [item for item in document if isinstance(item, dict)] if isinstance(document, list) else []


def file_sizes(view: NodeView, paths: Iterable[str]) -> dict[str, int]:
    """The size of each file in ``paths`` that is there, and of the files in those that are folders."""
    sizes = {}
    for path in paths:
        found = view.stat(path)
        below = view.list_dir(path) if found is not None and found.kind == "directory" else ()
        for each in (path, *(f"{path}/{name}" for name in below)):
            stat = found if each == path else view.stat(each)
            if stat is not None and stat.kind == "file":
                sizes[each] = stat.size_bytes
    return sizes
