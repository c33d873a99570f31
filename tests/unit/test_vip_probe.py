"""Holding the moving address and asking for it, on a wire in memory; what is refused and what is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from installer.config import ClusterConfig
from installer.endpoint import ApiEndpoint, ClusterNode
from installer.errors import CommandError, FormatError, InputError, PreflightError
from installer.settings import Endpoint
from installer.vip import arp
from installer.vip.arp import Heard
from installer.vip.ask import PATIENCE_SECONDS, ask
from installer.vip.hold import PROBES, demand_free_port, demand_unheld, hold
from installer.vip.proof import PATH, Proof, Seen
from installer.vip.question import Answer, Asked, Question
from installer.vip.site import Site, site_of
from tests.fakes.desk import Desk
from tests.fakes.node import FakeNode
from tests.fakes.wire import OWN_MAC, FakeWire
from tests.unit.test_undo import cut_before

ADDRESS = "10.0.24.100"
CP_1 = ClusterNode("cp-1", "10.0.24.31", "cp")
CP_2 = ClusterNode("cp-2", "10.0.24.29", "cp")
CP_3 = ClusterNode("cp-3", "10.0.24.32", "cp")
MACS = {CP_2.address: "02:00:00:00:00:29", CP_3.address: "02:00:00:00:00:32"}
MOVING = ClusterConfig(nodes=(CP_1, CP_2, CP_3), endpoint=ApiEndpoint("kube-vip", Endpoint(ADDRESS)))
SILENT = Asked(None, "no route to host")
OWN = {"local": CP_1.address, "prefixlen": 24, "scope": "global", "valid_life_time": 2**32 - 1}


def wired() -> FakeWire:
    """cp-1, on whose network the others are and nobody has the address."""
    return FakeWire(FakeNode(), addresses={CP_1.address: dict(OWN)}, neighbours=dict(MACS))


def site(wire: FakeWire) -> Site:
    return site_of(wire.node, MOVING)


def held_by(wire: FakeWire, holder: ClusterNode, *, comes_through: bool = True) -> None:
    """Another control plane holds the address."""
    mac = MACS[holder.address]
    answered = Asked(Answer(holder.name, holder.address, ADDRESS, mac), connected=True)
    refused = {node.address: Asked(None, "connection refused") for node in (CP_2, CP_3) if node != holder}
    wire.answers = {ADDRESS: answered if comes_through else SILENT, holder.address: answered, **refused}
    if comes_through:
        wire.neighbours[ADDRESS] = mac


def said(error: pytest.ExceptionInfo[PreflightError] | pytest.ExceptionInfo[InputError]) -> str:
    return "\n".join(error.value.lines())


def test_a_probe_is_of_this_control_plane_and_the_others_that_nodes_names() -> None:
    found = site(wired())
    assert found == Site(ADDRESS, "ens3", CP_1, (CP_2, CP_3))


@pytest.mark.parametrize(
    ("config", "wanted", "got"),
    [
        (ClusterConfig(nodes=(CP_1, CP_2)), "kube-vip", "local"),
        (replace(MOVING, nodes=(CP_2, CP_3)), "cp-2 10.0.24.29, cp-3 10.0.24.32", CP_1.address),
        (replace(MOVING, nodes=(CP_1,)), "another that asks", "cp-1 10.0.24.31 alone"),
        (replace(MOVING, endpoint=ApiEndpoint("kube-vip", Endpoint("fd00::7"))), "an IPv4 address", "fd00::7"),
        (replace(MOVING, endpoint=ApiEndpoint("kube-vip", Endpoint(ADDRESS), interface="eth7")), "eth7", "ens3"),
    ],
)
def test_where_there_is_no_probe_to_make_both_facts_are_said(config: ClusterConfig, wanted: str, got: str) -> None:
    with pytest.raises(InputError) as caught:
        site_of(wired().node, config)
    assert wanted in str(caught.value.wanted)
    assert got in str(caught.value.got)
    assert caught.value.next_step


def test_arp_frames_are_those_of_the_standard_and_read_back() -> None:
    asked = arp.probe(OWN_MAC, ADDRESS)
    assert asked.hex() == ("ffffffffffff02000000003108060001080006040001020000000031000000000000000000000a001864")
    request, reply = arp.announcements(OWN_MAC, ADDRESS)
    assert (request[20:22], reply[20:22]) == (b"\0\1", b"\0\2")
    assert arp.parse(request) == arp.parse(reply + b"\0" * 18) == Heard(ADDRESS, OWN_MAC)
    assert arp.parse(asked) == Heard("0.0.0.0", OWN_MAC)
    for broken in (b"", request[:41], request[:12] + b"\x08\x00" + request[14:], request[:14] + b"\0\6" + request[16:]):
        assert arp.parse(broken) is None


def test_the_address_is_held_announced_and_gone_when_the_time_is_over() -> None:
    wire = wired()
    told: list[Question] = []
    wire.comes = [None, Question("cp-2", CP_2.address, ADDRESS), Question("cp-3", CP_3.address, CP_1.address)]
    place = site(wire)
    demand_unheld(wire.node, place, wire)
    assert wire.sent == [arp.probe(OWN_MAC, ADDRESS)] * PROBES
    answered = hold(wire.node, place, wire, wire, for_seconds=10, tell=told.append, clock=wire.node.now_seconds)
    assert (answered, [question.name for question in told]) == (1, ["cp-2", "cp-3"])
    assert wire.given[0] == Answer("cp-1", CP_1.address, ADDRESS, OWN_MAC)
    announced = wire.sent[PROBES:]
    assert announced == [*arp.announcements(OWN_MAC, ADDRESS)] * (len(announced) // 2)
    assert len(announced) == 2 * 4, "at once, and every three seconds"
    added = next(words for words in wire.node.ran if "replace" in words)
    assert added[3:6] == (f"{ADDRESS}/32", "dev", "ens3")
    assert 10 < int(added[added.index("valid_lft") + 1]) <= 20, "the kernel removes it should nobody else"
    assert list(wire.addresses) == [CP_1.address]


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), PreflightError("x"), CommandError(["ip"], 1, "")])
def test_the_address_goes_however_a_hold_ends(ending: BaseException) -> None:
    wire = wired()
    wire.comes = [None, ending]
    try:
        hold(wire.node, site(wire), wire, wire, for_seconds=60, tell=print, clock=wire.node.now_seconds)
    except (PreflightError, CommandError) as error:
        assert error is ending
    assert any("replace" in words for words in wire.node.ran)
    assert list(wire.addresses) == [CP_1.address]


def test_a_machine_that_answers_for_the_address_is_named_before_and_during_a_hold() -> None:
    wire = wired()
    wire.says = [[Heard(CP_2.address, MACS[CP_2.address])], [Heard(ADDRESS, MACS[CP_2.address])]]
    with pytest.raises(PreflightError, match="another machine holds the address") as caught:
        demand_unheld(wire.node, site(wire), wire)
    assert caught.value.got == "02:00:00:00:00:29 says it is there, which is cp-2 10.0.24.29"
    assert OWN_MAC in str(caught.value.wanted)
    wire.says = [[], [Heard(ADDRESS, "02:ff:ff:ff:ff:ff")]]
    with pytest.raises(PreflightError) as caught:
        hold(wire.node, site(wire), wire, wire, for_seconds=60, tell=print, clock=wire.node.now_seconds)
    assert caught.value.got == "02:ff:ff:ff:ff:ff says it is there"
    assert list(wire.addresses) == [CP_1.address]


def test_an_address_that_is_here_for_good_is_not_taken_and_one_of_a_killed_hold_is() -> None:
    wire = wired()
    wire.addresses[ADDRESS] = OWN | {"local": ADDRESS}
    with pytest.raises(PreflightError, match="this machine has the address already"):
        demand_unheld(wire.node, site(wire), wire)
    wire.addresses[ADDRESS]["valid_life_time"] = 44
    demand_unheld(wire.node, site(wire), wire)


def test_a_port_that_is_taken_is_said_by_whom() -> None:
    wire = wired()
    wire.node.script("ss -Hltnp sport = :6443", 'LISTEN 0 128 *:6443 *:* users:(("kube-apiserver",pid=7,fd=3))\n')
    with pytest.raises(PreflightError) as caught:
        demand_free_port(wire.node, site(wire), None)
    assert "kube-apiserver" in str(caught.value.got)
    assert demand_free_port(wire.node, site(wire), wire) is wire


def test_who_answered_is_kept_and_so_is_that_the_address_moved() -> None:
    wire = wired()
    held_by(wire, CP_2)
    first = ask(wire.node, site(wire), wire.put)
    assert (first.holder, first.mac, first.own_mac, first.before) == (CP_2, MACS[CP_2.address], first.mac, None)
    held_by(wire, CP_3)
    second = ask(wire.node, site(wire), wire.put)
    assert second.before is not None
    assert (second.before.name, second.before.mac, second.mac) == ("cp-2", first.mac, MACS[CP_3.address])
    proof = Proof.read(wire.node)
    assert proof is not None
    assert (proof.address, proof.name, proof.node_address) == (ADDRESS, "cp-1", CP_1.address)
    assert [(item.name, item.answered) for item in proof.seen] == [("cp-2", True), ("cp-3", True)]
    held_by(wire, CP_2)
    ask(wire.node, site(wire), wire.put)
    assert [item.name for item in (Proof.read(wire.node) or proof).seen] == ["cp-3", "cp-2"], "one entry of each"


def test_a_record_of_another_address_or_machine_is_begun_anew() -> None:
    wire = wired()
    for before in (Proof("10.0.24.200", "cp-1", CP_1.address), Proof(ADDRESS, "cp-9", CP_1.address)):
        replace(before, seen=(Seen("cp-3", CP_3.address, True, "02:00:00:00:00:32", 1),)).write(wire.node)
        held_by(wire, CP_2)
        assert ask(wire.node, site(wire), wire.put).before is None
        proof = Proof.read(wire.node)
        assert proof is not None
        assert [item.name for item in proof.seen] == ["cp-2"]


def test_an_address_that_is_held_and_does_not_come_through_is_said_not_to_move() -> None:
    wire = wired()
    held_by(wire, CP_2)
    ask(wire.node, site(wire), wire.put)
    wire.neighbours.pop(ADDRESS)
    held_by(wire, CP_2, comes_through=False)
    began = wire.node.now_seconds()
    with pytest.raises(PreflightError, match="the address does not move") as caught:
        ask(wire.node, site(wire), wire.put)
    assert wire.node.now_seconds() - began > PATIENCE_SECONDS
    text = said(caught)
    assert "cp-2 10.0.24.29 holds it at 02:00:00:00:00:29" in text
    assert "no route to host; its MAC: no entry" in text
    assert "endpoint.mode local" in text
    proof = Proof.read(wire.node)
    assert proof is not None
    assert [(item.name, item.answered) for item in proof.seen] == [("cp-2", False)], "the proof of before is over"


def test_nobody_holding_is_not_taken_for_a_filter_and_changes_no_record() -> None:
    wire = wired()
    refused = Asked(None, "connection refused")
    wire.answers = {ADDRESS: SILENT, CP_2.address: refused, CP_3.address: Asked(None, "timed out")}
    with pytest.raises(PreflightError, match="nobody holds the address now") as caught:
        ask(wire.node, site(wire), wire.put)
    for fact in ("no route to host", "cp-2 10.0.24.29: connection refused", "cp-3 10.0.24.32: timed out"):
        assert fact in said(caught)
    assert "vip-probe hold" in said(caught)
    assert wire.node.files() == {}


def test_a_running_cluster_s_holder_is_known_by_its_mac() -> None:
    wire = wired()
    held_by(wire, CP_2)
    wire.answers[ADDRESS] = Asked(None, "something listens there that is no vip-probe", connected=True)
    assert ask(wire.node, site(wire), wire.put).holder == CP_2


@pytest.mark.parametrize(
    "answer",
    [None, Answer("cp-9", "10.0.24.9", ADDRESS, "02:00:00:00:00:09"), Answer("cp-2", CP_2.address, "10.0.24.200", "x")],
)
def test_a_stranger_that_answers_is_no_proof(answer: Answer | None) -> None:
    wire = wired()
    held_by(wire, CP_2)
    wire.answers[ADDRESS] = Asked(answer, "" if answer else "something listens there", connected=True)
    wire.neighbours[ADDRESS] = "02:00:00:00:00:09"
    with pytest.raises(PreflightError, match="something else answers") as caught:
        ask(wire.node, site(wire), wire.put)
    assert "02:00:00:00:00:09" in str(caught.value.got)
    assert "cp-2 10.0.24.29, cp-3 10.0.24.32" in str(caught.value.wanted)
    assert wire.node.files() == {}


def test_an_answer_through_a_gateway_is_no_proof() -> None:
    wire = wired()
    held_by(wire, CP_2)
    wire.neighbours.pop(ADDRESS)
    with pytest.raises(PreflightError, match="through a gateway"):
        ask(wire.node, site(wire), wire.put)


def test_the_holder_does_not_ask_itself() -> None:
    wire = wired()
    wire.addresses[ADDRESS] = OWN | {"local": ADDRESS}
    with pytest.raises(InputError, match="this machine has the address itself"):
        ask(wire.node, site(wire), wire.put)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2}', '{"schema": 1, "address": "x"}'])
def test_a_record_that_cannot_be_read_is_said_with_what_to_do(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        Proof.read(FakeNode().with_files({PATH: text}))
    assert caught.value.where == PATH


NODES_TEXT = "nodes: [{name: cp-1, address: 10.0.24.31, role: cp}, {name: cp-2, address: 10.0.24.29, role: cp}]\n"
MOVING_TEXT = NODES_TEXT + f"endpoint: {{mode: kube-vip, address: {ADDRESS}}}\n"


def test_an_install_with_kube_vip_waits_for_the_proof_and_a_reset_takes_it_away(desk: Desk) -> None:
    words = ("--role", "cp", "--config", desk.write("cluster.yaml", MOVING_TEXT))
    code, text = desk.refused(*words)
    assert code == 3
    assert "moving-address: 10.0.24.100 has not answered here from cp-2 10.0.24.29" in text
    assert "on cp-2:  sudo ./install vip-probe hold --config cluster.yaml" in text
    refusal = text.partition("moving-address")[2].partition("  next ")[0]
    assert max(len(line) for line in refusal.splitlines()) <= 80, refusal
    Proof(ADDRESS, "cp-1", CP_1.address, (Seen("cp-2", CP_2.address, True, "02::29", 1),)).write(desk.machine.node)
    assert desk.run(*words)[0] == 0
    code, text = desk.run("reset", "--yes")
    assert (code, f"remove {PATH}" in text) == (0, True)
    assert desk.machine.node.stat(PATH) is None


def test_an_undo_says_that_the_record_stays(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--role", "cp", "--config", desk.write("cluster.yaml", MOVING_TEXT))
    Proof(ADDRESS, "cp-1", CP_1.address, (Seen("cp-2", CP_2.address, True, "02::29", 1),)).write(desk.machine.node)
    cut_before(monkeypatch, "kubeadm/init")
    assert desk.run(*words)[0] == 1
    code, text = desk.run("undo", "--yes")
    assert (code, f"what vip-probe saw here before ({PATH}) stays" in " ".join(text.split())) == (0, True)
    assert desk.machine.node.stat(PATH) is not None


def test_the_verb_refuses_before_it_opens_anything(desk: Desk) -> None:
    for verb in ("hold", "ask"):
        code, text = desk.run("vip-probe", verb, "--config", desk.write("local.yaml", NODES_TEXT))
        assert (code, "got     local" in text) == (2, True)
    desk.machine.node.uid = 1000
    code, text = desk.run("vip-probe", "ask", "--config", desk.write("cluster.yaml", MOVING_TEXT))
    assert (code, "only root" in text) == (3, True)
    code, text = desk.run("vip-probe", "ask", "--join", str(desk.folder / "none.yaml"))
    assert code == 3
