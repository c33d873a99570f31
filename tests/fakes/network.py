"""A fake packet filter and network: what ``iptables``, ``nft``, ``ipset``, ``ipvsadm`` and ``ip`` show and change.

The packet filter keeps rules as ``iptables-save`` shows them and refuses what the real one refuses: a rule that is
not there, a chain that still has rules or is still led to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from installer.node import CommandResult
from installer.packetfilter import virtual_servers


@dataclass
class Table:
    """One table: chains with their policies, and the rules of all chains in order."""

    chains: dict[str, str] = field(default_factory=dict)
    rules: list[str] = field(default_factory=list)


class PacketFilter:
    """The rules of one program."""

    def __init__(self, saved: str = "") -> None:
        self.tables: dict[str, Table] = {}
        for line in saved.splitlines():
            if line.startswith("*"):
                table = self.tables.setdefault(line[1:], Table())
            elif line.startswith(":"):
                name, policy, *_ = line[1:].split()
                table.chains[name] = policy
            elif line.startswith("-A "):
                table.rules.append(line)

    def saved(self) -> str:
        """What ``iptables-save`` prints."""
        lines = []
        for name, table in self.tables.items():
            chains = (f":{chain} {policy} [0:0]" for chain, policy in table.chains.items())
            lines += [f"*{name}", *chains, *table.rules, "COMMIT"]
        return "".join(f"{line}\n" for line in lines)

    def restore(self, script: str) -> None:
        """Does what ``iptables-restore --noflush`` would; :class:`AssertionError` for what that refuses."""
        for line in script.splitlines():
            if line.startswith("*"):
                table = self.tables[line[1:]]
            elif line.startswith("-D "):
                table.rules.remove(line.replace("-D ", "-A ", 1))
            elif line.startswith("-F "):
                table.rules = [rule for rule in table.rules if rule.split()[1] != line[3:]]
            elif line.startswith("-X "):
                self._delete_chain(table, line[3:])
            else:
                assert line == "COMMIT", line

    def _delete_chain(self, table: Table, chain: str) -> None:
        assert table.chains.pop(chain) == "-", f"{chain} is built in"
        for rule in table.rules:
            words = rule.split()
            assert words[1] != chain, f"{chain} has rules"
            assert not any(pair in pairwise(words) for pair in (("-j", chain), ("-g", chain))), rule


@dataclass
class Network:
    """The network of one machine."""

    filters: dict[str, PacketFilter] = field(
        default_factory=lambda: {name: PacketFilter() for name in ("iptables", "ip6tables")}
    )
    nft_tables: list[str] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)
    servers: str = ""
    links: list[dict[str, Any]] = field(default_factory=list)
    routes: list[dict[str, Any]] = field(default_factory=list)

    def filter(self, words: tuple[str, ...], stdin: bytes) -> str:
        """Answers ``iptables-save`` and ``iptables-restore``, of any family."""
        program, _, what = words[0].rpartition("-")
        if what == "restore":
            assert words[1:] == ("--noflush",), "a restore that flushes would write the site's rules anew"
            self.filters[program].restore(stdin.decode())
            return ""
        return self.filters[program].saved()

    def nft(self, words: tuple[str, ...], _stdin: bytes) -> str:
        """Answers ``nft``."""
        if words[1:] == ("list", "tables"):
            return "".join(f"table {name}\n" for name in self.nft_tables)
        assert words[1:3] == ("delete", "table")
        self.nft_tables.remove(" ".join(words[3:]))
        return ""

    def ipset(self, words: tuple[str, ...], _stdin: bytes) -> str:
        """Answers ``ipset``."""
        if words[1:] == ("list", "-n"):
            return "".join(f"{name}\n" for name in self.sets)
        assert words[1] == "destroy"
        self.sets.remove(words[2])
        return ""

    def ipvsadm(self, words: tuple[str, ...], _stdin: bytes) -> str:
        """Answers ``ipvsadm -D``."""
        assert words[1] == "-D"
        (gone,) = (server for server in virtual_servers(self.servers) if server.endpoint == words[3])
        address = "".join(f"{int(part):02X}" for part in gone.address.split("."))
        kept, keeps = [], True
        for line in self.servers.splitlines():
            if not line.startswith("  "):
                keeps = f"{address}:{gone.port:04X}" not in line
            if keeps:
                kept.append(line)
        self.servers = "".join(f"{line}\n" for line in kept)
        return ""

    def ip(self, words: tuple[str, ...]) -> str | CommandResult:
        """Answers ``ip`` about links and routes."""
        if words[1:] == ("-j", "-d", "link", "show"):
            return json.dumps(self.links)
        if words[1:] == ("-j", "addr", "show"):
            return json.dumps(self.links)
        if words[1:] == ("-j", "route", "show"):
            return json.dumps(self.routes)
        if words[1:3] == ("link", "delete"):
            return self._delete_link(words)
        if words[1:3] == ("addr", "del"):
            (link,) = (link for link in self.links if link["ifname"] == words[5])
            link["addr_info"] = [info for info in link["addr_info"] if f"{info['local']}/32" != words[3]]
            return ""
        assert words[1:3] == ("route", "del"), words
        before = len(self.routes)
        self.routes = [route for route in self.routes if route["dst"] not in words[3:5]]
        assert len(self.routes) == before - 1
        return ""

    def _delete_link(self, words: tuple[str, ...]) -> str | CommandResult:
        found = [link for link in self.links if link["ifname"] == words[3]]
        if not found:
            return CommandResult(words, 1, "", f'Cannot find device "{words[3]}"')
        gone = {words[3], found[0].get("peer")}
        self.links = [link for link in self.links if link["ifname"] not in gone]
        for link in self.links:
            if link.get("master", "") in gone:
                del link["master"]  # a port without its bridge is just an interface
        return ""
