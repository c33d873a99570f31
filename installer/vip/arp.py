"""ARP on one interface: who has the address, and "it is here now". IPv4 on Ethernet, as kube-vip does it.

A probe asks without naming a sender, so that it changes no neighbour's table (RFC 5227). An announcement is sent as a
request and as a reply, because devices differ in which of the two they believe.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from installer.errors import OperatorError

_ARP, _IPV4, _ETHERNET = 0x0806, 0x0800, 1
_REQUEST, _REPLY = 1, 2
_EVERYBODY, _NOBODY = b"\xff" * 6, b"\0" * 6
_HEADER = struct.Struct("!6s6sH")
_BODY = struct.Struct("!HHBBH6s4s6s4s")
_FRAME_BYTES = 1514


@dataclass(frozen=True)
class Heard:
    """An ARP packet of somebody's: the address it says is its own, and the MAC it says that of."""

    address: str
    mac: str


class Link(Protocol):
    """One interface that ARP packets go through; ``mac`` is its own address."""

    mac: str

    def send(self, frame: bytes) -> None:
        """Puts a frame on the wire."""

    def heard(self, seconds: float) -> Iterator[Heard]:
        """What others say, for so long; what is waiting already for 0."""


def probe(mac: str, address: str) -> bytes:
    """A question for ``address`` that tells nobody anything."""
    return _frame(mac, _REQUEST, "0.0.0.0", _NOBODY, address)  # noqa: S104 - ARP's word for nobody


def announcements(mac: str, address: str) -> tuple[bytes, bytes]:
    """``address`` is at ``mac`` now: as a request, and as a reply."""
    return _frame(mac, _REQUEST, address, _NOBODY, address), _frame(mac, _REPLY, address, _EVERYBODY, address)


def _frame(mac: str, operation: int, sender: str, target_mac: bytes, target: str) -> bytes:
    own = bytes.fromhex(mac.replace(":", ""))
    packed = (ipaddress.IPv4Address(sender).packed, ipaddress.IPv4Address(target).packed)
    body = _BODY.pack(_ETHERNET, _IPV4, 6, 4, operation, own, packed[0], target_mac, packed[1])
    return _HEADER.pack(_EVERYBODY, own, _ARP) + body


def parse(frame: bytes) -> Heard | None:
    """What an ARP frame says of its sender; ``None`` for anything else."""
    if len(frame) < _HEADER.size + _BODY.size or _HEADER.unpack_from(frame)[2] != _ARP:
        return None
    kind, protocol, mac_bytes, address_bytes, _operation, mac, address, *_ = _BODY.unpack_from(frame, _HEADER.size)
    if (kind, protocol, mac_bytes, address_bytes) != (_ETHERNET, _IPV4, 6, 4):
        return None
    return Heard(str(ipaddress.IPv4Address(address)), mac.hex(":"))


class PacketLink:
    """A :class:`Link` through a packet socket, which needs root."""

    def __init__(self, link: socket.socket, mac: str) -> None:
        self._link = link
        self.mac = mac

    def send(self, frame: bytes) -> None:
        """See :class:`Link`."""
        try:
            self._link.send(frame)
        except OSError as error:
            raise OperatorError(
                "cannot send an ARP packet", where=self._link.getsockname()[0], got=str(error)
            ) from None

    def heard(self, seconds: float) -> Iterator[Heard]:
        """See :class:`Link`."""
        ends_seconds = time.monotonic() + seconds
        while select.select([self._link], [], [], max(ends_seconds - time.monotonic(), 0))[0]:
            found = parse(self._next())
            if found is not None and found.mac != self.mac:
                yield found

    def _next(self) -> bytes:
        try:
            return self._link.recv(_FRAME_BYTES)
        except OSError as error:
            raise OperatorError("the interface went away", where=self.mac, got=str(error)) from None


@contextmanager
def open_link(interface: str) -> Iterator[PacketLink]:
    """The interface, for ARP; :class:`OperatorError` where it is none that ARP is spoken on."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:
        try:
            link.bind((interface, _ARP))
        except OSError as error:
            raise OperatorError("cannot speak ARP on an interface", where=interface, got=str(error)) from None
        _name, _protocol, _kind, hardware, mac = link.getsockname()
        if hardware != _ETHERNET or len(mac) != len(_NOBODY):
            raise OperatorError("no ARP on this interface", where=interface, wanted="Ethernet", got="another kind")
        yield PacketLink(link, mac.hex(":"))
