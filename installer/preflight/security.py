"""Checks of what guards the machine, and may keep a node's programs from their work."""

from __future__ import annotations

from installer.check import Finding, check, ok, problem, warn
from installer.preflight.subject import Subject


@check("selinux", reads="/sys/fs/selinux/enforce, the package container-selinux")
def selinux(subject: Subject) -> Finding:
    """Enforcing SELinux keeps containers from the files of their volumes, unless a policy for containers allows it.

    The policy is the package container-selinux of RHEL and its kin; it is on the distribution's own medium.
    """
    state = subject.facts.kernel_state
    if state.selinux != "enforcing":
        return ok("selinux", state.selinux or "off")
    if not state.container_policy:
        why = "without a policy for containers, pods are denied their volumes"
        fix = "install container-selinux from the distribution's medium, or: setenforce 0 and SELINUX=permissive in"
        return problem("selinux", "enforcing", why, f"{fix} /etc/selinux/config")
    why = "volumes from folders of the host need their label: chcon -Rt container_file_t DIR"
    return warn("selinux", "enforcing, with container-selinux", why)


@check("fapolicyd", reads="systemctl is-active fapolicyd")
def fapolicyd(subject: Subject) -> Finding:
    """fapolicyd lets run only what came as a package, and the bundle's programs did not."""
    if subject.facts.units.get("fapolicyd.service") != "active":
        return ok("fapolicyd", "not active")
    why = "it stops programs that did not come as a package: containerd, kubelet and every container"
    fix = (
        "fapolicyd-cli --file add /usr/local/bin/ --trust-file airgap-bundle && fapolicyd-cli --update, and allow "
        "containers in /etc/fapolicyd/rules.d; or: systemctl disable --now fapolicyd"
    )
    return problem("fapolicyd", "active", why, fix)


@check("apparmor", reads="/sys/module/apparmor/parameters/enabled, apparmor_parser on PATH")
def apparmor(subject: Subject) -> Finding:
    """containerd loads a profile for each container by apparmor_parser; a kernel with AppArmor and no such program
    starts them unguarded, and refuses pods that ask for a profile.
    """
    if not subject.facts.kernel_state.apparmor:
        return ok("apparmor", "off")
    if subject.facts.tools.get("apparmor_parser") is None:
        why = "containers start without a profile, and pods that ask for one do not start"
        return warn("apparmor", "on, without apparmor_parser", why, "install the package apparmor")
    return ok("apparmor", "on")


CHECKS = (selinux, fapolicyd, apparmor)
