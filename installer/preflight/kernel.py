"""Checks of the kernel: its version, modules, control groups, swap."""

from __future__ import annotations

import re

from installer.preflight.finding import Finding, Subject, ok, problem, warn
from installer.render.kernel import REQUIRED_MODULES

IPVS_MODULES = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh")
_OLDEST = (3, 10)
_NFTABLES_KERNEL = (5, 13)
_MEGA = 1_000_000


def version(subject: Subject) -> Finding:
    """Each kubeadm line accepts certain kernels; those of 1.32 and 1.33 refuse some that work, and are overruled."""
    release = subject.facts.kernel
    found = kernel_numbers(release)
    if found < _OLDEST:
        why = "containers need what came with 3.10"
        return problem("kernel", release, why, "boot a newer kernel")
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


def modules(subject: Subject) -> Finding:
    """Modules that containers and Services cannot do without; they are loaded by the install if they are there."""
    wanted = [*REQUIRED_MODULES]
    if subject.config.kube_proxy_mode == "ipvs":
        wanted += IPVS_MODULES
    if subject.config.kube_proxy_mode == "nftables":
        wanted.append("nf_tables")
    if subject.index.cni == "flannel":
        wanted.append("vxlan")
    missing = [name for name in wanted if subject.facts.modules.get(name, "missing") == "missing"]
    if missing:
        why = f"kernel {subject.facts.kernel} has neither built in nor on disk: {', '.join(missing)}"
        fix = "install the kernel's module package (linux-modules-extra or the like), or boot the kernel it is for"
        return problem("kernel-modules", f"missing {', '.join(missing)}", why, fix)
    return ok("kernel-modules", ", ".join(wanted))


def proxy_mode(subject: Subject) -> Finding:
    """kube-proxy's nftables mode needs kernel 5.13 and Kubernetes 1.31."""
    mode = subject.config.kube_proxy_mode
    if mode == "nftables" and (kernel_numbers(subject.facts.kernel) < _NFTABLES_KERNEL or subject.minor < 31):
        seen = f"nftables on kernel {subject.facts.kernel}, Kubernetes {subject.index.kubernetes}"
        why = "the mode needs kernel 5.13 and Kubernetes 1.31"
        return problem("kube-proxy", seen, why, "kubeProxy.mode: auto in cluster.yaml")
    return ok("kube-proxy", f"mode {mode}")


def cgroups(subject: Subject) -> Finding:
    """The kubelet needs control groups, from 1.35 on version 2."""
    found = subject.facts.cgroup_version
    if found == 0:
        why = "the kubelet and containerd cannot run without control groups"
        return problem("cgroups", "none mounted", why, "mount them (systemd does), or boot another kernel")
    if found == 1 and subject.minor >= 35:
        why = f"the kubelet of {subject.index.kubernetes} refuses version 1"
        return problem("cgroups", "version 1", why, "boot with systemd.unified_cgroup_hierarchy=1")
    if found == 1 and subject.minor >= 31:
        return warn("cgroups", "version 1", "Kubernetes 1.35 and later refuse it")
    return ok("cgroups", f"version {found}")


def swap(subject: Subject) -> Finding:
    """The kubelet refuses to start beside swap; the install turns it off."""
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
