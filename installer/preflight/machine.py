"""Checks of the machine: who we are, its size, its name, its clock."""

from __future__ import annotations

from installer.join import spoken_time
from installer.preflight.finding import Finding, Subject, ok, problem, warn
from installer.settings import is_node_name

_MEBI = 1024 * 1024
CONTROL_PLANE_MEMORY_BYTES = 1700 * _MEBI
WORKER_MEMORY_BYTES = 700 * _MEBI
CONTROL_PLANE_CPUS = 2
_DAY_SECONDS = 24 * 3600


def root(subject: Subject) -> Finding:
    """Only root can install."""
    uid = subject.facts.effective_uid
    if uid == 0:
        return ok("root", "running as root")
    return problem("root", f"running as user {uid}", "files, modules and services belong to root", "use sudo")


def systemd(subject: Subject) -> Finding:
    """containerd and the kubelet are run by systemd."""
    if subject.facts.systemd:
        return ok("systemd", "running")
    return problem("systemd", "not running", "containerd and the kubelet are run by it", "use a machine with systemd")


def cpus(subject: Subject) -> Finding:
    """kubeadm refuses a control plane with fewer than two processors."""
    count = subject.facts.cpus
    if subject.role == "cp" and count < CONTROL_PLANE_CPUS:
        why = f"kubeadm refuses a control plane with fewer than {CONTROL_PLANE_CPUS}"
        return problem("cpus", f"{count}", why, "give the machine another processor")
    return ok("cpus", f"{count}")


def memory(subject: Subject) -> Finding:
    """kubeadm refuses a control plane with less than 1700 MiB."""
    size_bytes = subject.facts.memory_bytes
    seen = f"{size_bytes // _MEBI} MiB"
    if subject.role == "cp" and size_bytes < CONTROL_PLANE_MEMORY_BYTES:
        wanted = f"kubeadm refuses a control plane with less than {CONTROL_PLANE_MEMORY_BYTES // _MEBI} MiB"
        return problem("memory", seen, wanted, "give the machine more memory")
    if size_bytes < WORKER_MEMORY_BYTES:
        return warn("memory", seen, "little is left for pods beside the kubelet and containerd")
    return ok("memory", seen)


def hostname(subject: Subject) -> Finding:
    """The node's name becomes a Kubernetes object's name and a certificate's."""
    name = subject.node_name
    if not is_node_name(name) or name.startswith("localhost"):
        why = "a node's name is of lower-case letters, digits, '-' and '.', and its own"
        return problem("hostname", repr(name), why, "hostnamectl set-hostname NAME, or nodeName in cluster.yaml")
    return ok("hostname", name)


def clock(subject: Subject) -> Finding:
    """A clock before the bundle's own date makes certificates that are not valid yet, or already over."""
    now, made = subject.facts.now_seconds, subject.index.created_seconds
    seen = spoken_time(now)
    if now < made - _DAY_SECONDS:
        why = f"the bundle's contents are from {spoken_time(made)}; certificates would be dated in the past"
        return problem("clock", seen, why, "set the clock: date -u -s 'YYYY-MM-DD HH:MM'")
    return ok("clock", seen)


def clock_source(subject: Subject) -> Finding:
    """Without a time source the nodes' clocks drift apart."""
    if subject.facts.clock_synchronised:
        return ok("clock-source", "synchronised")
    why = f"certificates trust this clock: {spoken_time(subject.facts.now_seconds)}"
    return warn("clock-source", "no time source", why, "give the nodes one NTP server they share")


CHECKS = (root, systemd, cpus, memory, hostname, clock, clock_source)
