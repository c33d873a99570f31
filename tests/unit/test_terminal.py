"""What every verb prints fits a serial console of 80 columns, and with --json is one event a line."""

from __future__ import annotations

import json

import pytest

from tests.fakes.desk import Desk

LONGEST = 80


def too_long(said: str) -> list[str]:
    """Lines beyond 80 columns that hold more than one word after their head: those could have been folded."""
    return [line for line in said.splitlines() if len(line) > LONGEST and len(line.split()) > 2]


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--role", "cp"),
        ("preflight", "--role", "cp"),
        ("facts",),
        ("status",),
        ("join-file", "--help"),
        ("undo", "--help"),
        ("reset", "--help"),
    ],
)
def test_no_line_is_longer_than_a_serial_console(desk: Desk, words: tuple[str, ...]) -> None:
    assert too_long(desk.run(*words)[1]) == []


def test_no_line_of_an_install_and_what_follows_is(desk: Desk) -> None:
    for words in (("--role", "cp"), ("--role", "cp"), ("plan", "--role", "cp"), ("status",), ("reset", "--yes")):
        code, said = desk.run(*words)
        assert (code, too_long(said)) == (0, []), words


def test_every_line_is_an_event_with_json(desk: Desk) -> None:
    for words in (("facts",), ("status",), ("plan", "--role", "cp"), ("--role", "cp"), ("status",), ("reset", "--yes")):
        code, said = desk.run(*words, "--json")
        assert code == 0, words
        assert all(json.loads(line)["event"] for line in said.splitlines()), words


def test_a_step_that_is_skipped_says_why(desk: Desk) -> None:
    desk.machine.load("overlay", "br_netfilter")
    assert desk.run("--role", "cp")[0] == 0
    said = desk.run("--role", "cp")[1]
    steps = [line for line in said.splitlines() if " as wanted " in line or " proven " in line]
    assert len(steps) > 15
    assert all(line.split("as wanted" if "as wanted" in line else "proven", 1)[1].strip() for line in steps)


def test_the_end_says_what_to_do_next(desk: Desk) -> None:
    said = desk.run("--role", "cp")[1]
    end = said[said.index("\nNext\n") :].splitlines()
    assert "kubectl get nodes" in end[2]
    assert "KUBECONFIG=/etc/kubernetes/admin.conf" in end[2]
    assert end[3] == "  copy /var/lib/airgap-bundle/join.yaml to the next node, then there:"
    assert end[4].startswith("    sudo ./install --role worker --join join.yaml")
    assert end[5].startswith("    sudo ./install --role cp     --join join.yaml")
    said = " ".join(desk.run("reset", "--yes")[1].split())
    assert "kubectl delete node cp-1" in said
