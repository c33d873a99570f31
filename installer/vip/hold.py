"""Holding the moving address for a while, as kube-vip would: nobody else has it, it is announced, it answers.

The address has a lifetime from the moment it is added, so that the kernel itself removes it should this program be
killed before it can.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from installer.errors import PreflightError
from installer.node import Node, NodeView
from installer.vip import arp
from installer.vip.arp import Link
from installer.vip.question import Answer, Door, Question
from installer.vip.site import Site, held_here, owner_of_mac

PROBES, PROBE_SECONDS = 3, 1.0
ANNOUNCE_SECONDS = 3.0
"""As often as kube-vip does."""
_TURN_SECONDS = 0.5
_LIFETIME_MARGIN_SECONDS = 5
_FOR_EVER_SECONDS = 2**32 - 1
_TIMEOUT_SECONDS = 30.0
Tell = Callable[[Question], None]


def demand_free_port(view: NodeView, site: Site, door: Door | None) -> Door:
    """``door``, or :class:`PreflightError` that says who has its port."""
    if door is not None:
        return door
    said = view.query(["ss", "-Hltnp", "sport", "=", f":{site.port}"])
    raise PreflightError(
        "the API's port is taken on this machine",
        where=f"TCP port {site.port} of {site.here.name}",
        wanted="a port that is free, to answer who holds the address",
        got=" ".join(said.stdout.split()) or "another program listens there",
        next_step="stop it; where a cluster runs already, vip-probe ask alone is enough",
    )


def demand_unheld(view: NodeView, site: Site, link: Link) -> None:
    """:class:`PreflightError` if another machine answers for the address, or this one has it for good."""
    for interface, item in held_here(view, site):
        seconds = int(item.get("valid_life_time", _FOR_EVER_SECONDS))
        if seconds == _FOR_EVER_SECONDS or interface != site.interface:
            raise PreflightError(
                "this machine has the address already",
                where=f"{site.address} on {interface}",
                wanted=f"an address that nobody has yet, for {site.interface}",
                got=f"{site.address}/{item.get('prefixlen')} on {interface}",
                next_step=f"if nothing needs it:  ip addr del {site.address}/{item.get('prefixlen')} dev {interface}",
            )
    for _ in range(PROBES):
        link.send(arp.probe(link.mac, site.address))
        _demand_nobody(view, site, link, PROBE_SECONDS)


def _demand_nobody(view: NodeView, site: Site, link: Link, seconds: float) -> None:
    for heard in link.heard(seconds):
        if heard.address == site.address:
            owner = owner_of_mac(view, site, heard.mac)
            raise PreflightError(
                "another machine holds the address",
                where=f"{site.address} on {site.interface}",
                wanted=f"nobody, or {site.here.name} alone ({link.mac})",
                got=f"{heard.mac} says it is there" + (f", which is {owner.name} {owner.address}" if owner else ""),
                next_step="end the hold there (a killed one ends with its --for); or take a free address",
            )


def hold(
    node: Node,
    site: Site,
    link: Link,
    door: Door,
    *,
    for_seconds: int,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Holds the address so long, or until interrupted; how many questions were answered at it."""
    answer = Answer(site.here.name, site.here.address, site.address, link.mac)
    answered, announced_at = 0, -ANNOUNCE_SECONDS
    with suppress(KeyboardInterrupt), _held(node, site, for_seconds):  # Ctrl-C is a way to end, and no error
        began = clock()
        while (passed := clock() - began) < for_seconds:
            if passed - announced_at >= ANNOUNCE_SECONDS:
                announced_at = passed
                for frame in arp.announcements(link.mac, site.address):
                    link.send(frame)
            _demand_nobody(node, site, link, 0)
            question = door.next_question(answer, _TURN_SECONDS)
            if question is not None:
                answered += question.asked_at == site.address
                tell(question)
    return answered


@contextmanager
def _held(node: Node, site: Site, for_seconds: int) -> Iterator[None]:
    """The address is on its interface inside, and gone afterwards."""
    address = f"{site.address}/32"
    lifetime = ("valid_lft", str(for_seconds + _LIFETIME_MARGIN_SECONDS), "preferred_lft", "0")
    try:
        node.run(["ip", "addr", "replace", address, "dev", site.interface, *lifetime], timeout_seconds=_TIMEOUT_SECONDS)
        yield
    finally:
        if any(held_here(node, site)):
            node.run(["ip", "addr", "del", address, "dev", site.interface], timeout_seconds=_TIMEOUT_SECONDS)
