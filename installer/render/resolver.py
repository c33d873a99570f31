"""Which resolver file the kubelet hands to pods that use the node's DNS - CoreDNS above all.

A node of an isolated site often has no DNS server, or no ``/etc/resolv.conf`` at all. The kubelet then gives CoreDNS
127.0.0.1, which is CoreDNS itself: its loop detection stops it. A file that names only loopback addresses ends the
same way, and CoreDNS refuses to start on a file without any server. So where the node has no usable file, one of ours
names the node's own address: a query for an outside name is refused there at once and never leaves the machine.
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
    """The first of ``CANDIDATES`` in ``files`` that pods can use, else our own naming the node's ``address``."""
    for path in CANDIDATES:
        if any(not _is_loopback(server) for server in nameservers(files.get(path) or "")):
            return Resolver(path)
    return Resolver(OWN_PATH, own_file(address))


def own_file(address: str) -> str:
    """Our resolver file for the node with ``address``."""
    return f"""\
# Written by airgap-bundle: this node has no DNS server that pods can reach. CoreDNS needs one named to start;
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
