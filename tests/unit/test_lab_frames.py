"""The lab's judgement of frames: what stays inside, what leaves, and that the unknown counts as leaving."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from tests.lab.frames import leaving

INSIDE = (ipaddress.ip_network("10.77.0.0/24"), ipaddress.ip_network("10.244.0.0/16"))


def ethernet(kind: int, payload: bytes) -> bytes:
    return bytes(12) + struct.pack("!H", kind) + payload


def ipv4(destination: str, protocol: int = 17, port: int = 53) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, protocol, 0) + bytes(4)
    return ethernet(0x0800, header + ipaddress.IPv4Address(destination).packed + struct.pack("!HHHH", 4000, port, 8, 0))


def ipv6(destination: str) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, 8, 17, 64) + bytes(16)
    return ethernet(0x86DD, header + ipaddress.IPv6Address(destination).packed + struct.pack("!HHHH", 4000, 53, 8, 0))


def arp(target: str) -> bytes:
    return ethernet(0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes(16) + ipaddress.ip_address(target).packed)


@pytest.mark.parametrize("address", ["10.77.0.21", "10.244.3.4", "224.0.0.22", "255.255.255.255"])
def test_traffic_inside_is_not_leaving(address: str) -> None:
    assert leaving(ipv4(address), INSIDE) is None


def test_a_name_look_up_outside_is_named_with_its_port() -> None:
    assert leaving(ipv4("192.0.2.53"), INSIDE) == "udp 192.0.2.53 port 53"


def test_an_echo_request_outside_is_named_without_a_port() -> None:
    assert leaving(ipv4("192.0.2.1", protocol=1), INSIDE) == "icmp 192.0.2.1"


def test_multicast_beyond_the_link_is_leaving() -> None:
    assert leaving(ipv4("239.1.1.1"), INSIDE) is not None


def test_ipv6_stays_only_on_the_link() -> None:
    assert leaving(ipv6("fe80::1"), INSIDE) is None
    assert leaving(ipv6("ff02::16"), INSIDE) is None
    assert leaving(ipv6("2001:db8::1"), INSIDE) == "udp 2001:db8::1 port 53"


def test_asking_the_link_for_an_outside_address_is_leaving() -> None:
    assert leaving(arp("10.77.0.11"), INSIDE) is None
    assert leaving(arp("192.0.2.1"), INSIDE) == "arp who-has 192.0.2.1"


@pytest.mark.parametrize("frame", [b"", bytes(10), ethernet(0x88CC, bytes(40)), ipv4("10.77.0.21")[:20]])
def test_what_is_not_understood_counts_as_leaving(frame: bytes) -> None:
    assert leaving(frame, INSIDE) is not None
