"""At which moments an install is killed: drawn by lot, along what an undisturbed one wrote into its journal.

A moment is a place in the install and not a time of the day: a run that goes on skips what is done already, so that
the same second means another place each time. Steps that change something are drawn alike, however long each takes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from installer.journal import Run
from tests.lab.errors import LabError

BEFORE_JOURNAL = ""
"""What happens before any step: the launcher, the check of the medium, a look at the node."""
AT_LEAST_STEPS = 12
"""So many steps must be cut in the middle, and no step more often than every fifth time."""
MOST_PART = 1 / 5


@dataclass(frozen=True)
class Moment:
    """``delay_seconds`` after the run's journal names ``step`` for the ``records``-th time, or has ended that step.

    Without a step it is that long after the start. ``whole`` tells whether all that the install had started is killed
    with it; without, programs that are under way go on, as after the kernel killed one process for its memory.
    """

    step: str
    records: int
    delay_seconds: float
    whole: bool

    @property
    def told(self) -> str:
        """The moment in words."""
        place = f"record {self.records} of {self.step}" if self.step else "the start"
        return f"{self.delay_seconds:.2f} s after {place}{'' if self.whole else ', alone'}"


@dataclass(frozen=True)
class Cut:
    """What the journal of a killed run says last: the step it was in, and what that was doing."""

    step: str
    doing: str

    @property
    def told(self) -> str:
        """The place in words."""
        if not self.doing:
            return "before the journal"
        return f"in {self.step}: {self.doing}" if self.step else self.doing


class Lots:
    """Moments along ``undisturbed``; ``before_seconds`` is how long it took until its journal began."""

    def __init__(self, seed: int, undisturbed: Run, before_seconds: float) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same moments for everybody
        self._gaps = _gaps(undisturbed)
        self._gaps[BEFORE_JOURNAL] = [before_seconds]
        self._order = [BEFORE_JOURNAL, *(step for step in self._gaps if step)]

    @property
    def steps(self) -> int:
        """How many steps there are to be killed in."""
        return len(self._order) - 1

    def chain(self, count: int) -> list[Moment]:
        """Moments for one machine, in the order in which an install comes to them; one is before the journal."""
        drawn = [
            self._draw(BEFORE_JOURNAL),
            *(self._draw(self._random.choice(self._order[1:])) for _ in range(count - 1)),
        ]
        return sorted(drawn, key=lambda moment: (self._order.index(moment.step), moment.records))

    def _draw(self, step: str) -> Moment:
        gaps = self._gaps[step]
        number = self._random.randrange(len(gaps))
        delay_seconds = max(0.0, self._random.uniform(0, gaps[number]))
        return Moment(step, number + 1, round(delay_seconds, 3), self._random.random() < 0.5)


def _gaps(run: Run) -> dict[str, list[float]]:
    """For each step that changed something: the seconds from each of its records to the next one."""
    changed = {record["id"] for record in run.of("step") if record["outcome"] == "started"}
    gaps: dict[str, list[float]] = {}
    for record, following in pairwise(run.records):
        step = step_of(record)
        if step in changed and not _is_end(record):
            gaps.setdefault(step, []).append(following["at_seconds"] - record["at_seconds"])
    return gaps


def step_of(record: dict[str, object]) -> str:
    """The step that a record belongs to; empty for none."""
    return str(record.get("id") or record.get("step") or "")


def _is_end(record: dict[str, object]) -> bool:
    return record["what"] == "step" and record["outcome"] != "started"


def cut_of(run: Run | None) -> Cut:
    """Where ``run`` was cut off; without one the install had not opened its journal."""
    last = run.records[-1] if run and run.records else None
    if last is None:
        return Cut("", "")
    if _is_end(last):
        return Cut("", f"after {step_of(last)}")
    what = last.get("path") or " ".join(last.get("argv", ())[:4]) or last.get("outcome") or ""
    return Cut(step_of(last), f"{last['what']} {what}".strip())


def demand_spread(cuts: Sequence[Cut]) -> str:
    """How the kills are spread over the steps; :class:`LabError` if it is over too few to prove anything."""
    times = Counter(cut.step for cut in cuts if cut.step)
    most, most_times = (*times.most_common(1), ("no step", 0))[0]
    said = f"{len(times)} steps cut in the middle, at most {most_times} times the same ({most})"
    if len(times) < AT_LEAST_STEPS or most_times > len(cuts) * MOST_PART:
        raise LabError(
            "the kills are not spread over the install",
            where=f"{len(cuts)} kills",
            wanted=f"{AT_LEAST_STEPS} steps cut, none in more than a fifth of all kills",
            got=said,
        )
    between, before = (sum(not cut.step and bool(cut.doing) is journal for cut in cuts) for journal in (True, False))
    return f"{said}, {between} between steps, {before} before the journal"
