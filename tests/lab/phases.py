"""What a run did, phase by phase: told while it happens, and all of it again with its times at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MINUTE_SECONDS = 60
SPOKEN_IN_SECONDS = 120


@dataclass
class Phase:
    """One phase: its name, what it said, how long it took, and whether it came to its end."""

    name: str
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0
    failed: bool = False
    _unfinished: bytes = b""

    def hear(self, data: bytes) -> None:
        """Add what a program writes, as it comes; lines are shown when they are whole."""
        *whole, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in whole:
            self.say(line.decode("utf-8", errors="replace"))

    def heard_all(self) -> None:
        """The program has ended: what is left is a line too."""
        rest, self._unfinished = self._unfinished, b""
        self.say(rest.decode("utf-8", errors="replace"))

    def say(self, text: str) -> None:
        """Add text to what the phase said, and show it."""
        for line in text.splitlines():
            self.lines.append(line.rstrip())
            print(f"    {line.rstrip()}", flush=True)


class Phases:
    """The phases of one run, in order."""

    def __init__(self) -> None:
        self._phases: list[Phase] = []
        self._started = time.monotonic()

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Name what begins, and say how long it took when it ends."""
        phase = Phase(name)
        self._phases.append(phase)
        print(name, flush=True)
        started = time.monotonic()
        try:
            yield phase
        except BaseException:
            phase.failed = True
            raise
        finally:
            phase.seconds = time.monotonic() - started
            print(f"    {'failed after' if phase.failed else 'took'} {spoken(phase.seconds)}", flush=True)

    def report(self) -> str:
        """Every phase with its time and what it said, and the sum."""
        lines: list[str] = []
        for phase in self._phases:
            lines.append(f"{phase.name:<58}{'failed  ' if phase.failed else ''}{spoken(phase.seconds):>10}")
            lines.extend(f"    {line}" for line in phase.lines)
        lines.append(f"{'all of it':<58}{spoken(time.monotonic() - self._started):>10}")
        return "\n".join(lines)


def spoken(seconds: float) -> str:
    """A time as the operator reads it: seconds up to two minutes, then minutes and seconds."""
    if seconds < SPOKEN_IN_SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE_SECONDS)
    return f"{minutes}m {rest}s"
