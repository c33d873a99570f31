"""What of a packet filter belongs to Kubernetes and the pod networks, read from ``iptables-save`` and ``/proc``. Pure.

The answer is a list of deletions and not a whole new rule set: the site's own rules are never written anew, so they
keep their order, their counters, and whatever the tools of this machine cannot express.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import pairwise

from installer.leftovers import EVERYBODY, KEPT_WHILE_USED, owner_of
from installer.wording import count

Network = IPv4Network | IPv6Network
_HASHED = re.compile(
    r"(KUBE-[A-Z]+-)[A-Z2-7]{16}|(CNI-(?:DN-|SN-)?)[0-9a-f]{20,}|(cali-(?:tw|fw|to|fr|th|fh|pi|po|pri|pro)-)\S+"
)
NODE_PORTS = range(30000, 32768)


@dataclass(frozen=True)
class Removals:
    """What is to go from the rules of one program: by table, chains (with all in them) and rules elsewhere."""

    chains: dict[str, tuple[str, ...]]
    rules: dict[str, tuple[str, ...]]

    @property
    def script(self) -> str:
        """The deletions as ``iptables-restore --noflush`` reads them; each table goes through whole or not at all."""
        lines = []
        for table in self.chains:
            chains, rules = self.chains[table], self.rules[table]
            if chains or rules:
                deletions = [rule.replace("-A ", "-D ", 1) for rule in rules]
                emptied = [f"-F {chain}" for chain in chains]
                lines += [f"*{table}", *deletions, *emptied, *(f"-X {chain}" for chain in chains), "COMMIT"]
        return "".join(f"{line}\n" for line in lines)

    def told(self) -> list[str]:
        """One line per table: how many chains and rules, and their names; chains named by a hash as ``KUBE-SVC-*``."""
        lines = []
        for table, chains in self.chains.items():
            if chains:
                lines.append(f"{table}: delete {count(len(chains), 'chain')}, {grouped(chains)}")
            if rules := self.rules[table]:
                lines.append(f"{table}: delete {count(len(rules), 'rule')} of theirs from other chains")
        return lines


def removals(saved: str, owners: frozenset[str] = EVERYBODY) -> Removals:
    """What goes of ``owners`` from the rules that ``iptables-save`` shows as ``saved``."""
    chains: dict[str, tuple[str, ...]] = {}
    rules: dict[str, tuple[str, ...]] = {}
    for table, lines in _tables(saved):
        used = {_words(line)[1] for line in lines if line.startswith("-A ")}
        named = [line[1:].split()[0] for line in lines if line.startswith(":")]
        theirs = [name for name in named if owner_of("chain", name, owners)]
        gone = frozenset(name for name in theirs if not (name in KEPT_WHILE_USED and name in used))
        chains[table] = tuple(name for name in theirs if name in gone)
        rules[table] = tuple(line for line in lines if line.startswith("-A ") and _goes(line, gone, owners))
    return Removals(chains, rules)


def grouped(names: Iterable[str]) -> str:
    """Names in one line, those that differ only by a hash counted: ``KUBE-SERVICES, KUBE-SVC-* (12)``."""
    counts = Counter(_group(name) for name in names)
    return ", ".join(f"{name} ({number})" if name.endswith("*") else name for name, number in sorted(counts.items()))


def _group(name: str) -> str:
    found = _HASHED.fullmatch(name)
    return f"{found[1] or found[2] or found[3]}*" if found else name


def _tables(saved: str) -> list[tuple[str, list[str]]]:
    tables: list[tuple[str, list[str]]] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            tables.append((line[1:].strip(), []))
        elif line.startswith((":", "-A ")) and tables:
            tables[-1][1].append(line)
    return tables


def _words(rule: str) -> list[str]:
    try:
        return shlex.split(rule)
    except ValueError:  # no rule of ours has an open quote
        return [*rule.split(), ""]


def _goes(rule: str, ours: frozenset[str], owners: frozenset[str]) -> bool:
    """Whether a rule outside our chains leads to one of them or is marked as one of ours."""
    words = _words(rule)
    if words[1] in ours:
        return False  # goes with its chain
    for option, value in pairwise(words):
        if option in ("-j", "-g") and value in ours:
            return True
        if option == "--comment" and owner_of("comment", value, owners):
            return True
    return False


@dataclass(frozen=True)
class VirtualServer:
    """A virtual server of IPVS: ``tcp``, ``udp`` or ``sctp``, where it listens, and where it leads."""

    protocol: str
    address: str
    port: int
    targets: tuple[str, ...]

    @property
    def endpoint(self) -> str:
        """``10.96.0.1:443`` or ``[fd00::1]:443``, as ``ipvsadm`` takes it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def virtual_servers(table: str) -> tuple[VirtualServer, ...]:
    """What ``/proc/net/ip_vs`` lists, but for those that go by a mark, which no part of Kubernetes makes."""
    found: list[VirtualServer] = []
    for line in table.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("TCP", "UDP", "SCTP"):
            address, port = _endpoint(words[1])
            found.append(VirtualServer(words[0].lower(), address, port, ()))
        elif len(words) > 1 and words[0] == "FWM":
            found.append(VirtualServer("fwm", "", 0, ()))
        elif len(words) > 1 and words[0] == "->" and found and ":" in words[1] and words[1][0] in "[0123456789ABCDEF":
            last = found.pop()
            found.append(VirtualServer(last.protocol, last.address, last.port, (*last.targets, _endpoint(words[1])[0])))
    return tuple(server for server in found if server.protocol != "fwm")


def left_servers(
    servers: Iterable[VirtualServer], *, own: Sequence[str], pods: Network, services: Network, has_link: bool
) -> tuple[VirtualServer, ...]:
    """Those that kube-proxy made: at an address of ``kube-ipvs0`` (``own``) or of Services, or that lead to pods, or,
    while its interface is there (``has_link``), on a node port that leads nowhere.
    """

    def is_left(server: VirtualServer) -> bool:
        if server.address in own or _inside(server.address, services):
            return True
        if server.targets:
            return all(_inside(target, pods) for target in server.targets)
        return has_link and server.port in NODE_PORTS

    return tuple(server for server in servers if is_left(server))


def _inside(address: str, network: Network) -> bool:
    return ip_address(address) in network


def _endpoint(word: str) -> tuple[str, int]:
    """``0A600001:01BB`` or ``[fd00:…]:01BB``, both in hexadecimal."""
    address, _, port = word.rpartition(":")
    if address.startswith("["):
        return str(ip_address(address.strip("[]"))), int(port, 16)
    return str(ip_address(bytes.fromhex(address))), int(port, 16)
