"""Checks of who this machine is: its name, address and role against ``nodes``, and what the machine says of itself.

Addresses mapped to the wrong machines cost hours and look like anything else; here both facts stand side by side.
Only files are read: no name server is asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from installer.check import Finding, check, ok, problem
from installer.endpoint import LOCAL_ADDRESS, LOCAL_NAME, ClusterNode
from installer.preflight.subject import Subject

_FIX = "correct nodes in cluster.yaml, or install on the machine it means"


@check("node-identity", reads="nodes in cluster.yaml, this machine's name, address and role")
def listed(subject: Subject) -> Finding:
    """Addresses mapped to the wrong machines cost hours and look like anything else, such as an etcd that cannot bind.

    Where nodes in cluster.yaml names the machines, this one's name, address and role must be the ones given there.
    """
    nodes = subject.config.nodes
    if not nodes:
        return ok("node-identity", "cluster.yaml names no nodes")
    here = ClusterNode(subject.node_name, subject.address, subject.role)
    if here in nodes:
        return ok("node-identity", f"{here}, as in nodes")
    for node in nodes:
        if node.address == here.address and node.name != here.name:
            why = f"nodes says {node.address} is {node.name}; this machine has that address and is named {here.name}"
            return problem("node-identity", _seen(here), why, _FIX)
        if node.name == here.name and node.address != here.address:
            why = f"nodes says {node.name} is at {node.address}; this machine has that name and is at {here.address}"
            return problem("node-identity", _seen(here), why, f"{_FIX}; --address says which one it uses")
        if node.name == here.name and node.role != here.role:
            why = f"nodes says {node.name} has the role {node.role}; --role says {here.role}"
            return problem("node-identity", _seen(here), why, f"--role {node.role}, or correct nodes in cluster.yaml")
    return _not_listed(here, nodes)


def _not_listed(here: ClusterNode, nodes: tuple[ClusterNode, ...]) -> Finding:
    """A control plane must be listed, as the others lead to it; workers may be left out, but then all of them."""
    if here.role == "worker" and not any(node.role == "worker" for node in nodes):
        return ok("node-identity", f"{here}; nodes names control planes only")
    why = f"nodes names {', '.join(str(node) for node in nodes if node.role == here.role)}"
    fix = "add it to nodes in cluster.yaml on a control plane, run the install there again, take its new join file"
    return problem("node-identity", _seen(here), why, fix)


def _seen(here: ClusterNode) -> str:
    return f"this machine is {here}"


@check("names", reads="/etc/hosts")
def names(subject: Subject) -> Finding:
    """Where /etc/hosts knows a node's name, it must lead to that node, or what asks by name reaches another."""
    for name, wanted in _wanted(subject):
        for address in subject.facts.hosts.get(name, ()):
            if not _leads(address, wanted, own=name == subject.node_name):
                why = f"{name} is at {wanted}; what asks for it by name would reach another machine"
                return problem("names", f"/etc/hosts: {address} {name}", why, f"correct that line: {wanted} {name}")
    return ok("names", "as in /etc/hosts")


def _wanted(subject: Subject) -> Iterator[tuple[str, str]]:
    yield subject.node_name, subject.address
    for node in subject.config.nodes:
        if node.name != subject.node_name:
            yield node.name, node.address
    if subject.config.endpoint_mode == "local":
        yield LOCAL_NAME, LOCAL_ADDRESS


def _leads(found: str, wanted: str, *, own: bool) -> bool:
    """Whether an address of ``/etc/hosts`` is the wanted one; a machine's own name may also lead to itself."""
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return False
    return address == ipaddress.ip_address(wanted) or (own and address.is_loopback)


@check("machine-id", reads="/etc/machine-id, the record of the install")
def machine_id(subject: Subject) -> Finding:
    """A copied disk keeps the record of an install and gets another machine id: two nodes with one identity take each
    other's place in the cluster.
    """
    record, now = subject.facts.installed, subject.facts.machine_id
    if record is None or not record.machine_id or record.machine_id == now:
        return ok("machine-id", now or "none")
    why = f"{record.node_name} was installed on machine {record.machine_id}: this is a copy of its disk"
    fix = "if it is a copy: sudo airgap-bundle reset here; if the id alone was changed: put it back to /etc/machine-id"
    return problem("machine-id", f"this is machine {now or 'without an id'}", why, fix)


CHECKS = (listed, names, machine_id)
