"""Runs one target, or ``all`` (``python -m tests.fuzz TARGET SECONDS [FOLDER]``), with atheris, guided by coverage.

What is new goes to FOLDER, by default a temporary one; a finding is written there too and ends the run with its trace.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["installer", "bundler", "tarfile", "yaml", "json"]):
    from tests.fuzz.targets import TARGETS, answer

CORPUS = Path(__file__).parent / "corpus"
_MOST_BYTES = 8192
_MOST_MEMORY_MB = 1024
_UNIT_SECONDS = 10


def main(name: str, seconds: str, folder: str | None = None) -> None:
    """Fuzzes the target ``name``; the process ends with it."""
    found = Path(folder or tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={_MOST_BYTES}",
        f"-rss_limit_mb={_MOST_MEMORY_MB}",
        f"-timeout={_UNIT_SECONDS}",
        f"-artifact_prefix={found}/finding-",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    target = TARGETS[name]
    atheris.Setup([name, *options, str(found), str(CORPUS / name)], lambda data: answer(target, data))
    atheris.Fuzz()


def every(seconds: str) -> int:
    """Each target in a process of its own; how many found something."""
    return sum(subprocess.call([sys.executable, "-m", "tests.fuzz", name, seconds]) != 0 for name in TARGETS)


if __name__ == "__main__":
    if sys.argv[1] == "all":
        sys.exit(every(sys.argv[2]))
    main(*sys.argv[1:])
