"""Checks of the machine: who we are, its size, its name, its clock."""

from __future__ import annotations

from installer.check import Finding, check, ok, problem, warn
from installer.join import spoken_time
from installer.preflight.subject import Subject
from installer.settings import is_node_name

_MEBI = 1024 * 1024
CONTROL_PLANE_MEMORY_BYTES = 1700 * _MEBI
WORKER_MEMORY_BYTES = 700 * _MEBI
CONTROL_PLANE_CPUS = 2
_DAY_SECONDS = 24 * 3600


@check("root", reads="the user this runs as", firm=True)
def root(subject: Subject) -> Finding:
    """Files, kernel modules and services belong to root, so only root can install.

    The verbs that only look (plan, facts, status, explain) work for anybody, and see what that user may see.
    """
    uid = subject.facts.effective_uid
    if uid == 0:
        return ok("root", "running as root")
    return problem("root", f"running as user {uid}", "files, modules and services belong to root", "use sudo")


@check("systemd", reads="/run/systemd/system", firm=True)
def systemd(subject: Subject) -> Finding:
    """containerd and the kubelet are services of systemd: it starts them after a power cut, and it owns the control
    groups that pods live in.
    """
    if subject.facts.systemd:
        return ok("systemd", "running")
    return problem("systemd", "not running", "containerd and the kubelet are run by it", "use a machine with systemd")


@check("cpus", reads="/sys/devices/system/cpu/online")
def cpus(subject: Subject) -> Finding:
    """kubeadm refuses a control plane with fewer than two processors: API server, etcd and controllers starve each
    other on one, and leases are lost.
    """
    count = subject.facts.cpus
    if subject.role == "cp" and count < CONTROL_PLANE_CPUS:
        why = f"kubeadm refuses a control plane with fewer than {CONTROL_PLANE_CPUS}"
        return problem("cpus", f"{count}", why, "give the machine another processor")
    return ok("cpus", f"{count}")


@check("memory", reads="/proc/meminfo")
def memory(subject: Subject) -> Finding:
    """kubeadm refuses a control plane with less than 1700 MiB. A worker with less than 700 MiB has next to nothing left
    for pods beside the kubelet and containerd.
    """
    size_bytes = subject.facts.memory_bytes
    seen = f"{size_bytes // _MEBI} MiB"
    if subject.role == "cp" and size_bytes < CONTROL_PLANE_MEMORY_BYTES:
        wanted = f"kubeadm refuses a control plane with less than {CONTROL_PLANE_MEMORY_BYTES // _MEBI} MiB"
        return problem("memory", seen, wanted, "give the machine more memory")
    if size_bytes < WORKER_MEMORY_BYTES:
        return warn("memory", seen, "little is left for pods beside the kubelet and containerd")
    return ok("memory", seen)


@check("hostname", reads="/proc/sys/kernel/hostname, nodeName in cluster.yaml")
def hostname(subject: Subject) -> Finding:
    """The node's name becomes the name of a Kubernetes object and stands in its certificate.

    It is of lower-case letters, digits, '-' and '.', different on every node, and not easily changed later.
    """
    name = subject.node_name
    if not is_node_name(name) or name.startswith("localhost"):
        why = "a node's name is of lower-case letters, digits, '-' and '.', and its own"
        return problem("hostname", repr(name), why, "hostnamectl set-hostname NAME, or nodeName in cluster.yaml")
    return ok("hostname", name)


@check("clock", reads="the clock, and the bundle's own date")
def clock(subject: Subject) -> Finding:
    """A clock before the bundle's own date makes certificates that are not valid yet, or are over too soon.

    The bundle cannot have been made in the future, so its date is the earliest that a right clock can show.
    """
    now, made = subject.facts.now_seconds, subject.index.created_seconds
    seen = spoken_time(now)
    if now < made - _DAY_SECONDS:
        why = f"the bundle's contents are from {spoken_time(made)}; certificates would be dated in the past"
        return problem("clock", seen, why, "set the clock: date -u -s 'YYYY-MM-DD HH:MM'")
    return ok("clock", seen)


@check("clock-source", reads="timedatectl")
def clock_source(subject: Subject) -> Finding:
    """Without a time source the clocks of the nodes drift apart, and certificates, leases and tokens depend on them.

    An isolated site has no public servers: any machine of it can keep the time for all.
    """
    if subject.facts.clock_synchronised:
        return ok("clock-source", "synchronised")
    why = f"certificates trust this clock: {spoken_time(subject.facts.now_seconds)}"
    return warn("clock-source", "no time source", why, "give the nodes one NTP server they share")


CHECKS = (root, systemd, cpus, memory, hostname, clock, clock_source)
