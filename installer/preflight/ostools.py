"""Checks of the programs that kubeadm, the kubelet and this install call; an isolated node cannot fetch them later."""

from __future__ import annotations

from installer.preflight.finding import Finding, Subject, ok, problem, warn

_OURS = ("modprobe", "mount", "sysctl", "systemctl", "umount")


def needed(minor: int, *, joins: bool) -> tuple[str, ...]:
    """What must be there for kubeadm of this minor and for this install."""
    if minor >= 33:
        return (*_OURS, "cp", "losetup")
    if minor == 32 or joins:  # on a join kubeadm does not look for conntrack
        return (*_OURS, "ip", "iptables", "nsenter")
    return (*_OURS, "conntrack", "ip", "iptables", "nsenter")


def useful(minor: int, *, joins: bool) -> tuple[str, ...]:
    """What kubeadm of this minor only warns about, or what parts of a cluster call later."""
    if minor >= 33:
        return ("ip", "iptables")
    if minor == 32:
        return ("ethtool", "tc", "touch")
    return ("ebtables", "ethtool", "socat", "tc", "touch", *(("conntrack",) if joins else ()))


def tools_needed(subject: Subject) -> Finding:
    """The programs that must be there."""
    wanted = needed(subject.minor, joins=subject.joins)
    missing = [tool for tool in wanted if subject.facts.tools.get(tool) is None]
    if missing:
        why = f"kubeadm {subject.index.kubernetes} or this install calls them"
        return problem("tools", f"missing {', '.join(missing)}", why, "install the distribution's packages with them")
    return ok("tools", f"{len(wanted)} there")


def tools_useful(subject: Subject) -> Finding:
    """The programs that some things do not work without."""
    wanted = useful(subject.minor, joins=subject.joins)
    missing = [tool for tool in wanted if subject.facts.tools.get(tool) is None]
    if missing:
        why = "port forwarding and some network plug-ins call them"
        return warn("tools-useful", f"missing {', '.join(missing)}", why, "install the distribution's packages")
    return ok("tools-useful", f"{len(wanted)} there")


CHECKS = (tools_needed, tools_useful)
