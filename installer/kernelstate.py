"""How full the kernel's tables are, and what guards the machine: read from ``/proc`` and ``/sys``.

What a kernel does not say is 0 or empty: a table that is not there cannot be full.
"""

from __future__ import annotations

from dataclasses import dataclass

from installer.node import NodeView
from installer.probes import first_line

_POLICIES = ("/usr/share/selinux/packages/container.pp.bz2", "/var/lib/selinux/targeted/active/modules/200/container")
"""Either is there where the package container-selinux is."""


@dataclass(frozen=True)
class Table:
    """Entries in use and the most there may be; 0 of 0 where the kernel does not say."""

    used: int = 0
    most: int = 0

    @property
    def share(self) -> float:
        """Between 0 (empty, or not told) and 1 (full)."""
        return self.used / self.most if self.most else 0.0


@dataclass(frozen=True)
class KernelState:
    """Tables that can fill, settings that harm, and the boot parameters.

    ``selinux`` is ``enforcing``, ``permissive`` or empty where it is off.
    """

    tasks: Table = Table()
    files: Table = Table()
    conntrack: Table = Table()
    neighbours: Table = Table()
    tw_recycle: bool = False
    parameters: tuple[str, ...] = ()
    selinux: str = ""
    container_policy: bool = False
    apparmor: bool = False


def kernel_state(view: NodeView) -> KernelState:
    """What the kernel behind ``view`` says now."""
    enforce = first_line(view, "/sys/fs/selinux/enforce")
    return KernelState(
        tasks=_tasks(view),
        files=_files(view),
        conntrack=Table(
            _number(view, "/proc/sys/net/netfilter/nf_conntrack_count"),
            _number(view, "/proc/sys/net/netfilter/nf_conntrack_max"),
        ),
        neighbours=Table(_neighbours(view), _number(view, "/proc/sys/net/ipv4/neigh/default/gc_thresh3")),
        tw_recycle=_number(view, "/proc/sys/net/ipv4/tcp_tw_recycle") != 0,
        parameters=tuple(first_line(view, "/proc/cmdline").split()),
        selinux={"1": "enforcing", "0": "permissive"}.get(enforce, ""),
        container_policy=any(view.stat(path) is not None for path in _POLICIES),
        apparmor=first_line(view, "/sys/module/apparmor/parameters/enabled") == "Y",
    )


def _tasks(view: NodeView) -> Table:
    """Processes and threads: the fourth field of ``/proc/loadavg`` is ``running/all``."""
    fields = first_line(view, "/proc/loadavg").split()
    used = _as_number(fields[3].partition("/")[2]) if len(fields) > 3 else 0
    limits = [_number(view, f"/proc/sys/kernel/{name}") for name in ("pid_max", "threads-max")]
    return Table(used, min((limit for limit in limits if limit), default=0))


def _files(view: NodeView) -> Table:
    fields = first_line(view, "/proc/sys/fs/file-nr").split()
    return Table(_as_number(fields[0]), _as_number(fields[2])) if len(fields) == 3 else Table()


def _neighbours(view: NodeView) -> int:
    """Entries of the ARP table in all network namespaces: the first column of ``arp_cache``, in hexadecimal."""
    rows = (view.read_text("/proc/net/stat/arp_cache") or "").splitlines()[1:2]
    try:
        return int(rows[0].split()[0], 16) if rows and rows[0].split() else 0
    except ValueError:
        return 0


def _number(view: NodeView, path: str) -> int:
    return _as_number(first_line(view, path))


def _as_number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
