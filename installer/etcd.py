"""What etcd says of its members, and which of them is the ghost of a join that failed. Pure: text in, a verdict out.

kubeadm announces a member before it starts it. A join that fails in between leaves a member that never runs, and the
next attempt ends in "can only promote a learner member which is in sync with leader".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from installer.errors import FormatError

PEER_PORT = 2380
CLIENT_PORT = 2379


@dataclass(frozen=True)
class Member:
    """One member: its id, its name (empty until it has started once), where its peers reach it, whether it votes."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    is_learner: bool

    @property
    def hex_id(self) -> str:
        """The id as ``etcdctl member remove`` wants it."""
        return f"{self.id:x}"

    @property
    def is_unfinished(self) -> bool:
        """Whether it never started, or has started and has no vote yet."""
        return not self.name or self.is_learner

    def __str__(self) -> str:
        state = "learner" if self.is_learner else "voter" if self.name else "unstarted"
        return f"{self.hex_id} {self.name or '(no name)'} {', '.join(self.peer_urls)} {state}"


@dataclass(frozen=True)
class Verdict:
    """The member to remove, if any; ``why`` is what was found in one line."""

    ghost: Member | None
    why: str
    is_listed: bool = False


def read_members(text: str) -> tuple[Member, ...]:
    """The members in what ``etcdctl member list -w json`` prints; :class:`FormatError` for anything else."""
    try:
        return tuple(
            Member(
                int(item["ID"]),
                str(item.get("name", "")),
                tuple(map(str, item["peerURLs"])),
                item.get("isLearner", False) is True,
            )
            for item in json.loads(text)["members"]
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FormatError("not a list of etcd members", where="etcdctl member list", got=text[:200]) from None


def find_ghost(members: Sequence[Member], *, name: str, peer_url: str) -> Verdict:
    """Which member a failed join of node ``name`` at ``peer_url`` left: its own, unstarted or a learner.

    One that votes is never named, nor one of another node's; and none while those that run could not agree on it.
    """
    ours = [member for member in members if peer_url in member.peer_urls]
    if not ours:
        return Verdict(None, "no member of this node")
    (member, *_) = ours
    if member.name not in ("", name):
        return Verdict(None, f"{member} is another node's, left alone", is_listed=True)
    if not member.is_unfinished:
        return Verdict(None, f"{member} votes already, left alone", is_listed=True)
    if not _can_agree(members, member):
        return Verdict(None, f"{member} cannot be removed: too few voters run", is_listed=True)
    return Verdict(member, f"{member}, left by a join that failed", is_listed=True)


def _can_agree(members: Sequence[Member], leaving: Member) -> bool:
    """Whether the started voters are a majority, with ``leaving`` in and without it."""
    voters = [member for member in members if not member.is_learner]
    others = [member for member in voters if member is not leaving]
    running = sum(1 for member in others if member.name)
    return running > len(voters) // 2 and running > len(others) // 2
