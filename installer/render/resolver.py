"""Which resolver file the kubelet hands to pods that use the node's DNS, CoreDNS above all.

A node of an isolated site often has no DNS server, or no ``/etc/resolv.conf`` at all. The kubelet needs a file that
exists, and programs that forward (CoreDNS, the cache on each node) refuse to start on one without a server, or end in
a loop on one that names only loopback addresses. So where the node has no usable file, one of ours names the node's
own address: a query for an outside name is refused there at once and never leaves the machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

OWN_PATH = "/etc/airgap-bundle/resolv.conf"
CANDIDATES = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
"""The node's own files, in order of preference; the second holds the real servers behind systemd-resolved's stub."""


@dataclass(frozen=True)
class Resolver:
    """The resolver file for the kubelet: its ``path``, and its ``content`` when it is ours to write."""

    path: str
    content: str | None = None


def choose(files: Mapping[str, str | None], address: str) -> Resolver:
    """The file of the node's that pods can use, else our own naming the node's ``address``."""
    path = usable(files)
    return Resolver(OWN_PATH, own_file(address)) if path is None else Resolver(path)


def usable(files: Mapping[str, str | None]) -> str | None:
    """The first of ``CANDIDATES`` in ``files`` that leads pods to a server, or ``None``."""
    return next((path for path in CANDIDATES if leads_out(files.get(path))), None)


def leads_out(text: str | None) -> bool:
    """Whether a resolver file names a server that a pod does not take for itself."""
    return any(not _is_loopback(server) for server in nameservers(text or ""))


def own_file(address: str) -> str:
    """Our resolver file for the node with ``address``."""
    return f"""\
# Written by airgap-bundle: this node has no DNS server that pods can reach. What forwards needs one named to start;
# outside names are refused here and do not leave the machine.
nameserver {address}
"""


def nameservers(text: str) -> tuple[str, ...]:
    """The servers a resolver file names."""
    lines = (line.split() for line in text.splitlines())
    return tuple(fields[1] for fields in lines if len(fields) >= 2 and fields[0] == "nameserver")


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return True
