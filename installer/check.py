"""A named check: what it reads, why that matters, and a pure judgement of what was read. Preflight is made of these.

A name is for good: operators write it behind ``--only``, ``--ignore`` and ``explain``, and scripts look for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from installer.errors import InputError

Level = Literal["problem", "warn", "ignored", "ok"]
LEVELS: tuple[Level, ...] = ("problem", "warn", "ignored", "ok")
"""Worst first."""
_NAME = re.compile(r"[a-z][a-z0-9-]{1,39}")
_S_contra = TypeVar("_S_contra", contravariant=True)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Finding:
    """One answer: what was ``seen``; and unless it is ok, ``why`` it matters and the ``fix``, which can be pasted.

    ``name`` is the check's; where one check has several answers, a word behind it says which one this is.
    """

    name: str
    level: Level
    seen: str
    why: str = ""
    fix: str = ""

    @property
    def check(self) -> str:
        """The name of the check that said this."""
        return self.name.partition(" ")[0]

    def to_dict(self) -> dict[str, str]:
        """Plain values for ``--json``."""
        parts = {"name": self.name, "level": self.level, "seen": self.seen, "why": self.why, "fix": self.fix}
        return {key: value for key, value in parts.items() if value}


def ok(name: str, seen: str) -> Finding:
    """Nothing to say against it."""
    return Finding(name, "ok", seen)


def warn(name: str, seen: str, why: str, fix: str = "") -> Finding:
    """It will work, and the operator should know."""
    return Finding(name, "warn", seen, why, fix)


def problem(name: str, seen: str, why: str, fix: str) -> Finding:
    """The install would fail or do harm."""
    return Finding(name, "problem", seen, why, fix)


@dataclass(frozen=True)
class Check(Generic[_S_contra]):
    """``judge`` turns a subject into findings, all by this ``name``; it only looks at what was gathered before.

    ``reads`` says in words what that comes from, ``reason`` why it matters. A ``firm`` one cannot be ignored: nothing
    that comes after it would work.
    """

    name: str
    reads: str
    reason: str
    judge: Callable[[_S_contra], Iterable[Finding]]
    firm: bool = False

    def __post_init__(self) -> None:
        if not (_NAME.fullmatch(self.name) and self.reads and self.reason):
            raise ValueError(f"a check needs a name, what it reads and a reason: {self.name!r}")

    def __call__(self, subject: _S_contra) -> tuple[Finding, ...]:
        found = tuple(self.judge(subject))
        if strays := [item.name for item in found if item.check != self.name]:
            raise ValueError(f"the check {self.name} answers as {strays[0]}")
        return found


def check(
    name: str, *, reads: str, firm: bool = False
) -> Callable[[Callable[[_T], Finding | Iterator[Finding]]], Check[_T]]:
    """Makes a check of a judging function; the function's docstring is the reason that ``explain`` shows."""

    def decorate(function: Callable[[_T], Finding | Iterator[Finding]]) -> Check[_T]:
        def judge(subject: _T) -> Iterable[Finding]:
            found = function(subject)
            return (found,) if isinstance(found, Finding) else found

        return Check(name, reads, inspect.cleandoc(function.__doc__ or ""), judge, firm)

    return decorate


def problem_lines(problems: Sequence[Finding]) -> list[str]:
    """How many there are, and each with what was seen, why it matters and the fix."""
    lines = [f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"]
    for finding in problems:
        lines += [f"{finding.name}: {finding.seen}", f"  why  {finding.why}", f"  fix  {finding.fix}"]
    return lines


@dataclass(frozen=True)
class Choice:
    """Which checks an operator wants: ``only`` these (all, if empty), and those to go on in spite of."""

    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def run(self, checks: Sequence[Check[_T]], subject: _T) -> tuple[Finding, ...]:
        """What the chosen checks say, worst first; a problem that is ignored stays in sight as such."""
        chosen = [item for item in checks if not self.only or item.name in self.only]
        found = self.judged(finding for item in chosen for finding in item(subject))
        return tuple(sorted(found, key=lambda finding: LEVELS.index(finding.level)))

    def judged(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """The findings, those that are ignored marked as such."""
        return tuple(
            replace(each, level="ignored") if each.check in self.ignore and each.level in ("problem", "warn") else each
            for each in findings
        )

    def demand_known(self, checks: Sequence[Check[_T]]) -> None:
        """Raises :class:`InputError` for a name that no check has, and for a firm one that is to be ignored."""
        for option, names in (("--only", self.only), ("--ignore", self.ignore)):
            for name in names:
                found = named(checks, name, where=f"{option} {name[:40]}")
                if option == "--ignore" and found.firm:
                    raise InputError(
                        f"the check {name} cannot be ignored",
                        where=f"{option} {name}",
                        wanted="a check that an install can go on in spite of",
                        got=" ".join(found.reason.split()),
                        next_step="mend what it names, and run the same command again",
                    )


EVERY_CHECK = Choice()


def named(checks: Sequence[Check[_T]], name: str, where: str) -> Check[_T]:
    """The check of that name; :class:`InputError` lists the names there are."""
    for item in checks:
        if item.name == name:
            return item
    near = [item.name for item in checks if item.name.startswith(name[:3])]
    raise InputError(
        "there is no such check",
        where=where,
        wanted=", ".join(near) if near else "the name of a check",
        got=name[:40],
        next_step="./install explain  lists them all",
    )
