"""The rows of a benchmark: both sides' figures, the goal, and whether it was met; as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

WIDTH = 80
_NAME, _FIGURE, _RATIO, _GOAL = 36, 10, 6, 13
_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


@dataclass(frozen=True)
class Goal:
    """What is wanted: at most so much, of the ``ratio``, of ``ours`` alone, or of what ours is ``more`` than theirs."""

    most: float
    of: str = "ratio"

    def text(self, unit: str) -> str:
        """The goal as the table has it."""
        if self.of == "ratio":
            return f"<= {self.most:.2f} x"
        return f"<= {'+' if self.of == 'more' else ''}{shown(self.most, unit)}"

    def met(self, ours: float | None, theirs: float | None) -> bool | None:
        """Whether the figures meet it; ``None`` where one is missing."""
        if ours is None or (theirs is None and self.of != "ours"):
            return None
        if self.of == "ours" or theirs is None:
            return ours <= self.most
        return ours - theirs <= self.most if self.of == "more" else ours <= self.most * theirs


@dataclass(frozen=True)
class Row:
    """One figure. ``unit`` is ``s`` or ``bytes``; a row that could not be measured says ``why`` and has no figures.

    ``notes`` are lines for the reader: what the other side was, what bounds the figure.
    """

    name: str
    unit: str = "s"
    ours: float | None = None
    theirs: float | None = None
    goal: Goal | None = None
    why: str = ""
    notes: tuple[str, ...] = ()
    runs: Mapping[str, list[float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Ours to theirs."""
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; ``None`` where there is none, or nothing to judge by."""
        return self.goal.met(self.ours, self.theirs) if self.goal else None

    def to_dict(self) -> dict[str, Any]:
        """The row as it is written to JSON."""
        goal = self.goal.text(self.unit) if self.goal else None
        figures = asdict(self) | {"ratio": self.ratio, "goal": goal, "met": self.met, "notes": list(self.notes)}
        return {key: value for key, value in figures.items() if value or key not in ("why", "notes", "runs")}


def unmeasured(name: str, why: str, *, goal: Goal | None = None, unit: str = "s") -> Row:
    """A row that says why there is no figure."""
    return Row(name, unit, goal=goal, why=why)


def shown(figure: float | None, unit: str) -> str:
    """A figure in its unit, short."""
    if figure is None:
        return "-"
    if unit == "s":
        return f"{figure * 1000:.0f} ms" if figure < 1 else f"{figure:.2f} s" if figure < 10 else f"{figure:.1f} s"
    for name, size_bytes in _UNITS:
        if figure >= size_bytes:
            return f"{figure / size_bytes:.{2 if figure < 10 * size_bytes else 1}f} {name}"
    return f"{figure:.0f} B"


def table(rows: Iterable[Row]) -> list[str]:
    """The rows as lines of at most 80 columns."""
    lines = [_line("what", ("ours", "theirs", "ratio"), "goal", "met"), "-" * WIDTH]
    for row in rows:
        lines += row_lines(row)
    return lines


def row_lines(row: Row) -> list[str]:
    """One row, and under it its notes."""
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
    goal = row.goal.text(row.unit) if row.goal else ""
    met = {True: "yes", False: "no", None: ""}[row.met]
    lines = [_line(row.name, (shown(row.ours, row.unit), shown(row.theirs, row.unit), ratio), goal, met)]
    for text in (*((f"not measured: {row.why}",) if row.why else ()), *row.notes):
        lines += _folded(text)
    return lines


def _line(name: str, figures: tuple[str, str, str], goal: str, met: str) -> str:
    ours, theirs, ratio = figures
    return f"{name:<{_NAME}}{ours:>{_FIGURE}}{theirs:>{_FIGURE}}{ratio:>{_RATIO}}  {goal:<{_GOAL}}{met}".rstrip()


def _folded(text: str) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}")
    return lines


def write_json(path: Path, machine: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """Writes the rows, and what they were measured on, in one step."""
    document = {"schema": 1, "machine": dict(machine), "rows": [row.to_dict() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)
