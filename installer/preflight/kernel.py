"""Checks of the kernel: its version, modules, control groups, swap."""

from __future__ import annotations

import re

from installer.check import Finding, check, ok, problem, warn
from installer.preflight.subject import Subject
from installer.proxymode import (
    FIRST_MINOR_DEPRECATING_IPVS,
    FIRST_MINOR_WITH_NFTABLES,
    FIRST_MINOR_WITH_STABLE_NFTABLES,
    ProxyMode,
    decide,
)
from installer.render.kernel import PROXY_MODULES, REQUIRED_MODULES

_OLDEST = (4, 0)
_NFTABLES_KERNEL = (5, 13)
_MEGA = 1_000_000


@check("kernel", reads="/proc/sys/kernel/osrelease")
def version(subject: Subject) -> Finding:
    """Kernels before 4.0 leak control groups and lack what containerd needs of overlayfs.

    Each kubeadm line accepts certain kernels. Those of 1.32 and 1.33 refuse some that work (4.18 and 5.14 of RHEL and
    its kin): there kubeadm's check is told to pass.
    """
    release = subject.facts.kernel
    found = kernel_numbers(release)
    if found < _OLDEST:
        why = "before 4.0 control groups leak until no container starts, and overlayfs lacks what containerd needs"
        return problem("kernel", release, why, "boot a newer kernel: 4.18, 4.19 and 5.4 and newer are in use")
    accepted, wanted = _listed(subject.minor, found)
    if not accepted:
        why = f"kubeadm {subject.index.kubernetes} lists {wanted}; its SystemVerification is told to pass this one"
        return warn("kernel", release, why)
    return ok("kernel", release)


def _listed(minor: int, found: tuple[int, int]) -> tuple[bool, str]:
    if minor == 32:
        return found >= (4, 19), "4.19 or newer"
    if minor == 33:
        return found in ((5, 4), (5, 10), (5, 15)) or found >= (6, 0), "5.4, 5.10, 5.15, or 6.0 and newer"
    return True, ""


@check("kernel-modules", reads="/proc/modules, /lib/modules")
def modules(subject: Subject) -> Finding:
    """Without overlay no container starts; without br_netfilter and nf_conntrack Services do not work.

    The install loads them, now and at every start, if the kernel has them built in or on disk.
    """
    wanted = [*REQUIRED_MODULES, *PROXY_MODULES[_decided(subject).name]]
    if subject.index.cni == "flannel":
        wanted.append("vxlan")
    missing = [name for name in wanted if subject.facts.modules.get(name, "missing") == "missing"]
    if missing:
        why = f"kernel {subject.facts.kernel} has neither built in nor on disk: {', '.join(missing)}"
        fix = "install the kernel's module package (linux-modules-extra or the like), or boot the kernel it is for"
        return problem("kernel-modules", f"missing {', '.join(missing)}", why, fix)
    return ok("kernel-modules", ", ".join(wanted))


@check("kube-proxy", reads="kubeProxy.mode in cluster.yaml, the kernel and its modules")
def proxy_mode(subject: Subject) -> Finding:
    """kube-proxy's nftables mode needs kernel 5.13 and Kubernetes 1.31; its ipvs mode has been deprecated since 1.35.

    Left to itself the install chooses by kernel, modules and release, and says which mode and why.
    """
    mode, release = _decided(subject), subject.index.kubernetes
    kernel = subject.facts.kernel
    if mode.name == "nftables" and (
        kernel_numbers(kernel) < _NFTABLES_KERNEL or subject.minor < FIRST_MINOR_WITH_NFTABLES
    ):
        why = f"the mode needs kernel 5.13 and Kubernetes 1.{FIRST_MINOR_WITH_NFTABLES}"
        seen = f"nftables on kernel {kernel}, Kubernetes {release}"
        return problem("kube-proxy", seen, why, "kubeProxy.mode: auto in cluster.yaml")
    if mode.name == "nftables" and subject.minor < FIRST_MINOR_WITH_STABLE_NFTABLES:
        why = f"it is beta in {release} and stable from 1.{FIRST_MINOR_WITH_STABLE_NFTABLES} on"
        return warn("kube-proxy", "mode nftables", why)
    if mode.name == "ipvs" and subject.minor >= FIRST_MINOR_DEPRECATING_IPVS:
        why = f"upstream deprecates it from 1.{FIRST_MINOR_DEPRECATING_IPVS} on and will remove it"
        return warn("kube-proxy", "mode ipvs", why, "kubeProxy.mode: nftables or iptables in cluster.yaml")
    if mode.name == "none":
        return ok("kube-proxy", "none: the pod network leads to Services")
    if subject.joins:
        return ok("kube-proxy", "the mode its first node decided")
    return ok("kube-proxy", f"mode {mode.name}: {mode.why}")


def _decided(subject: Subject) -> ProxyMode:
    return decide(subject.config.kube_proxy_mode, subject.minor, subject.facts.modules)


@check("cgroups", reads="/sys/fs/cgroup")
def cgroups(subject: Subject) -> Finding:
    """The kubelet and containerd cannot run without control groups. Version 1 is refused by the kubelet from 1.35 on,
    unless failCgroupV1 is false.
    """
    found = subject.facts.cgroup_version
    if found == 0:
        why = "the kubelet and containerd cannot run without control groups"
        return problem("cgroups", "none mounted", why, "mount them (systemd does), or boot another kernel")
    if found == 1 and subject.minor >= 35 and subject.config.kubelet.fail_cgroup_v1:
        why = f"the kubelet of {subject.index.kubernetes} refuses version 1"
        fix = "boot with systemd.unified_cgroup_hierarchy=1, or kubelet.failCgroupV1: false in cluster.yaml"
        return problem("cgroups", "version 1", why, fix)
    if found == 1 and subject.minor >= 31:
        return warn("cgroups", "version 1", "Kubernetes 1.35 and later refuse it unless told not to")
    return ok("cgroups", f"version {found}")


@check("swap", reads="/proc/swaps")
def swap(subject: Subject) -> Finding:
    """The kubelet refuses to start beside swap. The install turns it off, now and in /etc/fstab."""
    areas = subject.facts.swaps
    if not areas:
        return ok("swap", "none")
    size = sum(area.size_bytes for area in areas) / _MEGA
    return ok("swap", f"{size:.1f} MB on {', '.join(area.device for area in areas)}; will be turned off")


def kernel_numbers(release: str) -> tuple[int, int]:
    """Major and minor of a kernel release, (0, 0) for one that is not understood."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


CHECKS = (version, modules, proxy_mode, cgroups, swap)
