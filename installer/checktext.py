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
                lines.append(f"    fix  {printable(finding.fix)}")  # whole: it is pasted
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


def diagnosis_lines(findings: Sequence[Finding]) -> list[str]:
    """What a doctor saw, but for problems, which stand at the end of all."""
    lines = [f"{'doctor':<10} {summary(findings)}", *finding_lines(findings)]
    if not any(finding.level == "problem" for finding in findings):
        lines.append(f"{'well':<10} nothing that can be seen here is wrong; nothing was changed")
    return lines


def list_lines(kinds: Sequence[tuple[str, Areas]]) -> list[str]:
    """Every check's name with the beginning of its reason."""
    lines = []
    for kind, areas in kinds:
        lines += [kind, ""]
        for area, checks in areas:
            lines.append(f"  {area}")
            for item in checks:
                lines += folded(f"    {item.name:<15} ", first_sentence(item))
        lines.append("")
    return [*lines, "explain NAME  says more of one"]


def first_sentence(item: Check[Any]) -> str:
    """The beginning of the reason, up to its first full stop."""
    text = " ".join(item.reason.split())
    return text.partition(". ")[0].removesuffix(".") + "."


def document(preflight: Areas, doctor: Areas) -> str:
    """docs/checks.md."""
    head = [
        "# Checks",
        "",
        "What `./install preflight` looks at before anything is changed, and `./install doctor` on a node:",
        "why, and where it looks. This page is made from the code.",
        "",
        "`--only NAME` makes one check alone, `--ignore NAME` goes on in spite of one (it is still told), and",
        "`./install explain NAME` prints what stands here.",
    ]
    parts = [*head, *_part("Preflight", preflight), *_part("Doctor", doctor)]
    return "\n".join(parts) + "\n"


def _part(title: str, areas: Areas) -> Iterator[str]:
    yield from ("", f"## {title}")
    for area, checks in areas:
        yield from ("", f"### {area}", "")
        for item in checks:
            firm = " It cannot be ignored." if item.firm else ""
            reason = " ".join(item.reason.split())
            yield f"- **{item.name}** {reason} *Reads {item.reads}.*{firm}"
