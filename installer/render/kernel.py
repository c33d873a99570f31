"""Kernel modules and sysctls: which, and the two files that keep them over a reboot.

Every module whose keys are set is listed by name: systemd sets sysctls once at boot, and keys of a module loaded later
would be lost. Sysctls are minimums; one the node already has higher is left alone and kept out of the file, which
might otherwise lower it at the next boot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MODULES_PATH = "/etc/modules-load.d/airgap-bundle.conf"
SYSCTL_PATH = "/etc/sysctl.d/90-airgap-bundle.conf"

REQUIRED_MODULES = ("overlay", "br_netfilter")
"""Without them no container starts and no Service answers."""
OPTIONAL_MODULES = ("nf_conntrack",)
"""Wanted where the kernel has them: conntrack keys at boot."""
PROXY_MODULES: Mapping[str, tuple[str, ...]] = {
    "iptables": (),
    "ipvs": ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack"),
    "nftables": ("nf_tables",),
    "none": (),
}
"""What each mode of kube-proxy cannot do without; in its container it cannot load them."""

SYSCTL_MINIMUMS: Mapping[str, int] = {
    "fs.inotify.max_user_instances": 8192,
    "fs.inotify.max_user_watches": 524288,
    "net.bridge.bridge-nf-call-ip6tables": 1,
    "net.bridge.bridge-nf-call-iptables": 1,
    "net.ipv4.ip_forward": 1,
    "net.ipv4.neigh.default.gc_thresh1": 4096,
    "net.ipv4.neigh.default.gc_thresh2": 6144,
    "net.ipv4.neigh.default.gc_thresh3": 8192,
}

_HEADER = "# Written by airgap-bundle."


def modules_file(modules: Iterable[str]) -> str:
    """The ``modules-load.d`` file."""
    return "\n".join([_HEADER, *modules]) + "\n"


def sysctl_file(values: Mapping[str, int]) -> str:
    """The ``sysctl.d`` file."""
    note = "# Minimums: a key this node had higher is not listed, so that nothing is lowered at boot."
    return "\n".join([_HEADER, note, *(f"{key} = {values[key]}" for key in sorted(values))]) + "\n"


def fstab_without_swap(text: str) -> str:
    """``/etc/fstab`` with every swap line commented out, everything else byte for byte as it was."""
    lines = text.splitlines(keepends=True)
    return "".join(f"# {line}" if is_swap_line(line) else line for line in lines)


def is_swap_line(line: str) -> bool:
    """Whether a line of fstab mounts swap: by its third field, whatever separates the fields."""
    fields = line.split()
    return len(fields) >= 3 and not fields[0].startswith("#") and fields[2] == "swap"


def active_swaps(proc_swaps: str) -> tuple[str, ...]:
    """The devices and files in ``/proc/swaps``."""
    return tuple(line.split()[0] for line in proc_swaps.splitlines()[1:] if line.strip())
