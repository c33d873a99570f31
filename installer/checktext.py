"""Checks and what they found as text: under ``preflight``, for ``explain``, and as docs/checks.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from installer.bundle.errors import printable
from installer.check import Check, Finding
from installer.wording import count, folded

Areas = Sequence[tuple[str, Sequence[Check[Any]]]]
_NAME_COLUMNS = 14


def summary(findings: Sequence[Finding]) -> str:
    """``31 checks, 0 problems, 1 warning``; those that are ignored only where there are some."""
    number = Counter(finding.level for finding in findings)
    parts = [count(len(findings), "check"), count(number["problem"], "problem"), count(number["warn"], "warning")]
    return ", ".join([*parts, *([f"{number['ignored']} ignored"] if number["ignored"] else [])])


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Warnings and what is ignored, each with its fix; problems are told where the run ends, and so stand last."""
    lines = []
    for finding in findings:
        if finding.level in ("warn", "ignored"):
            head = f"  {finding.level:<4}  {finding.name:<{_NAME_COLUMNS}} "
            lines += folded(head, printable(f"{finding.seen}; {finding.why}"))
            if finding.fix:
                lines += folded(f"{'':<{len(head)}}", printable(finding.fix))
    return lines


def fit_line(findings: Sequence[Finding], role: str) -> str:
    """The last word of a preflight without problems: whether to go on, and how."""
    spoken = {"cp": "a control plane", "worker": "a worker"}[role]
    warnings = sum(1 for finding in findings if finding.level == "warn")
    but = f", with {count(warnings, 'warning')}" if warnings else ""
    return f"{'ready':<10} fit to become {spoken}{but}; nothing was changed"


def explain_lines(item: Check[Any]) -> list[str]:
    """Everything there is to say of one check before it is made."""
    lines = [item.name, ""]
    for paragraph in item.reason.split("\n\n"):
        lines += [*folded("  ", " ".join(paragraph.split())), ""]
    lines += folded("  reads   ", item.reads)
    lines += folded("  ignore  ", "no: nothing after it would work" if item.firm else f"--ignore {item.name}")
    return lines


def list_lines(areas: Areas) -> list[str]:
    """Every check's name with the beginning of its reason."""
    lines = []
    for area, checks in areas:
        lines.append(area)
        for item in checks:
            lines += folded(f"  {item.name:<15} ", first_sentence(item))
    return [*lines, "", "./install explain NAME  says more of one"]


def first_sentence(item: Check[Any]) -> str:
    """The beginning of the reason, up to its first full stop."""
    text = " ".join(item.reason.split())
    return text.partition(". ")[0].removesuffix(".") + "."


def document(areas: Areas) -> str:
    """docs/checks.md."""
    return "\n".join(_document(areas)) + "\n"


def _document(areas: Areas) -> Iterator[str]:
    yield "# Checks"
    yield ""
    yield "What `./install preflight` looks at before anything is changed, and why. This page is made from the code."
    yield ""
    yield "`--only NAME` makes one check alone, `--ignore NAME` goes on in spite of one (it is still told), and"
    yield "`./install explain NAME` prints what stands here."
    for area, checks in areas:
        yield from ("", f"## {area}")
        for item in checks:
            yield from ("", f"### {item.name}", "")
            for paragraph in item.reason.split("\n\n"):
                yield from (" ".join(paragraph.split()), "")
            firm = " Cannot be ignored." if item.firm else ""
            yield f"Reads {item.reads}.{firm}"
