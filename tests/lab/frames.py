"""Says of one Ethernet frame whether it stays inside the lab's networks or tries to leave them.

Pure: bytes in, a verdict out. What is not understood counts as leaving, so a new kind of traffic is noticed.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

ETHERNET_BYTES = 14
IPV4, ARP, VLAN, IPV6 = 0x0800, 0x0806, 0x8100, 0x86DD
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
WITH_PORTS = (6, 17)
LIMITED_BROADCAST = ipaddress.ip_address("255.255.255.255")
LINK_IPV4 = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("169.254.0.0/16"))
LINK_IPV6 = (ipaddress.ip_network("fe80::/10"), ipaddress.ip_network("ff02::/16"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def leaving(frame: bytes, inside: Sequence[Network]) -> str | None:
    """Where the frame wants to go outside of ``inside``, as text; ``None`` when it stays in or on the link."""
    if len(frame) < ETHERNET_BYTES:
        return "a frame without a header"
    (kind,) = struct.unpack_from("!H", frame, 12)
    payload = frame[ETHERNET_BYTES:]
    try:
        if kind == IPV4:
            return _leaving_ipv4(payload, inside)
        if kind == IPV6:
            return _leaving_ipv6(payload, inside)
        if kind == ARP:
            return _leaving_arp(payload, inside)
    except struct.error:
        return f"a cut-off frame of type 0x{kind:04x}"
    return f"a frame of type 0x{kind:04x}"


def _leaving_ipv4(packet: bytes, inside: Sequence[Network]) -> str | None:
    (raw,) = struct.unpack_from("!4s", packet, 16)
    address = ipaddress.IPv4Address(raw)
    if address == LIMITED_BROADCAST or _within(address, LINK_IPV4) or _within(address, inside):
        return None
    return _named(packet[9], address, packet[(packet[0] & 0x0F) * 4 :])


def _leaving_ipv6(packet: bytes, inside: Sequence[Network]) -> str | None:
    (raw,) = struct.unpack_from("!16s", packet, 24)
    address = ipaddress.IPv6Address(raw)
    if _within(address, LINK_IPV6) or _within(address, inside):
        return None
    return _named(packet[6], address, packet[40:])


def _leaving_arp(packet: bytes, inside: Sequence[Network]) -> str | None:
    (raw,) = struct.unpack_from("!4s", packet, 24)
    address = ipaddress.IPv4Address(raw)
    return None if _within(address, LINK_IPV4) or _within(address, inside) else f"arp who-has {address}"


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _named(protocol: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address, segment: bytes) -> str:
    name = PROTOCOLS.get(protocol, f"protocol {protocol}")
    if protocol not in WITH_PORTS or len(segment) < 4:
        return f"{name} {address}"
    (port,) = struct.unpack_from("!H", segment, 2)
    return f"{name} {address} port {port}"
