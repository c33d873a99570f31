"""Checks of what fills: disks, inodes, the kernel's tables, and what the kernel counted when they were full."""

from __future__ import annotations

from collections.abc import Iterator

from installer.check import Finding, check, ok, problem, warn
from installer.doctor.health import Health
from installer.node import DiskSpace
from installer.preflight import limits
from installer.preflight.kernel import kernel_numbers

_LEAKING_BELOW = (4, 3)


@check("disks", reads="free bytes and inodes of each mount")
def disks(health: Health) -> Iterator[Finding]:
    """A full disk stops containerd, etcd or the kubelet, and each says something else about it.

    Bytes and inodes are told apart: "no space left on device" is said of both. Below 15 % the kubelet removes images,
    below 10 % it evicts pods.
    """
    seen: dict[str, DiskSpace] = {disk.mount: disk for disk in health.facts.disks.values()}
    for mount, disk in sorted(seen.items()):
        name, share = f"disks {mount}", disk.free_bytes / max(disk.total_bytes, 1)
        told = f"{disk.free_bytes / 1e6:.1f} MB free ({share:.0%}), {disk.free_inodes} inodes free"
        look = f"du -xh --max-depth=2 {mount} | sort -h | tail -n 20"
        if disk.free_inodes == 0:
            why = "no file can be made, whatever room there is"
            yield problem(name, told, why, f"du -x --inodes --max-depth=2 {mount} | sort -n | tail -n 20")
        elif share < 0.10:
            yield problem(name, told, "the kubelet evicts pods, and etcd stops when nothing is left", look)
        elif share < 0.15:
            yield warn(name, told, "the kubelet removes images that are not pinned", look)
        else:
            yield ok(name, told)


@check("inotify", reads="/proc/PID/fdinfo, fs.inotify.max_user_watches")
def inotify(health: Health) -> Iterator[Finding]:
    """Each user has so many inotify watches; when they are used up, the kubelet does not start.

    It says "no space left on device", and the disk is not full.
    """
    fullest = max(health.inotify.items(), key=lambda item: item[1].share, default=None)
    if fullest is None:
        yield ok("inotify", "not told")
        return
    uid, table = fullest
    seen = f"user {uid}: {table.used} of {table.most} watches ({table.share:.0%})"
    fix = "sysctl -w fs.inotify.max_user_watches=524288 && systemctl restart kubelet"
    if table.share >= 0.95:
        yield problem("inotify", seen, "the next one that asks gets: no space left on device", fix)
    elif table.share >= 0.8:
        yield warn("inotify", seen, "pods that follow logs take more", fix)
    else:
        yield ok("inotify", seen)


@check("overflows", reads="/proc/net/stat/arp_cache, /proc/net/stat/nf_conntrack, /proc/net/netstat")
def overflows(health: Health) -> Iterator[Finding]:
    """What the kernel has refused since it started because a table was full: it says so nowhere else for long.

    A failed insertion is a race of two packets for one entry, as of a name asked for twice at once: those names
    take five seconds.
    """
    found = health.counters
    said = False
    for name, number, why, fix in (
        (
            "neighbours",
            found.neighbours_refused,
            "neighbours were refused: local pods could not be reached",
            "sysctl -w net.ipv4.neigh.default.gc_thresh3=8192",
        ),
        (
            "connections",
            found.connections_dropped,
            "connections were dropped because their table was full",
            "sysctl -w net.netfilter.nf_conntrack_max=1048576",
        ),
        (
            "races",
            found.insertions_failed,
            "packets raced for one entry; a name asked for twice at once takes 5 s",
            "the add-on node-local-dns: names are asked for over TCP then",
        ),
        (
            "accepts",
            found.accepts_overflowed,
            "programs took their connections too slowly",
            "sysctl -w net.core.somaxconn=32768, and look at the load",
        ),
    ):
        if number:
            said = True
            yield warn(f"overflows {name}", f"{number} since the machine started", why, fix)
    if not said:
        yield ok("overflows", "none since the machine started")


@check("cgroups-left", reads="/proc/cgroups, /proc/sys/kernel/osrelease")
def left(health: Health) -> Finding:
    """Kernels before 4.3 never free a memory control group; at some 65,000 no container can be made."""
    number = health.counters.memory_groups
    if kernel_numbers(health.facts.kernel) >= _LEAKING_BELOW or health.facts.cgroup_version != 1:
        return ok("cgroups-left", "not in this kernel")
    fix = "restart the machine, and boot a newer kernel or this one with cgroup.memory=nokmem"
    if number >= 65_000:
        return problem("cgroups-left", f"{number} memory control groups", "no container can be made any more", fix)
    if number >= 50_000:
        return warn("cgroups-left", f"{number} memory control groups", "at some 65,000 no container can be made", fix)
    return ok("cgroups-left", f"{number} memory control groups")


CHECKS = (disks, *limits.TABLES, inotify, overflows, left)
