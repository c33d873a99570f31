"""Progress as an operator reads it: a bar on a terminal, plain lines in a log; and how sizes and times are written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from tqdm import tqdm

LOG_SECONDS = 10.0
"""In a log, a task that finishes no file still says how far it is this often."""
_VERB_WIDTH = 9


def format_bytes(size_bytes: float) -> str:
    """``702.3 MB`` or ``1.9 GB``: decimal units, one decimal; what would round to nothing is ``<0.1 MB``."""
    if 0 < size_bytes < 50_000:
        return "<0.1 MB"
    megabytes = size_bytes / 1e6
    return f"{megabytes:.1f} MB" if round(megabytes, 1) < 1000 else f"{size_bytes / 1e9:.1f} GB"


def format_seconds(seconds: float) -> str:
    """``21.4 s`` up to a minute, ``97 s`` up to two, then ``2 m 05 s``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} m {whole % 60:02d} s"


def format_roughly(seconds: float) -> str:
    """A forecast, no more exact than it is: ``about 4 s``, ``about 40 s``, ``about 3 min``."""
    if round(seconds) < 10:
        return f"about {max(1, round(seconds))} s"
    return f"about {5 * round(seconds / 5)} s" if seconds < 120 else f"about {round(seconds / 60)} min"


class Progress:
    """Makes tasks that report to ``stream``; with ``None`` they are silent."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.on_terminal = stream is not None and stream.isatty()

    def say(self, line: str) -> None:
        """One line between tasks."""
        if self.stream is not None:
            self.stream.write(f"{line}\n")
            self.stream.flush()

    def task(self, verb: str, total_bytes: int) -> Task:
        """A task of ``total_bytes``, reported under ``verb``; use it as a context."""
        return Task(self, verb, total_bytes)


class Task:
    """One piece of work under way; may be advanced from several threads."""

    def __init__(self, progress: Progress, verb: str, total_bytes: int) -> None:
        self._progress = progress
        self._verb = verb
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._lock = threading.Lock()
        self._started_seconds = self._said_seconds = progress.clock()
        self._bar = self._make_bar() if progress.on_terminal else None

    def advance(self, size_bytes: int) -> None:
        """Counts bytes done (negative: some had to be given up)."""
        with self._lock:
            self._done_bytes += size_bytes
            if self._bar is not None:
                self._bar.update(size_bytes)
            elif self._progress.clock() - self._said_seconds >= LOG_SECONDS:
                self._say(f"{format_bytes(self._done_bytes)} of {format_bytes(self._total_bytes)}   {self._rate()}")

    def item(self, name: str, size_bytes: int) -> None:
        """Says, in a log only, that one file is done; a bar shows enough."""
        if self._bar is None:
            with self._lock:
                self._say(f"{format_bytes(size_bytes):>10}   {name}")

    def note(self, line: str) -> None:
        """Says something the operator should know, without disturbing the bar."""
        with self._lock:
            if self._bar is not None:
                self._bar.write(line, file=self._progress.stream)
            else:
                self._say(line)

    def close(self, *, finished: bool = True) -> None:
        """Ends the task; in a log, one that did something says its size, speed and time."""
        with self._lock:
            if self._bar is not None:
                self._bar.close()
            elif finished and self._done_bytes:
                seconds = format_seconds(self._progress.clock() - self._started_seconds)
                self._say(f"{format_bytes(self._done_bytes):>10}   {self._rate()}   {seconds}")

    def __enter__(self) -> Task:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(finished=error is None)

    def _rate(self) -> str:
        seconds = self._progress.clock() - self._started_seconds
        return f"{format_bytes(self._done_bytes / seconds if seconds > 0 else 0)}/s"

    def _say(self, text: str) -> None:
        self._said_seconds = self._progress.clock()
        if self._progress.stream is not None:
            self._progress.stream.write(f"{self._verb:<{_VERB_WIDTH}} {text}\n")
            self._progress.stream.flush()

    def _make_bar(self) -> tqdm[Any]:
        from tqdm import tqdm  # only a terminal pays for it

        bar: tqdm[Any] = tqdm(
            total=self._total_bytes,
            file=self._progress.stream,
            desc=f"{self._verb:<{_VERB_WIDTH}} {format_bytes(self._total_bytes):>10}",
            bar_format="{desc} {percentage:5.0f}% |{bar:16}| {rate_fmt} {elapsed}",
            unit="B",
            unit_scale=True,
            ascii=" #",
            dynamic_ncols=True,
        )
        return bar
