"""Why is this node not well? Named checks over what is seen of it; pure, and nothing is changed.

It works while the API is down: what it reads is on the node itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from installer.check import Check, Choice, Finding, problem_lines
from installer.doctor import contents, network, room, services
from installer.doctor.health import Health
from installer.errors import HealthError

AREAS: tuple[tuple[str, tuple[Check[Health], ...]], ...] = (
    ("What runs", services.CHECKS),
    ("What was installed", contents.CHECKS),
    ("What fills", room.CHECKS),
    ("The network and the logs", network.CHECKS),
)
CHECKS = tuple(item for _area, checks in AREAS for item in checks)


def diagnose(health: Health, choice: Choice) -> tuple[Finding, ...]:
    """What the checks say, worst first."""
    return choice.run(CHECKS, health)


def demand_well(findings: Sequence[Finding], node: str) -> None:
    """Raises :class:`HealthError` naming every problem with what was seen, its cause and the fix."""
    problems = [finding for finding in findings if finding.level == "problem"]
    if problems:
        raise HealthError(
            "this node is not well",
            where=node,
            wanted="no problem in what can be seen of it",
            got="\n".join(problem_lines(problems)),
            next_step="begin with the first: what follows is often its consequence; explain NAME says more",
        )
