"""The lab tells what it is doing, one line per thing, on standard error; standard output is for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(what: str, detail: str) -> None:
    """One line: a short name of the activity and what happened."""
    print(f"{what:<10}{detail}", file=sys.stderr, flush=True)


@contextmanager
def timed(what: str, detail: str) -> Iterator[None]:
    """Says ``detail`` when it begins, and how long it took when it took over a second."""
    say(what, detail)
    begin_seconds = time.monotonic()
    yield
    took_seconds = time.monotonic() - begin_seconds
    if took_seconds > 1:
        say(what, f"{detail}: done in {took_seconds:.1f} s")
