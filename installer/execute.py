"""Carrying out a plan: each step is checked, applied if needed, and checked again.

The one rule - check, skip if satisfied, apply, **check again and demand satisfied** - gives idempotence, resume after
a crash (run again) and a proof per step. Nothing here knows what the steps do, and nothing here prints.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from installer.errors import CommandError, OperatorError, StepError
from installer.node import Node, NodeView
from installer.room import explained

Outcome = Literal["changed", "as wanted", "proven"]


@dataclass(frozen=True)
class CheckResult:
    """What a step's check found.

    ``detail`` is one short line ("11 images pinned"); ``changes`` are the lines a dry run shows for what apply would
    do; ``proof`` marks a check that compares independent witnesses, shown as "proven" instead of "as wanted".
    """

    satisfied: bool
    detail: str = ""
    changes: tuple[str, ...] = ()
    proof: bool = False


class Step(Protocol):
    """One wanted state of the node. ``id`` is ``area/name`` and stable; ``title`` says what is wanted in a line."""

    @property
    def id(self) -> str:
        """``area/name``, such as ``kernel/modules``."""

    @property
    def title(self) -> str:
        """What is wanted, in one line."""

    def check(self, view: NodeView) -> CheckResult:
        """Whether the node is as wanted. Looks only, and must not assume that earlier steps are done."""

    def apply(self, node: Node) -> str:
        """Makes the node as wanted and says in one short line what was done."""


@dataclass(frozen=True)
class Phase:
    """Steps that belong together, in order."""

    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """What an install will do, in order; ``notes`` are decisions worth telling (the kube-proxy mode and why)."""

    phases: tuple[Phase, ...]
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order."""
        return tuple(step for phase in self.phases for step in phase.steps)


@dataclass(frozen=True)
class StepResult:
    """How one step went."""

    step_id: str
    outcome: Outcome
    detail: str
    seconds: float


@dataclass(frozen=True)
class PlannedStep:
    """What a dry run says about one step; ``check`` is what was found without applying the steps before it."""

    step: Step
    check: CheckResult


@dataclass(frozen=True)
class StepStarted:
    """The executor begins to apply a step: number ``number`` of ``total``."""

    number: int
    total: int
    step: Step


@dataclass(frozen=True)
class StepFinished:
    """A step is as wanted."""

    number: int
    total: int
    result: StepResult


@dataclass(frozen=True)
class StepFailed:
    """A step could not be made as wanted; the executor stops."""

    number: int
    total: int
    step_id: str
    error: OperatorError
    seconds: float


Event = StepStarted | StepFinished | StepFailed


class Executor:
    """Carries out a plan on ``node``; every event goes to ``on_event`` (the journal, the screen)."""

    def __init__(self, node: Node, on_event: Callable[[Event], None]) -> None:
        self._node = node
        self._on_event = on_event

    def run(self, plan: Plan) -> tuple[StepResult, ...]:
        """All steps in order; stops at the first that fails with :class:`StepError` naming it."""
        results: list[StepResult] = []
        total = len(plan.steps)
        for number, step in enumerate(plan.steps, start=1):
            began = time.monotonic()
            try:
                result = self._carry_out(step, number, total, began)
            except OperatorError as error:
                self._on_event(StepFailed(number, total, step.id, error, time.monotonic() - began))
                raise
            results.append(result)
            self._on_event(StepFinished(number, total, result))
        return tuple(results)

    def _carry_out(self, step: Step, number: int, total: int, began: float) -> StepResult:
        found = step.check(self._node)
        if found.satisfied:
            outcome: Outcome = "proven" if found.proof else "as wanted"
            return StepResult(step.id, outcome, found.detail, time.monotonic() - began)
        self._on_event(StepStarted(number, total, step))
        try:
            detail = step.apply(self._node)
        except CommandError as error:
            raise explained(error, self._node) from error
        proof = step.check(self._node)
        if not proof.satisfied:
            raise StepError(
                f"step {step.id} was carried out and is still not as wanted",
                where=step.id,
                wanted=step.title,
                got=proof.detail or "\n".join(proof.changes) or "not satisfied",
                next_step="mend what is named above and run the same command again; finished steps are skipped",
            )
        outcome = "proven" if proof.proof else "changed"
        return StepResult(step.id, outcome, detail or proof.detail, time.monotonic() - began)


def look(plan: Plan, view: NodeView) -> tuple[PlannedStep, ...]:
    """What each step finds now: the dry run, which has nothing but a view."""
    return tuple(PlannedStep(step, step.check(view)) for step in plan.steps)
