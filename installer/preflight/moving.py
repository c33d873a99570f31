"""A check for ``endpoint.mode: kube-vip``: the address was seen to answer here while another control plane held it.

Where a network filters address takeover, the control planes find out only when one of them fails.
"""

from __future__ import annotations

import ipaddress

from installer.check import Finding, check, ok, problem, warn
from installer.endpoint import ClusterNode
from installer.join import spoken_time
from installer.preflight.subject import Subject
from installer.vip.proof import Proof, Seen

NAME = "moving-address"
_HOLD = "sudo ./install vip-probe hold --config cluster.yaml"
_ASK = "sudo ./install vip-probe ask --config cluster.yaml"
_ASK_CLUSTER = "sudo ./install vip-probe ask --join join.yaml"
_OTHERWISE = """\
or no endpoint in cluster.yaml: the default, local, works
or go on unproven: endpoint.unproven: true in cluster.yaml"""


@check("moving-address", reads="the record of vip-probe")
def moving_address(subject: Subject) -> Finding:
    """kube-vip moves an address from a control plane that fails to another, and many networks filter that.

    Where a gateway ties addresses to machines, that is found out only when one of them fails; so it is tried before:
    one control plane holds the address for a moment, and the others ask for it.
    """
    config, address = subject.config, subject.config.endpoint.address
    if subject.role != "cp" or config.endpoint_mode != "kube-vip" or address is None:
        return ok(NAME, "none needed here")
    if subject.again:
        return ok(NAME, "already installed")
    others = tuple(plane for plane in config.control_planes if plane.address != subject.address)
    if not others:
        return warn(NAME, f"{address.host}, and nodes names no other control plane", "whether it moves is not known")
    proof = subject.facts.vip_proof
    missing = _missing(proof, subject, address.host, others)
    if missing is None:
        return ok(NAME, _told(proof, others))
    if config.endpoint.unproven:
        return warn(NAME, missing, "endpoint.unproven in cluster.yaml goes on without the proof")
    between = ", ".join(plane.name for plane in config.control_planes)
    why = f"kube-vip moves it between {between}; many networks filter that"
    return problem(NAME, missing, why, _fix(subject, address.host, others[0]))


def _missing(proof: Proof | None, subject: Subject, address: str, others: tuple[ClusterNode, ...]) -> str | None:
    """What the record says instead of a proof; ``None`` where it is one."""
    if proof is None:
        return f"{address} has not answered here from {_named(others)}"
    if proof.address != address:
        return f"the record is of {proof.address}; cluster.yaml says {address}"
    if (proof.name, proof.node_address) != (subject.node_name, subject.address):
        theirs = f"{proof.name} {proof.node_address}"
        return f"the record is of {theirs}; this machine is {subject.node_name} {subject.address}"
    seen = _of(proof, others)
    for item in seen:
        if not item.answered:
            when = spoken_time(item.at_seconds)
            return f"{address} did not answer here while {item.name} {item.address} held it ({when})"
    if not seen:
        holders = ", ".join(f"{item.name} {item.address}" for item in proof.seen) or "nobody"
        return f"{address} was answered by {holders}; the other control planes are {_named(others)}"
    return None


def _of(proof: Proof, others: tuple[ClusterNode, ...]) -> tuple[Seen, ...]:
    return tuple(item for item in proof.seen if any(item.is_of(other) for other in others))


def _told(proof: Proof | None, others: tuple[ClusterNode, ...]) -> str:
    seen = _of(proof, others) if proof is not None else ()
    return ", ".join(f"answered by {item.name} from {item.mac}, {spoken_time(item.at_seconds)}" for item in seen)


def _fix(subject: Subject, address: str, other: ClusterNode) -> str:
    """The commands, one a line, each below the word ``fix``."""
    if ipaddress.ip_address(address).version != 4:
        lines = ["vip-probe knows IPv4 only: try it by other means", _OTHERWISE]
    elif subject.joins:
        lines = [f"here, as the cluster holds it:\n  {_ASK_CLUSTER}", _OTHERWISE]
    else:
        lines = [f"on {other.name}:  {_HOLD}", f"then here:  {_ASK}", _OTHERWISE]
    return "\n       ".join("\n".join(lines).splitlines())


def _named(nodes: tuple[ClusterNode, ...]) -> str:
    return ", ".join(f"{node.name} {node.address}" for node in nodes)


CHECKS = (moving_address,)
