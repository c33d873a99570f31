"""Which etcd member may be removed, over every way a member can be; and the step that does it. Trap 13."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.errors import FormatError
from installer.etcd import Member, find_ghost, read_members
from installer.steps.etcd import CERTIFICATES, DATA, ETCDCTL, NoGhostMember
from installer.steps.kubeadm import BEGUN_MARK
from tests.fakes.node import FakeNode

OURS = "https://10.0.24.29:2380"
CP_1 = Member(0xE4DDD8B9376888AB, "cp-1", ("https://10.0.24.31:2380",), is_learner=False)
CP_3 = Member(0x953B8E085F0FEA77, "cp-3", ("https://10.0.24.32:2380",), is_learner=False)
GHOST = Member(0x85047BE2F29D3191, "", (OURS,), is_learner=True)
STEP = NoGhostMember("cp-2", "10.0.24.29", ("10.0.24.31", "10.0.24.32"))
ETCD = (
    *(ETCDCTL, "--endpoints", "https://10.0.24.31:2379,https://10.0.24.32:2379"),
    *("--cacert", CERTIFICATES[0], "--cert", CERTIFICATES[1], "--key", CERTIFICATES[2]),
)


def listing(*members: Member) -> str:
    """As ``etcdctl member list -w json`` prints it: what is empty or false is left out."""
    rows: list[dict[str, Any]] = []
    for member in members:
        row: dict[str, Any] = {"ID": member.id, "peerURLs": list(member.peer_urls)}
        row |= {"name": member.name, "clientURLs": [member.peer_urls[0]]} if member.name else {}
        rows.append(row | ({"isLearner": True} if member.is_learner else {}))
    return json.dumps({"header": {"cluster_id": 1}, "members": rows})


def ghost(*members: Member) -> Member | None:
    return find_ghost(members, name="cp-2", peer_url=OURS).ghost


def test_trap_13_the_member_of_a_join_that_failed_is_found() -> None:
    assert ghost(GHOST, CP_3, CP_1) == GHOST
    started = Member(1, "cp-2", (OURS,), is_learner=True)
    assert ghost(CP_1, started) == started
    assert read_members(listing(GHOST, CP_3, CP_1)) == (GHOST, CP_3, CP_1)


def test_who_votes_or_is_another_s_is_never_removed() -> None:
    assert ghost(CP_1, CP_3) is None
    assert ghost(CP_1, Member(1, "cp-2", (OURS,), is_learner=False)) is None
    assert ghost(CP_1, Member(1, "cp-9", (OURS,), is_learner=True)) is None
    assert ghost(CP_1, Member(1, "", ("https://10.0.24.77:2380",), is_learner=True)) is None


def test_quorum_decides_over_a_voter_that_never_started() -> None:
    never = Member(1, "", (OURS,), is_learner=False)
    assert ghost(CP_1, CP_3, never) == never
    assert ghost(CP_1, never) is None, "one of two is no majority: etcd would not agree"


@given(
    st.lists(
        st.builds(
            Member,
            st.integers(0),
            st.sampled_from(["", "cp-2", "x"]),
            st.sampled_from([(OURS,), ("y",)]),
            st.booleans(),
        )
    )
)
def test_whatever_the_members_only_our_own_unfinished_one_is_named(members: list[Member]) -> None:
    found = ghost(*members)
    assert found is None or (found.peer_urls == (OURS,) and found.name in ("", "cp-2") and found.is_unfinished)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"members": [{}]}', '{"members": [1]}', '{"members": {"ID": 1}}'])
def test_anything_else_is_no_list(text: str) -> None:
    with pytest.raises(FormatError):
        read_members(text)


def node(*members: Member) -> FakeNode:
    files = {**dict.fromkeys(CERTIFICATES, "x"), BEGUN_MARK: "", f"{DATA}/wal": "x"}
    files["/etc/kubernetes/manifests/etcd.yaml"] = "pod"
    made = FakeNode().with_files({**files})
    made.script([*ETCD, "member", "list", "-w", "json"], listing(*members))
    return made


def test_the_ghost_is_removed_with_its_data_and_said_to_be() -> None:
    found = node(GHOST, CP_1, CP_3)
    assert STEP.check(found).changes[0] == f"remove etcd member 85047be2f29d3191 (no name) {OURS} learner"
    found.script([*ETCD, "member", "remove", "85047be2f29d3191"], "Member removed")
    assert STEP.apply(found).startswith("removed etcd member 85047be2f29d3191")
    assert found.stat(DATA) is None
    assert found.stat("/etc/kubernetes/manifests/etcd.yaml") is None
    assert found.ran[-1][-2:] == ("remove", "85047be2f29d3191"), "the member goes last"


def test_data_of_a_member_somebody_removed_goes_too_and_a_voter_s_stays() -> None:
    found = node(CP_1, CP_3)
    assert STEP.check(found).changes == (f"remove {DATA}",)
    assert STEP.apply(found) == f"removed {DATA}"
    assert STEP.check(found).satisfied
    voter = node(CP_1, Member(1, "cp-2", (OURS,), is_learner=False))
    assert STEP.check(voter).satisfied


def test_nothing_is_asked_without_an_earlier_attempt_and_nothing_stops_without_an_answer() -> None:
    fresh = FakeNode()
    assert STEP.check(fresh).satisfied
    assert fresh.ran == []
    silent = node()
    silent.remove(CERTIFICATES[2])
    assert STEP.check(silent).detail == "etcd cannot be asked; kubeadm will"
    away = FakeNode().with_files({**dict.fromkeys(CERTIFICATES, "x"), BEGUN_MARK: ""})
    away.script([*ETCD, "member", "list", "-w", "json"], code=1, stderr="context deadline exceeded")
    assert STEP.check(away).satisfied
