"""Lines in the logs that have one known cause: patterns, what they mean, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Signature:
    """``pattern`` in a log line shows ``cause``; ``fix`` says what to do, or which check has it."""

    pattern: str
    cause: str
    fix: str


@dataclass(frozen=True)
class Sighting:
    """A signature that was seen: where, how often, and the last such line."""

    signature: Signature
    where: str
    times: int
    line: str


SIGNATURES = (
    Signature(
        r"neighbou?r(: arp_cache: neighbor)? table overflow",
        "the ARP table is full",
        "airgap-bundle explain neighbours",
    ),
    Signature(
        r"inotify_add_watch.*no space left on device",
        "a user's inotify watches are used up; the disk is not full",
        "sysctl -w fs.inotify.max_user_watches=524288",
    ),
    Signature(
        r"mkdir /sys/fs/cgroup/.*(no space left on device|cannot allocate memory)",
        "the kernel leaks memory control groups; the disk is not full",
        "restart the machine, and boot a newer kernel: airgap-bundle explain cgroup-leak",
    ),
    Signature(
        r"fork.*(Cannot allocate memory|Resource temporarily unavailable)",
        "no process can be started any more",
        "airgap-bundle explain tasks",
    ),
    Signature(
        r"page allocation failure.*order:[4-9]",
        "memory is too fragmented for a new network namespace",
        "echo 1 > /proc/sys/vm/compact_memory",
    ),
    Signature(r"Out of memory: Kill(ed)? process", "the machine ran out of memory", "free -m, and give it more"),
    Signature(
        r"oom-kill.*memcg|Memory cgroup out of memory",
        "a container used more memory than its limit",
        "raise the pod's memory limit",
    ),
    Signature(r"soft lockup - CPU#\d+ stuck", "a processor was stuck in the kernel", "look at the machine's load"),
    Signature(r"nf_conntrack: table full", "the connection table is full", "airgap-bundle explain conntrack"),
    Signature(r"PLEG is not healthy", "containerd answers the kubelet too slowly", "look at disk and load"),
    Signature(
        r"(mkdir|write) .*(/var/lib/containerd|/var/lib/kubelet|/var/log).*no space left on device",
        "a disk is full",
        "df -h and df -i on the folder that is named",
    ),
    Signature(
        r"Failed to pull image.*(i/o timeout|no such host|connection refused|network is unreachable)",
        "an image is not here, and this machine can reach no registry",
        "carry it in a bundle, or push it to the site's registry",
    ),
    Signature(
        r"failed to (get|pull) sandbox image",
        "the sandbox image is not in the store under its configured name",
        "sudo ./install --role … again, from the medium",
    ),
    Signature(
        r"x509: certificate (has expired|is not yet valid|signed by unknown authority)",
        "a certificate is not valid for whoever asks",
        "the clock first, then:  kubeadm certs check-expiration",
    ),
    Signature(
        r"plugin/forward: no nameservers found",
        "CoreDNS has nobody to ask",
        "dns.upstream: none in cluster.yaml, and run the install again",
    ),
    Signature(
        r"Loop .*detected for zone",
        "CoreDNS asks itself",
        "name real servers in dns.upstream, or none",
    ),
    Signature(
        r"dropped (internal )?[Rr]aft message|sending buffer is full",
        "etcd's members do not keep up with each other",
        "look at the disk under /var/lib/etcd and at the network between the control planes",
    ),
    Signature(
        r"setns process for init caused.*exit status",
        "a container's namespaces could not be made",
        "look at memory: airgap-bundle explain memory",
    ),
)


def sightings(logs: Mapping[str, str], signatures: Iterable[Signature]) -> tuple[Sighting, ...]:
    """Every signature that ``logs`` (by where they come from) hold, in the order of the table."""
    found = []
    for signature in signatures:
        pattern = re.compile(signature.pattern, re.IGNORECASE)
        for where, text in logs.items():
            lines = [line for line in text.splitlines() if pattern.search(line)]
            if lines:
                found.append(Sighting(signature, where, len(lines), lines[-1][:300]))
    return tuple(found)
