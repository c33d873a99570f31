"""Rows of the connected side: cold and warm builds, builds with nothing to do, memory, and ``bundle verify``."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from tests.bench.competitors import competitors
from tests.bench.rows import Goal, Row, shown
from tests.bench.running import Run, middle, run_measured
from tests.bench.site import BUNDLE, Site
from tests.lab.progress import say

MIB = 1 << 20
COLD = Goal(1.0)
COLD_FROM_GIB = 1.0
PEAK = Goal(128 * MIB, "ours")
PEAK_GROWTH = Goal(1.1)
ON_THE_WIRE = Goal(1.02)
NOTHING_TO_DO = Goal(2.0, "ours")
VERIFY = Goal(0.6)


def alternated(runs: int, ours: Callable[[], Run], theirs: Callable[[], Run], what: str) -> tuple[list[Run], list[Run]]:
    """Both sides in turn, so that what else the machine does meets both; what each took."""
    mine, others = [], []
    for number in range(1, runs + 1):
        others.append(theirs())
        mine.append(ours())
        say("run", f"{what}, {number} of {runs}: {mine[-1].seconds:.2f} s, theirs {others[-1].seconds:.2f} s")
    return mine, others


def repeated(runs: int, ours: Callable[[], Run], what: str) -> list[Run]:
    """The same where there is no other side."""
    mine = []
    for number in range(1, runs + 1):
        mine.append(ours())
        say("run", f"{what}, {number} of {runs}: {mine[-1].seconds:.2f} s")
    return mine


def seconds_of(**sides: Sequence[Run]) -> Mapping[str, list[float]]:
    """Every single run, for the JSON."""
    return {name: [round(run.seconds, 3) for run in runs] for name, runs in sides.items()}


def cold(site: Site) -> Iterator[Row]:
    """A build with nothing there, against the fastest of the three tools in this very run."""
    what = f"cold build, {site.size} GiB"
    site.lock()
    site.clear()
    tools = {tool.name: tool for tool in competitors()}
    first = {name: site.copy_with(tool) for name, tool in tools.items()}
    say("run", f"{what}, first round: {_named(first)}")
    fastest = min(first, key=lambda name: first[name].seconds)

    def theirs() -> Run:
        site.clear()
        return site.copy_with(tools[fastest])

    mine, others = alternated(site.runs, site.cold_build, theirs, what)
    notes = (
        f"against {fastest}, the fastest of a first round ({_named(first)})",
        f"processor time {_processor(mine)}, theirs {_processor(others)}",
    )
    goal = COLD if float(site.size) >= COLD_FROM_GIB else None
    yield Row(what, "s", middle(mine), middle(others), goal, notes=notes, runs=seconds_of(ours=mine, theirs=others))


def _named(runs: Mapping[str, Run]) -> str:
    return ", ".join(f"{name} {run.seconds:.1f} s" for name, run in runs.items())


def _processor(runs: Sequence[Run]) -> str:
    return shown(median(run.processor_seconds for run in runs), "s")


def memory(site: Site) -> Iterator[Row]:
    """The peak of the cold builds of this run, or of one made for it."""
    if not site.colds:
        site.cold_build()
    peak_bytes = max(run.peak_bytes for run in site.colds)
    yield Row(f"peak memory of a build, {site.size} GiB", "bytes", peak_bytes, goal=PEAK)


def memory_growth(peaks: Mapping[str, float]) -> Row:
    """Whether memory depends on what is built: the largest set's peak against the smallest one's."""
    smallest, largest = min(peaks, key=float), max(peaks, key=float)
    if smallest == largest:
        why = "one size was built; a second one is made with --sizes 0.25,4"
        return Row("peak memory, largest and smallest", "bytes", goal=PEAK_GROWTH, why=why)
    return Row(f"peak memory, {largest} and {smallest} GiB", "bytes", peaks[largest], peaks[smallest], PEAK_GROWTH)


def warm(site: Site) -> Iterator[Row]:
    """A build after one image changed: what passes on the wire, and the time beside a cold build."""
    what = f"warm build, {site.size} GiB"
    site.media()
    before, out = site.stored(), site.folder / "changed"

    def fresh() -> None:
        for path in set(site.stored()) - set(before):
            path.unlink()
        shutil.rmtree(out, ignore_errors=True)

    site.upstream.counter.reset()
    site.build(site.upstream.request(changed=True), out, counted=True)
    passed_bytes, blobs = site.upstream.counter.received_bytes, site.upstream.counter.blob_requests
    new_bytes = sum(size_bytes for path, size_bytes in site.stored().items() if path not in before)
    fetched = f"{blobs} blobs asked for; the rest are manifests, for what a tag means is asked each time"
    yield Row(f"{what}, on the wire", "bytes", passed_bytes, new_bytes, ON_THE_WIRE, notes=(fetched,))

    def ours() -> Run:
        fresh()
        return site.build(site.upstream.request(changed=True), out)

    mine = repeated(site.runs, ours, what)
    fresh()
    notes = ("theirs: our own cold build",)
    yield Row(what, "s", middle(mine), middle(site.colds), notes=notes, runs=seconds_of(ours=mine, cold=site.colds))


def nothing_to_do(site: Site) -> Iterator[Row]:
    """The same lock again, with the output there: what passes on the wire, and the time."""
    what = f"nothing to do, {site.size} GiB"
    request = site.upstream.locked(site.lock())
    site.media()
    site.upstream.counter.reset()
    site.build(request, site.out, counted=True)
    yield Row(f"{what}, on the wire", "bytes", site.upstream.counter.received_bytes, goal=Goal(0, "ours"))
    mine = repeated(site.runs, lambda: site.build(request, site.out), what)
    yield Row(what, "s", middle(mine), goal=NOTHING_TO_DO, runs=seconds_of(ours=mine))


def verify(site: Site) -> Iterator[Row]:
    """``bundle verify`` of the media set, against only reading its tarball for a sum."""
    what = f"bundle verify, {site.size} GiB"
    media, tarball = site.media(), shlex.quote(str(site.tarball()))
    mine, others = alternated(
        site.runs,
        lambda: run_measured([str(BUNDLE), "verify", str(media)]),
        lambda: run_measured(["sh", "-c", f"zstd -dc {tarball} | sha256sum"]),
        what,
    )
    notes = ("against zstd -dc | sha256sum of the same tarball, both in page cache",)
    runs = seconds_of(ours=mine, theirs=others)
    yield Row(what, "s", middle(mine), middle(others), VERIFY, notes=notes, runs=runs)
