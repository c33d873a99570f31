"""Checks of the programs that kubeadm, the kubelet and this install call; an isolated node cannot fetch them later."""

from __future__ import annotations

from installer.check import Finding, check, ok, problem, warn
from installer.preflight.ospackages import packages_with
from installer.preflight.subject import Subject

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


@check("tools", reads="programs on PATH")
def tools_needed(subject: Subject) -> Finding:
    """kubeadm and this install call these programs, and an isolated node cannot fetch them later.

    Which ones depends on the Kubernetes release: conntrack, for one, is needed up to 1.31.
    """
    wanted = needed(subject.minor, joins=subject.joins)
    missing = [tool for tool in wanted if subject.facts.tools.get(tool) is None]
    if missing:
        why = f"kubeadm {subject.index.kubernetes} or this install calls them"
        return problem("tools", f"missing {', '.join(missing)}", why, _fix(missing, subject))
    return ok("tools", f"{len(wanted)} there")


@check("tools-useful", reads="programs on PATH")
def tools_useful(subject: Subject) -> Finding:
    """kubeadm only warns about these, but port forwarding and some pod networks call them later."""
    wanted = useful(subject.minor, joins=subject.joins)
    missing = [tool for tool in wanted if subject.facts.tools.get(tool) is None]
    if missing:
        why = "port forwarding and some network plug-ins call them"
        return warn("tools-useful", f"missing {', '.join(missing)}", why, _fix(missing, subject))
    return ok("tools-useful", f"{len(wanted)} there")


def _fix(missing: list[str], subject: Subject) -> str:
    packages = ", ".join(packages_with(missing, subject.facts.os_release.id))
    return f"from the distribution's own medium: {packages}"


CHECKS = (tools_needed, tools_useful)
