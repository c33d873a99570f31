"""The benchmark's command line: ``python -m tests.bench --sizes 0.25,1 --runs 5``."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from installer.errors import OperatorError
from tests.bench import building, importing, slow, starting
from tests.bench.content import SIZES
from tests.bench.machine import described
from tests.bench.rows import Row, row_lines, table, unmeasured, write_json
from tests.bench.site import Site
from tests.bench.upstream import upstream
from tests.lab.progress import say

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
SCRATCH = ROOT / "build" / "bench"
_PER_SIZE: dict[str, Callable[[Site], Iterator[Row]]] = {
    "cold": building.cold,
    "memory": building.memory,
    "noop": building.nothing_to_do,
    "verify": building.verify,
    "warm": building.warm,
}
_ONCE: dict[str, Callable[[Site], Iterator[Row]]] = {
    "import": importing.importing,
    "slow": slow.slow_media,
    "help": starting.help_texts,
    "install": starting.second_install,
}
"""Rows that tell as much about one size as about another; they are measured with the first."""
_LARGE_GIB = 4.0
_MOST_CHARACTERS = 400


def _listed(known: dict[str, object]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    def read(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        if unknown := [name for name in names if name not in known]:
            raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(known)}")
        return names

    return read


_ROWS = dict.fromkeys((*_PER_SIZE, *_ONCE))


@click.command()
@click.option("--rows", default=",".join(_ROWS), callback=_listed({**_ROWS}), help="Which rows.  [default: all]")
@click.option(
    "--sizes",
    default="0.25,1,4",
    show_default=True,
    callback=_listed({**SIZES}),
    help="Sizes of the image sets in GiB. A size takes three times as much disk while it is measured.",
)
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1, 99), help="Runs per figure.")
@click.option("--large-runs", default=1, show_default=True, type=click.IntRange(1, 99), help="The same at 4 GiB.")
@click.option("--name", default="", help="Name of the file in tests/bench/results/.  [default: the time]")  # fmt: skip
def main(rows: tuple[str, ...], sizes: tuple[str, ...], runs: int, large_runs: int, name: str) -> None:
    """Measures speed and size beside the tools that move the same bytes.

    Each figure is the median of alternating runs of both sides, on bytes
    served from loopback. With the defaults it takes about 40 minutes on two
    processors. The first time the image sets are made (ten minutes more);
    they stay in the lab's cache and take 4.3 GiB there.
    """
    os.environ["XDG_DATA_HOME"] = str(SCRATCH / "data")  # the signing key of the builds that are measured
    machine = described()
    for key, value in machine.items():
        say(key, str(value))
    found: list[Row] = []
    path = RESULTS / f"{name or time.strftime('%Y%m%d-%H%M%S')}.json"
    for row in _measured(rows, {size: large_runs if float(size) >= _LARGE_GIB else runs for size in sizes}):
        found.append(row)
        for line in row_lines(row):
            say("row", line)
        write_json(path, machine, found)  # each time, so that an end before the end leaves what there was
    print("\n".join(table(found)))
    say("written", str(path.relative_to(ROOT)))


def _measured(rows: tuple[str, ...], runs: Mapping[str, int]) -> Iterator[Row]:
    peaks: dict[str, float] = {}
    for size in runs:
        folder = SCRATCH / size
        shutil.rmtree(folder, ignore_errors=True)
        with upstream(size, folder / "upstream") as served:
            site = Site(served, folder, runs[size])
            known = _PER_SIZE | (_ONCE if size == next(iter(runs)) else {})
            for name in (name for name in known if name in rows):
                yield from _told(f"{name}, {size} GiB", known[name](site))
            if "memory" in rows and site.colds:
                peaks[size] = max(run.peak_bytes for run in site.colds)
        shutil.rmtree(folder)
    if peaks:
        yield building.memory_growth(peaks)


def _told(name: str, rows: Iterator[Row]) -> Iterator[Row]:
    """``rows``; what goes wrong is told in the place of those that are left, and other rows are measured still."""
    try:
        yield from rows
    except OperatorError as error:
        got = " ".join((error.got or "").split())[-_MOST_CHARACTERS:]
        yield unmeasured(name, f"{error.message}; {got}")


if __name__ == "__main__":
    try:
        main(prog_name="python -m tests.bench")
    except OperatorError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        sys.exit(error.exit_code)
