"""Running other programs for the lab: no shell, fixed locale, the end of their output in the error."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.errors import LabError

_SHOWN_LINES = 15


def run(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, hint: str = "") -> str:
    """Standard output of ``argv``; raises :class:`LabError` with the last lines of stderr and ``hint`` as next step."""
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise LabError("a program is missing", where=argv[0], next_step=hint or "make setup") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:]
        raise LabError(
            f"{argv[0]} failed",
            where=" ".join(argv),
            wanted="exit code 0",
            got="\n".join([f"exit code {done.returncode}", *lines]),
            next_step=hint or None,
        )
    return done.stdout
