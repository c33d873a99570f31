"""Rows about what an operator waits for before anything is done: ``--help``, and an install with nothing to do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.building import alternated, seconds_of
from tests.bench.rows import Goal, Row, unmeasured
from tests.bench.running import middle, run_measured
from tests.bench.site import BUNDLE, Site
from tests.lab.errors import LabError

HELP = Goal(0.15, "more")
SECOND_INSTALL = Goal(0.02)
_PAYLOAD = re.compile(rb"^amd64 +(\d+) +(\d+) +[0-9a-f]{64} ", re.MULTILINE)


def help_texts(site: Site) -> Iterator[Row]:
    """``--help`` of both sides against a bare start of the very interpreter each runs on."""
    yield _help("bundle --help", [str(BUNDLE), "--help"], [sys.executable, "-c", "pass"], site.runs)
    media = site.media()
    python = _unpacked(media / "install", site.folder / "runtime")
    bare = [str(python), "-I", "-B", "-c", "pass"]
    yield _help("airgap-bundle --help", [str(python), "-I", "-B", "-m", "installer.cli", "--help"], bare, site.runs)
    row = "./install --help, from the medium"
    yield _help(
        row, [str(media / "install"), "--help"], bare, site.runs, "the launcher has the text itself and unpacks nothing"
    )


def _help(name: str, argv: list[str], bare: list[str], runs: int, *notes: str) -> Row:
    mine, others = alternated(runs, lambda: run_measured(argv), lambda: run_measured(bare), name)
    return Row(name, "s", middle(mine), middle(others), HELP, notes=notes, runs=seconds_of(ours=mine, theirs=others))


def _unpacked(install: Path, folder: Path) -> Path:
    """The Python of a launcher, unpacked as the launcher does it."""
    with install.open("rb") as stream:
        found = _PAYLOAD.search(stream.read(1 << 14))
        if found is None:
            raise LabError("this launcher has no runtime for amd64", where=str(install))
        stream.seek(int(found[1]) - 1)
        payload = stream.read(int(found[2]))
    folder.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xzf", "-", "-C", str(folder)], input=payload, check=True)
    return folder / "python" / "bin" / "python3"


def second_install(_site: Site) -> Iterator[Row]:
    """Where this is measured."""
    why = "a whole install wants a machine of its own; make e2e runs both on one and tells their times"
    yield unmeasured("second install", why, goal=SECOND_INSTALL)
