"""What is true of a node before anything is done: gathered by looking only, mostly by reading files.

It works with no default route, no name server and no Python on the node, because it asks none of them. Parsing is in
:mod:`installer.probes`; this module is the value and the order of questions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from installer import probes
from installer.bundle.hostneeds import HostNeeds
from installer.bundle.placement import ROOTS
from installer.bundle.platform import Platform, platform_of_machine
from installer.datadisk import DataDiskState, look_at
from installer.foundcontainerd import DEFAULT_ROOT, FoundContainerd, Owner, owner_of
from installer.installed import Installed
from installer.kernelstate import KernelState, kernel_state
from installer.node import DiskSpace, NodeView
from installer.ports import CLUSTER_PORTS
from installer.vip.proof import Proof

MODULES = (
    "overlay",
    "br_netfilter",
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_sh",
    "nf_conntrack",
    "nf_tables",
    "vxlan",
)
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "vm.overcommit_memory",
    "vm.max_map_count",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)
TOOLS = (
    *("conntrack", "ip", "iptables", "mount", "nsenter", "modprobe", "sysctl", "systemctl", "umount"),
    *("ebtables", "ethtool", "losetup", "nft", "socat", "tc", "touch", "cp"),
    *("blkid", "findmnt", "lsblk", "mkfs.ext4", "mkfs.xfs", "wipefs", "apparmor_parser"),
)
GUARDS = ("fapolicyd.service",)
"""Units that decide what may run."""
DISK_PATHS = (
    *("/", "/etc", "/opt/airgap-bundle", *ROOTS),
    *("/var/lib/kubelet", "/var/lib/etcd", "/var/lib/airgap-bundle"),
)


@dataclass(frozen=True)
class Address:
    """An address of the node that could be its node address: global scope, on an interface that is up.

    ``mtu_bytes`` is the largest packet the interface takes, 0 where it does not say.
    """

    address: str
    prefix_length: int
    interface: str
    mtu_bytes: int = 0


@dataclass(frozen=True)
class Route:
    """A network that packets reach through an interface of the node's; never the default route."""

    network: str
    interface: str


@dataclass(frozen=True)
class OsRelease:
    """What ``/etc/os-release`` says: ``debian``, ``12``, ``Debian GNU/Linux 12 (bookworm)``."""

    id: str
    version: str
    name: str


@dataclass(frozen=True)
class Swap:
    """One swap area in use, and its kind (``partition``, ``file``)."""

    device: str
    kind: str
    size_bytes: int


@dataclass(frozen=True)
class KubernetesState:
    """What an earlier kubeadm left: each path of :data:`installer.probes.CLUSTER_PATHS` that is there."""

    paths: tuple[str, ...]

    @property
    def in_cluster(self) -> bool:
        """Whether the node was initialised or joined."""
        return bool(self.paths)


@dataclass(frozen=True)
class NodeFacts:
    """Everything the plan and the preflight decide by. ``modules`` map to loaded, builtin, available or missing, and
    ``units`` to active, inactive or missing; with ``tools`` they hold what the bundle's add-ons need, too. ``hosts``
    are the names in ``/etc/hosts`` with their addresses. ``absent_files`` are those that the configuration refers to
    and that are not there. ``vip_proof`` is what ``vip-probe ask`` saw here. ``listeners`` are the programs
    behind those listening ports that a cluster uses; ``network_configurations`` the files in ``/etc/cni/net.d``;
    ``placed_bytes`` is the size of each file that lies where the bundle's are to be placed.
    """

    hostname: str
    machine: str
    kernel: str
    os_release: OsRelease
    cgroup_version: int
    systemd: bool
    effective_uid: int
    now_seconds: float
    clock_synchronised: bool
    cpus: int
    memory_bytes: int
    swaps: tuple[Swap, ...]
    disks: dict[str, DiskSpace]
    addresses: tuple[Address, ...]
    has_default_route: bool
    routes: tuple[Route, ...]
    hosts: dict[str, tuple[str, ...]]
    machine_id: str
    listening_ports: tuple[int, ...]
    modules: dict[str, str]
    sysctls: dict[str, str]
    tools: dict[str, str | None]
    firewalls: tuple[str, ...]
    packages: dict[str, str]
    runtime: FoundContainerd | None
    kubernetes: KubernetesState
    installed: Installed | None
    data_disk: DataDiskState | None = None
    absent_files: tuple[str, ...] = ()
    vip_proof: Proof | None = None
    units: dict[str, str] = field(default_factory=dict)
    kernel_state: KernelState = field(default_factory=KernelState)
    listeners: dict[int, str] = field(default_factory=dict)
    network_configurations: tuple[str, ...] = ()
    placed_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def platform(self) -> Platform | None:
        """The node's platform, or ``None`` for a machine there is no bundle for."""
        return platform_of_machine(self.machine)

    def containerd_owner(self, asked: str) -> Owner:
        """Whose containerd is here or will be, with ``asked`` from cluster.yaml."""
        return owner_of(asked, self.runtime, self.installed.containerd_owner if self.installed else None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``facts --json``."""
        return asdict(self) | {"platform": self.platform}


def gather(
    view: NodeView,
    *,
    containerd_root: str = DEFAULT_ROOT,
    data_disk: str | None = None,
    files: tuple[str, ...] = (),
    needs: HostNeeds | None = None,
    targets: tuple[str, ...] = (),
) -> NodeFacts:
    """The facts of the machine behind ``view``.

    Of ``data_disk`` too, if one is wanted for ``containerd_root``; ``files`` are what the configuration refers to,
    ``needs`` what the bundle's add-ons want of the machine, and ``targets`` where the bundle's files are placed: paths
    of files, and of folders.
    """
    needs = needs or HostNeeds()
    kernel = probes.kernel(view)
    runtime = FoundContainerd.find(view)
    listening = probes.listening_ports(view)
    folders = {containerd_root} | ({runtime.root} if runtime else set())
    return NodeFacts(
        hostname=probes.first_line(view, "/proc/sys/kernel/hostname"),
        machine=probes.machine(view),
        kernel=kernel,
        os_release=OsRelease(*probes.os_release(view)),
        cgroup_version=probes.cgroup_version(view),
        systemd=view.stat("/run/systemd/system") is not None,
        effective_uid=view.effective_uid(),
        now_seconds=view.now_seconds(),
        clock_synchronised=probes.clock_synchronised(view),
        cpus=probes.cpus(view),
        memory_bytes=probes.memory_bytes(view),
        swaps=tuple(Swap(*found) for found in probes.swaps(view)),
        disks={path: view.disk_space(path) for path in (*DISK_PATHS, *sorted(folders))},
        addresses=tuple(Address(*found) for found in probes.addresses(view)),
        has_default_route=probes.has_default_route(view),
        routes=tuple(Route(*found) for found in probes.routes(view)),
        hosts=probes.hosts(view),
        machine_id=probes.first_line(view, "/etc/machine-id"),
        listening_ports=listening,
        modules=probes.modules(view, kernel, (*MODULES, *needs.modules)),
        sysctls=probes.sysctls(view, SYSCTLS),
        tools={tool: view.which(tool) for tool in (*TOOLS, *needs.commands)},
        firewalls=probes.active_units(view, ("firewalld.service", "ufw.service", "nftables.service")),
        packages=probes.packages(view),
        runtime=runtime,
        kubernetes=KubernetesState(probes.cluster_paths(view)),
        installed=Installed.read(view),
        data_disk=None if data_disk is None else look_at(view, data_disk, containerd_root),
        absent_files=tuple(path for path in files if view.read_bytes(path) is None),
        vip_proof=Proof.read(view),
        units={unit: probes.unit_state(view, unit) for unit in (*GUARDS, *needs.units)},
        kernel_state=kernel_state(view),
        listeners=probes.listeners(view, [port for port in listening if port in CLUSTER_PORTS]),
        network_configurations=probes.network_configurations(view),
        placed_bytes=probes.file_sizes(view, targets),
    )
