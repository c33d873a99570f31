"""Is this node fit? Named checks over facts, an index and a configuration; pure, and nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence

from installer.check import Check, Choice, Finding, problem_lines
from installer.errors import PreflightError
from installer.preflight import (
    disk,
    host,
    identity,
    kernel,
    kubernetes,
    limits,
    machine,
    moving,
    network,
    ostools,
    runtime,
    security,
)
from installer.preflight.subject import Subject

AREAS: tuple[tuple[str, tuple[Check[Subject], ...]], ...] = (
    ("The machine", machine.CHECKS),
    ("Who it is", identity.CHECKS),
    ("The kernel", kernel.CHECKS),
    ("The kernel's tables and limits", limits.CHECKS),
    ("What guards the machine", security.CHECKS),
    ("The network", (*network.CHECKS, *moving.CHECKS)),
    ("What is there already", runtime.CHECKS),
    ("Programs", (*ostools.CHECKS, *host.CHECKS)),
    ("Disks", disk.CHECKS),
    ("Kubernetes' configuration", kubernetes.CHECKS),
)
CHECKS = tuple(item for _area, checks in AREAS for item in checks)


def run_checks(subject: Subject, choice: Choice | None = None) -> tuple[Finding, ...]:
    """What the checks say, worst first."""
    return (choice or Choice()).run(CHECKS, subject)


def demand_fit(findings: Sequence[Finding], node: str) -> None:
    """Raises :class:`PreflightError` naming every problem with what was seen, why it matters and the fix."""
    problems = [finding for finding in findings if finding.level == "problem"]
    if not problems:
        return
    raise PreflightError(
        "the node is not ready for this yet",
        where=node,
        wanted="no problem in the checks before anything is changed",
        got="\n".join(problem_lines(problems)),
        next_step="mend what is named and run the same command again; nothing was changed",
    )
