"""Is this node fit? Named checks over facts, an index and a configuration; pure, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from installer.errors import PreflightError
from installer.preflight import disk, host, identity, kernel, kubernetes, machine, moving, network, ostools, runtime
from installer.preflight.finding import Finding, Subject

_ONE: tuple[Callable[[Subject], Finding], ...] = (
    *machine.CHECKS,
    *identity.CHECKS,
    *kernel.CHECKS,
    *network.CHECKS,
    *moving.CHECKS,
    *runtime.CHECKS,
    *ostools.CHECKS,
    *kubernetes.CHECKS,
)
_SEVERAL: tuple[Callable[[Subject], Iterator[Finding]], ...] = (*disk.CHECKS, *host.CHECKS)


def run_checks(subject: Subject) -> tuple[Finding, ...]:
    """Every finding, in the order of the areas."""
    return (*(check(subject) for check in _ONE), *(found for check in _SEVERAL for found in check(subject)))


def demand_fit(findings: Sequence[Finding], node: str) -> None:
    """Raises :class:`PreflightError` naming every problem with what was seen, why it matters and the fix."""
    problems = [finding for finding in findings if finding.level == "problem"]
    if not problems:
        return
    lines = []
    for finding in problems:
        lines += [f"{finding.name}: {finding.seen}", f"  why  {finding.why}", f"  fix  {finding.fix}"]
    raise PreflightError(
        "the node is not ready for this yet",
        where=node,
        wanted="no problem in the checks before anything is changed",
        got="\n".join([f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", *lines]),
        next_step="mend what is named and run the same command again; nothing was changed",
    )
