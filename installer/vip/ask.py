"""Asking for the moving address from another control plane: who answers, and from which MAC. Kept as a record.

Who answers is known by its own word, or, where a cluster runs already and its API answers, by the MAC that it shares
with a named control plane. When nobody does, the others are asked at their own addresses whether one of them holds it:
that tells "nobody holds it now" from "it does not come through", which look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from installer.endpoint import ClusterNode
from installer.errors import InputError, OperatorError, PreflightError
from installer.node import Node, NodeView
from installer.vip.proof import Proof, Seen
from installer.vip.question import Asked
from installer.vip.site import Site, held_here, neighbour_mac, neighbour_told, owner_of_mac

PATIENCE_SECONDS = 12.0
"""A neighbour that still has the last holder's MAC asks anew after some seconds, if no announcement reached it."""
_PAUSE_SECONDS = 0.5
_DEFAULT = "leave endpoint out of cluster.yaml: the default, endpoint.mode local, works"
Put = Callable[[str], Asked]
"""Puts the question to whoever is at an address."""


@dataclass(frozen=True)
class Found:
    """Who answered, from which MAC, after how long; and the holder before, if the address moved since."""

    holder: ClusterNode
    mac: str
    own_mac: str
    after_seconds: float
    before: Seen | None


def ask(node: Node, site: Site, put: Put) -> Found:
    """Asks, keeps what was seen, and says it; :class:`PreflightError` when no other control plane answers."""
    _demand_not_here(node, site)
    began_seconds = node.now_seconds()
    asked = _asked(node, site, put)
    after_seconds = node.now_seconds() - began_seconds
    if not asked.connected:
        raise _silence(node, site, put, asked)
    mac = neighbour_mac(node, site.address)
    if mac is None:
        raise PreflightError(
            "the address is reached through a gateway, and not by ARP",
            where=_where(site),
            wanted="an address of the network that the control planes share",
            got=f"{site.address} answers, and has no MAC here",
            next_step=f"choose an address of that network; or\n{_DEFAULT}",
        )
    holder, own_mac = _holder(node, site, put, asked, mac)
    proof = _proof(node, site)
    last = proof.seen[-1] if proof.seen and proof.seen[-1].answered else None
    before = last if last is not None and last.mac != mac and not last.is_of(holder) else None
    proof.with_seen(Seen(holder.name, holder.address, True, mac, int(node.now_seconds()))).write(node)
    return Found(holder, mac, own_mac, after_seconds, before)


def _demand_not_here(view: NodeView, site: Site) -> None:
    for interface, _ in held_here(view, site):
        raise InputError(
            "this machine has the address itself",
            where=f"{site.address} on {interface}",
            wanted="one control plane that holds it and another that asks",
            got=f"{site.here.name} {site.here.address} for both",
            next_step=f"end the hold here, and hold it on {site.others[0].name}",
        )


def _asked(node: Node, site: Site, put: Put) -> Asked:
    """The answer at the moving address, as soon as there is one."""
    ends_seconds = node.now_seconds() + PATIENCE_SECONDS
    while not (asked := put(site.address)).connected and node.now_seconds() < ends_seconds:
        node.sleep(_PAUSE_SECONDS)
    return asked


def _holder(view: NodeView, site: Site, put: Put, asked: Asked, mac: str) -> tuple[ClusterNode, str]:
    """The control plane that answered, and the MAC that it says it is at."""
    answer = asked.answer
    if answer is not None and answer.holds == site.address:
        named = site.other(answer.name, answer.address)
        got, own_mac = f"{answer.name} {answer.address} at {mac}", answer.mac
    else:
        for other in site.others:
            put(other.address)  # so that the neighbour table knows their MACs
        named = owner_of_mac(view, site, mac)
        got, own_mac = f"{asked.why or 'a probe for another address'}, at {mac}", mac
    if named is None:
        raise PreflightError(
            "something else answers at the address",
            where=_where(site),
            wanted=f"one of {_told(site.others)}, as nodes in cluster.yaml names them",
            got=got,
            next_step="choose an address that nobody has; or correct nodes on both control planes",
        )
    return named, own_mac


def _silence(node: Node, site: Site, put: Put, asked: Asked) -> OperatorError:
    """Why nobody answered: nobody holds the address, or one does and it does not reach this node."""
    others = {other: put(other.address) for other in site.others}
    table = f"{site.address} from here: {asked.why}; its MAC: {neighbour_told(node, site.address)}"
    for other, said in others.items():
        answer = said.answer
        if answer is None or answer.holds != site.address:
            continue
        seen = Seen(other.name, other.address, False, "", int(node.now_seconds()))
        _proof(node, site).with_seen(seen).write(node)
        return PreflightError(
            "the address does not move: it is held, and does not answer here",
            where=_where(site),
            wanted=f"{site.address} to answer; {other.name} {other.address} holds it at {answer.mac}",
            got=table,
            next_step=f"the network lets no address move (MAC-IP binding, source filtering);\n{_DEFAULT} without",
        )
    return PreflightError(
        "nobody holds the address now",
        where=_where(site),
        wanted=f"one of {_told(site.others)} to hold {site.address}",
        got="\n".join([table, *_refusals(others)]),
        next_step=f"on {site.others[0].name}:  sudo ./install vip-probe hold --config cluster.yaml",
    )


def _refusals(others: Mapping[ClusterNode, Asked]) -> list[str]:
    return [f"{node.name} {node.address}: {said.why or 'holds another address'}" for node, said in others.items()]


def _proof(view: NodeView, site: Site) -> Proof:
    """What is on record of this address for this node, or an empty record."""
    found = Proof.read(view)
    fresh = Proof(site.address, site.here.name, site.here.address)
    same = found is not None and (found.address, found.name, found.node_address) == (
        fresh.address,
        fresh.name,
        fresh.node_address,
    )
    return found if found is not None and same else fresh


def _where(site: Site) -> str:
    return f"{site.address}, asked by {site.here.name} {site.here.address}"


def _told(nodes: tuple[ClusterNode, ...]) -> str:
    return ", ".join(f"{node.name} {node.address}" for node in nodes)
