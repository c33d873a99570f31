"""Checks of the kernel's tables: a node fills them fast, and a full one looks like anything."""

from __future__ import annotations

from typing import Protocol

from installer.check import Finding, check, ok, problem, warn
from installer.config import ClusterConfig
from installer.facts import NodeFacts
from installer.kernelstate import Table
from installer.preflight.kernel import kernel_numbers
from installer.preflight.subject import Subject

_FEW_TASKS = 65536
_PODS = 110
"""The most pods the kubelet starts on a node unless told otherwise; each is a neighbour of the node's."""
_LEAKING_BELOW = (4, 3)


class Looked(Protocol):
    """What these checks look at: the subject of a preflight has it, and so has an installed node's health."""

    @property
    def facts(self) -> NodeFacts:
        """The machine's facts."""

    @property
    def config(self) -> ClusterConfig:
        """The cluster's configuration."""


def _keep(key: str, value: int) -> str:
    """Two commands: now, and after the next start."""
    return f"sysctl -w {key}={value} && echo {key}={value} >> /etc/sysctl.d/90-site.conf"


def _filled(table: Table, what: str) -> str:
    return f"{table.used} of {table.most} {what} ({table.share:.0%})" if table.most else "not told"


@check("tasks", reads="/proc/loadavg, kernel.pid_max, kernel.threads-max")
def tasks(subject: Looked) -> Finding:
    """Every thread of every pod takes one of the kernel's process numbers.

    Once they are used up nothing can start any more, not even a shell; old kernels call it "Cannot allocate memory".
    """
    table = subject.facts.kernel_state.tasks
    seen = _filled(table, "processes and threads")
    fix = _keep("kernel.pid_max", 4194304)
    if table.share >= 0.9:
        return problem("tasks", seen, "soon nothing can be started here", fix)
    if table.share >= 0.75:
        return warn("tasks", seen, "pods bring many more", fix)
    if 0 < table.most < _FEW_TASKS:
        return warn("tasks", seen, f"a node that is busy needs more than {_FEW_TASKS}", fix)
    return ok("tasks", seen)


@check("open-files", reads="/proc/sys/fs/file-nr")
def open_files(subject: Looked) -> Finding:
    """All open files, sockets and pipes of the machine share one table; when it is full, nothing can be opened."""
    table = subject.facts.kernel_state.files
    seen = _filled(table, "open files")
    if table.share >= 0.8:
        return warn("open-files", seen, "pods bring many more", _keep("fs.file-max", 2 * table.most))
    return ok("open-files", seen)


@check("conntrack", reads="/proc/sys/net/netfilter/nf_conntrack_count, nf_conntrack_max")
def conntrack(subject: Looked) -> Finding:
    """Every connection to a Service is an entry of this table; when it is full, new connections are dropped.

    The kernel then logs "nf_conntrack: table full, dropping packet", and nothing else says so.
    """
    table = subject.facts.kernel_state.conntrack
    seen = _filled(table, "connections")
    fix = _keep("net.netfilter.nf_conntrack_max", 4 * max(table.most, 65536))
    if table.share >= 0.95:
        return problem("conntrack", seen, "new connections are being dropped", fix)
    if table.share >= 0.75:
        return warn("conntrack", seen, "Services bring many more", fix)
    return ok("conntrack", seen)


@check("neighbours", reads="/proc/net/stat/arp_cache, net.ipv4.neigh.default.gc_thresh3")
def neighbours(subject: Looked) -> Finding:
    """Each pod of this node and each other node is an entry of the ARP table, whose size is fixed.

    When it is full the kernel logs "neighbour table overflow" and even local pods cannot be reached: their probes
    fail at random. It should hold four times the nodes and the pods of one node.
    """
    table = subject.facts.kernel_state.neighbours
    seen = _filled(table, "neighbours")
    wanted = 4 * (len(subject.config.nodes) + _PODS)
    fix = _keep("net.ipv4.neigh.default.gc_thresh3", max(4 * table.most, wanted))
    if table.share >= 0.8:
        return warn("neighbours", seen, "pods and nodes bring more", fix)
    if 0 < table.most < wanted:
        return warn("neighbours", seen, f"this cluster can have {wanted // 4}, and needs room for {wanted}", fix)
    return ok("neighbours", seen)


@check("tcp-tw-recycle", reads="net.ipv4.tcp_tw_recycle")
def recycling(subject: Subject) -> Finding:
    """With it, clients that share one address behind NAT are dropped at random; kernels since 4.12 are without it."""
    if not subject.facts.kernel_state.tw_recycle:
        return ok("tcp-tw-recycle", "off")
    why = "connections from behind one address, such as a node's pods, are dropped at random"
    fix = "sysctl -w net.ipv4.tcp_tw_recycle=0, and take it out of /etc/sysctl.conf and /etc/sysctl.d"
    return problem("tcp-tw-recycle", "on", why, fix)


@check("cgroup-leak", reads="/proc/sys/kernel/osrelease, /sys/fs/cgroup, /proc/cmdline")
def leak(subject: Subject) -> Finding:
    """Kernels before 4.3 never free a memory control group that accounted for kernel memory.

    After some 65,000 containers none can be made any more: "no space left on device" with room on every disk.
    """
    facts = subject.facts
    if facts.cgroup_version != 1 or kernel_numbers(facts.kernel) >= _LEAKING_BELOW:
        return ok("cgroup-leak", "not in this kernel")
    if "cgroup.memory=nokmem" in facts.kernel_state.parameters:
        return ok("cgroup-leak", "switched off by cgroup.memory=nokmem")
    why = "each container leaves a memory control group behind, and after some 65,000 none can start"
    return problem("cgroup-leak", facts.kernel, why, "boot a newer kernel, or this one with cgroup.memory=nokmem")


TABLES = (tasks, open_files, conntrack, neighbours)
"""Those that can fill at any time, not only before an install."""
CHECKS = (*TABLES, recycling, leak)
