"""Running a command to measure it: wall time, processor time, and the memory of it and all its children."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.lab.errors import LabError

SAMPLE_SECONDS = 0.05
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_SHOWN_LINES = 15


@dataclass(frozen=True)
class Run:
    """What one run took: ``peak_bytes`` is the largest sum over its process tree that was sampled."""

    seconds: float
    processor_seconds: float
    peak_bytes: int
    output: str


def run_measured(argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Run:
    """Runs ``argv`` to its end; :class:`LabError` when it fails.

    What was written before is on the disk first: nobody pays for another's writes. Memory is the sum of PSS over the
    process and its descendants, sampled: pages that several of them share count once, the page cache not at all.
    """
    os.sync()
    before = os.times()
    began = time.monotonic()
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        with Peak(lambda: sum(map(_pss_bytes, _tree(process.pid)))) as memory:
            output, _ = process.communicate()
        seconds = time.monotonic() - began
    after = os.times()
    if process.returncode:
        lines = output.strip().splitlines()[-_SHOWN_LINES:]
        raise LabError(
            "a measured command failed",
            where=" ".join(argv)[:500],
            wanted="exit code 0",
            got="\n".join([f"exit code {process.returncode}", *lines]),
        )
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(seconds, spent, memory.peak_bytes, output)


class Peak:
    """The most bytes that ``measure`` ever said, asked in a thread of its own while the context is open."""

    def __init__(self, measure: Callable[[], int], every_seconds: float = SAMPLE_SECONDS) -> None:
        self.peak_bytes = 0
        self._measure = measure
        self._every_seconds = every_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak", daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(self._every_seconds):
            self.peak_bytes = max(self.peak_bytes, self._measure())


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="ascii").split())
        except OSError:  # it has ended meanwhile
            continue
    return found


def _pss_bytes(pid: int) -> int:
    try:
        return pss_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
    except OSError:
        return 0


def pss_bytes(text: str) -> int:
    """The proportional set size that a ``smaps_rollup`` tells."""
    found = _PSS.search(text)
    return int(found[1]) * 1024 if found else 0


def middle(runs: Sequence[Run]) -> float:
    """The median of the runs' wall times."""
    return median(run.seconds for run in runs)
