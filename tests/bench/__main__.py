"""The benchmark's command line: ``python -m tests.bench --sizes 0.25,1 --runs 5``."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from installer.errors import OperatorError
from tests.bench import building
from tests.bench.content import SIZES
from tests.bench.machine import described
from tests.bench.rows import Row, table, write_json
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
_ONCE: dict[str, Callable[[int], Iterator[Row]]] = {}


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
@click.option("--sizes", default="0.25,1", show_default=True, callback=_listed({**SIZES}),
              help="Sizes of the image sets in GiB: 0.25, 1, 4. A size needs three times as much disk, and 4 takes"
                   " an hour more.")  # fmt: skip
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1, 99), help="Runs per figure.")
@click.option("--name", default="", help="Name of the file in tests/bench/results/.  [default: the time]")
def main(rows: tuple[str, ...], sizes: tuple[str, ...], runs: int, name: str) -> None:
    """Measures speed and size beside the tools that move the same bytes.

    Each figure is the median of alternating runs of both sides, on bytes served from loopback. With the default sizes
    it takes about 40 minutes on two processors, the first time longer: the image sets are made then.
    """
    machine = described()
    for key, value in machine.items():
        say(key, str(value))
    found: list[Row] = []
    for row in _measured(rows, sizes, runs):
        found.append(row)
        for line in table([row])[2:]:
            say("row", line)
    print("\n".join(table(found)))
    path = RESULTS / f"{name or time.strftime('%Y%m%d-%H%M%S')}.json"
    write_json(path, machine, found)
    say("written", str(path.relative_to(ROOT)))


def _measured(rows: tuple[str, ...], sizes: tuple[str, ...], runs: int) -> Iterator[Row]:
    peaks: dict[str, float] = {}
    for size in sizes if set(rows) & set(_PER_SIZE) else ():
        folder = SCRATCH / size
        shutil.rmtree(folder, ignore_errors=True)
        with upstream(size, folder / "upstream") as served:
            site = Site(served, folder, runs)
            for name in (name for name in _PER_SIZE if name in rows):
                yield from _PER_SIZE[name](site)
            if "memory" in rows:
                peaks[size] = max(run.peak_bytes for run in site.colds)
        shutil.rmtree(folder)
    if peaks:
        yield building.memory_growth(peaks)
    for name in (name for name in _ONCE if name in rows):
        yield from _ONCE[name](runs)


if __name__ == "__main__":
    try:
        main(prog_name="python -m tests.bench")
    except OperatorError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        sys.exit(error.exit_code)
