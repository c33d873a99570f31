"""The executor: check, skip or apply, check again; and what it says when that does not hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from installer.errors import CommandError, StepError
from installer.execute import (
    CheckResult,
    Event,
    Executor,
    Phase,
    Plan,
    StepFailed,
    StepFinished,
    StepStarted,
    look,
)
from installer.node import Node, NodeView
from tests.fakes.node import FakeNode


@dataclass(frozen=True)
class FileThere:
    """A file that should be there; ``writes`` is what apply does about it."""

    path: str
    writes: bool = True
    proof: bool = False
    id: str = "test/file"
    title: str = "a file"

    def check(self, view: NodeView) -> CheckResult:
        there = view.stat(self.path) is not None
        return CheckResult(there, "there" if there else "not there", (f"write {self.path}",), proof=self.proof)

    def apply(self, node: Node) -> str:
        if self.writes:
            node.write_file(self.path, b"")
        return f"wrote {self.path}"


@dataclass
class Events:
    seen: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.seen.append(event)


def plan(*steps: FileThere) -> Plan:
    return Plan((Phase("first", steps[:1]), Phase("rest", steps[1:])))


def test_what_is_missing_is_made_and_what_is_there_is_left() -> None:
    node, events = FakeNode().with_files({"/b": ""}), Events()
    results = Executor(node, events).run(plan(FileThere("/a"), FileThere("/b")))
    assert [(result.outcome, result.detail) for result in results] == [("changed", "wrote /a"), ("as wanted", "there")]
    assert [type(event) for event in events.seen] == [StepStarted, StepFinished, StepFinished]


def test_a_second_run_changes_nothing() -> None:
    node, steps = FakeNode(), plan(FileThere("/a"), FileThere("/b"))
    Executor(node, Events()).run(steps)
    before = node.files()
    events = Events()
    results = Executor(node, events).run(steps)
    assert {result.outcome for result in results} == {"as wanted"}
    assert node.files() == before
    assert not any(isinstance(event, StepStarted) for event in events.seen)


def test_a_proof_is_called_one() -> None:
    node = FakeNode().with_files({"/a": ""})
    results = Executor(node, Events()).run(plan(FileThere("/a", proof=True), FileThere("/b", proof=True)))
    assert [result.outcome for result in results] == ["proven", "proven"]


def test_a_step_that_does_not_do_what_it_says_is_found_out_and_nothing_follows() -> None:
    node, events = FakeNode(), Events()
    with pytest.raises(StepError) as caught:
        Executor(node, events).run(plan(FileThere("/a"), FileThere("/b", writes=False, id="test/bad"), FileThere("/c")))
    error = caught.value
    assert (error.where, error.wanted, error.got) == ("test/bad", "a file", "not there")
    assert "run the same command again" in str(error.next_step)
    assert set(node.files()) == {"/a"}
    last = events.seen[-1]
    assert isinstance(last, StepFailed)
    assert (last.number, last.total, last.step_id, last.error) == (2, 3, "test/bad", error)


def test_an_error_inside_a_step_is_passed_on_with_its_step_named() -> None:
    class Broken(FileThere):
        def apply(self, node: Node) -> str:
            raise CommandError(["ctr"], 1, "no space")

    events = Events()
    with pytest.raises(CommandError):
        Executor(FakeNode(), events).run(plan(Broken("/a", id="images/import")))
    last = events.seen[-1]
    assert isinstance(last, StepFailed)
    assert last.step_id == "images/import"


def test_a_dry_run_needs_only_a_view() -> None:
    node = FakeNode().with_files({"/b": ""})
    before = node.files()
    found = look(plan(FileThere("/a"), FileThere("/b")), node)
    assert [(item.check.satisfied, item.check.changes[0]) for item in found] == [
        (False, "write /a"),
        (True, "write /b"),
    ]
    assert node.files() == before
