"""A wire in memory: who says what by ARP, who comes to the door, and what ``ip`` tells of addresses and neighbours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from installer.node import CommandResult
from installer.vip.arp import Heard
from installer.vip.question import Answer, Asked, Question
from tests.fakes.node import FakeNode

OWN_MAC = "02:00:00:00:00:31"


@dataclass
class FakeWire:
    """What a probe finds on ``node``: a :class:`~installer.vip.arp.Link` and a :class:`~installer.vip.question.Door`.

    ``says`` is what each further look at the wire hears, ``comes`` who knocks next (an exception is raised);
    ``answers`` is what a question put to a host brings, and one to any other fails the test.
    """

    node: FakeNode
    mac: str = OWN_MAC
    addresses: dict[str, dict[str, Any]] = field(default_factory=dict)
    neighbours: dict[str, str] = field(default_factory=dict)
    says: list[list[Heard]] = field(default_factory=list)
    comes: list[Question | BaseException | None] = field(default_factory=list)
    answers: dict[str, Asked] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)
    given: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node.script(["ip"], then=self._ip)

    def send(self, frame: bytes) -> None:
        """See :class:`~installer.vip.arp.Link`."""
        self.sent.append(frame)

    def heard(self, seconds: float) -> Iterator[Heard]:
        """See :class:`~installer.vip.arp.Link`."""
        self.node.sleep(seconds)
        yield from self.says.pop(0) if self.says else ()

    def next_question(self, answer: Answer, seconds: float) -> Question | None:
        """See :class:`~installer.vip.question.Door`."""
        self.node.sleep(seconds)
        come = self.comes.pop(0) if self.comes else None
        if isinstance(come, BaseException):
            raise come
        if come is not None:
            self.given.append(answer)
        return come

    def put(self, host: str) -> Asked:
        """Puts the question to ``host``."""
        self.node.sleep(0.1)
        return self.answers[host]

    def _ip(self, node: FakeNode, _stdin: bytes) -> CommandResult:
        words = node.ran[-1]
        if words[1:] == ("-j", "addr", "show"):
            return _said([{"ifname": "ens3", "flags": ["UP"], "addr_info": list(self.addresses.values())}])
        if words[1:4] == ("-j", "neigh", "show"):
            mac = self.neighbours.get(words[4])
            return _said([{"dst": words[4], "lladdr": mac, "state": ["REACHABLE"]}] if mac else [])
        assert words[1] == "addr", words
        assert words[4:6] == ("dev", "ens3"), words
        address, _, length = words[3].partition("/")
        if words[2] == "replace":
            seconds = int(words[words.index("valid_lft") + 1])
            self.addresses[address] = {
                "local": address,
                "prefixlen": int(length),
                "scope": "global",
                "valid_life_time": seconds,
            }
        else:
            assert words[2] == "del", words
            del self.addresses[address]
        return _said([])


def _said(rows: list[dict[str, Any]]) -> CommandResult:
    return CommandResult((), 0, json.dumps(rows), "")
