"""``bundle build`` killed with -9 at 200 seeded moments, and two builds and a cleaning at once, as real processes.

Each figure here stands in docs/reliability.md.
"""

from __future__ import annotations

import fcntl
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.forked_builds import ROOT
from tests.integration.small_release import (
    NAME,
    SmallRelease,
    demand_same,
    demand_whole,
    digests,
    small_release,
)

SEED = 6
POINT_KILLS = 150
TIMED_KILLS = 45
WHOLE_KILLS = 5
"""Of builds of the whole mini release, which resolve it and run its kubeadm, too."""
ROUNDS = 4
BUNDLE = str(Path(sys.executable).with_name("bundle"))
KILLED = -9


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallRelease]:
    with small_release(tmp_path_factory.mktemp("small")) as release:
        yield release


@pytest.fixture(scope="module")
def undisturbed(release: SmallRelease, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a build that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert release.builds.run(release.argv(folder)).code == 0
    return folder


def _lots() -> random.Random:
    return random.Random(SEED)  # noqa: S311 - the same moments for everybody


def kill_and_build(release: SmallRelease, folder: Path, undisturbed: Path, argv: list[str], **how: object) -> bool:
    """One killed build and the next one; whether the kill came in time. ``folder`` is removed afterwards."""
    killed = release.builds.run(argv, **how).code == KILLED
    demand_whole(folder, digests(undisturbed / "dist"))
    done = release.builds.run(argv)
    assert done.code == 0, done.output
    demand_same(folder, undisturbed)
    shutil.rmtree(folder)
    return killed


def test_killed_at_any_change_of_a_file_the_next_build_ends_the_same(
    release: SmallRelease, undisturbed: Path, tmp_path: Path
) -> None:
    counted = release.builds.run(release.argv(tmp_path / "counted"), counted=True)
    assert counted.points > 200
    lots = _lots()
    points = lots.sample(range(1, counted.points), counted.points - 1)
    kills = number = 0
    while kills < POINT_KILLS:
        point, number = points.pop(), number + 1  # the last points are passed only by some builds with several jobs
        folder = tmp_path / str(number)
        argv = [*release.argv(folder), "--jobs", str(lots.choice([1, 4]))]
        kills += kill_and_build(release, folder, undisturbed, argv, point=point)


def test_killed_after_any_time_the_next_build_ends_the_same(
    release: SmallRelease, undisturbed: Path, tmp_path: Path
) -> None:
    whole = release.builds.run(release.argv(tmp_path / "timed")).seconds
    lots = _lots()
    kills = number = 0
    while kills < TIMED_KILLS:
        number += 1
        assert number < 4 * TIMED_KILLS, "builds end before they are killed"
        folder, seconds = tmp_path / str(number), lots.uniform(0.02, whole)
        kills += kill_and_build(release, folder, undisturbed, release.argv(folder), kill_after_seconds=seconds)


def test_killed_while_it_resolves_fetches_or_packs_a_release_the_next_build_ends_the_same(
    release: SmallRelease, tmp_path: Path
) -> None:
    version = ("--k8s", "1.30", "--cni", "none")
    undisturbed = tmp_path / "undisturbed"
    whole = release.builds.run(release.argv(undisturbed, *version))
    assert whole.code == 0, whole.output
    lots = _lots()
    kills = number = 0
    while kills < WHOLE_KILLS:
        number += 1
        assert number < 4 * WHOLE_KILLS, "builds end before they are killed"
        folder = tmp_path / str(number)
        seconds = lots.uniform(0.05, whole.seconds)
        kills += kill_and_build(
            release, folder, undisturbed, release.argv(folder, *version), kill_after_seconds=seconds
        )


def test_killed_again_and_again_a_build_goes_on(release: SmallRelease, undisturbed: Path, tmp_path: Path) -> None:
    """Without anything removed in between: each run finds what all before it left."""
    lots = _lots()
    for _ in range(20):
        release.builds.run(release.argv(tmp_path), point=lots.randrange(1, 200))
        demand_whole(tmp_path, digests(undisturbed / "dist"))
    assert release.builds.run(release.argv(tmp_path)).code == 0
    demand_same(tmp_path, undisturbed)


def own_lock(release: SmallRelease, folder: Path) -> str:
    """A copy of the lock in ``folder``, which goes with it."""
    folder.mkdir()
    return str(shutil.copy(release.lock, folder))


def start(argv: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([BUNDLE, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_builds_that_share_a_store_with_a_cleaning_end_the_same(
    release: SmallRelease, undisturbed: Path, tmp_path: Path
) -> None:
    """Cleaned of everything that no lock needs, at once: two builds at a time, and never less than one cleaning."""
    store = tmp_path / "store"
    wanted = digests(undisturbed / "dist")
    (store / "blobs" / "sha256").mkdir(parents=True)
    clean = ["store", "gc", "--store", str(store), "--keep-days", "0"]
    for number in range(ROUNDS):
        folders = [tmp_path / f"{number}-{which}" for which in "ab"]
        both = [start(release.argv(folder, "--lock", own_lock(release, folder), store=store)) for folder in folders]
        for process, folder in zip(both, folders, strict=True):
            assert process.stdout is not None
            process.stdout.readline()  # it has read its lock, and from here on no file says what it needs
            (folder / release.lock.name).unlink()
        while any(process.poll() is None for process in both):
            cleaned = start(clean)
            said = cleaned.communicate(timeout=120)[0]
            assert cleaned.returncode == 0, said
        for process, folder in zip(both, folders, strict=True):
            said = process.communicate(timeout=120)[0]
            assert process.returncode == 0, said
            assert digests(folder / "dist") == wanted
        for folder in folders:
            shutil.rmtree(folder)  # nothing needs the blobs any more: the next round cleans while it fetches
    assert "removed   15 blobs" in start(clean).communicate(timeout=120)[0]
    assert not any((store / "blobs" / "sha256").iterdir())


def test_a_cleaning_waits_for_a_build_and_a_build_for_a_cleaning(
    release: SmallRelease, undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    (store / "blobs" / "sha256").mkdir(parents=True)
    building = start(release.argv(tmp_path, "--lock", own_lock(release, tmp_path / "own")))
    assert building.stdout is not None
    assert building.stdout.readline().startswith("resolve")
    (tmp_path / "own" / release.lock.name).unlink()
    assert building.stdout.readline().startswith("fetch")
    building.send_signal(signal.SIGSTOP)
    try:
        there = set((store / "blobs" / "sha256").iterdir())
        cleaning = start(["store", "gc", "--store", str(store), "--keep-days", "0"])
        assert cleaning.stdout is not None
        assert cleaning.stdout.readline() == "store: builds are using it, waiting until that is done\n"
        assert set((store / "blobs" / "sha256").iterdir()) >= there > set()
    finally:
        building.send_signal(signal.SIGCONT)
    assert "removed " in cleaning.communicate(timeout=120)[0]
    said = building.communicate(timeout=120)[0]
    assert building.returncode == 0, said
    with (store / "in-use").open("rb") as in_use:
        fcntl.flock(in_use, fcntl.LOCK_EX)
        again = start(release.argv(tmp_path))
        assert again.stdout is not None
        assert again.stdout.readline() == "store: it is being cleaned, waiting until that is done\n"
    assert "was there already" in again.communicate(timeout=120)[0]
    demand_same(tmp_path, undisturbed)


def test_a_killed_cleaning_leaves_a_store_to_build_from(
    release: SmallRelease, undisturbed: Path, tmp_path: Path
) -> None:
    lots = _lots()
    clean = ["store", "gc", "--store", str(tmp_path / "store"), "--keep-days", "0"]
    for _ in range(10):
        argv = release.argv(tmp_path, "--lock", own_lock(release, tmp_path / "own"))
        assert release.builds.run(argv).code == 0
        shutil.rmtree(tmp_path / "own")
        (tmp_path / "dist" / f"{NAME}.lock.json").unlink()
        assert release.builds.run(clean, point=lots.randrange(1, 40)).code == KILLED
        demand_whole(tmp_path, digests(undisturbed / "dist"))
    assert release.builds.run(release.argv(tmp_path)).code == 0
    demand_same(tmp_path, undisturbed)


def test_the_figures_are_those_of_the_document() -> None:
    said = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for figure in (
        f"{POINT_KILLS + TIMED_KILLS + WHOLE_KILLS} kills", f"| {POINT_KILLS} of the", f"| {TIMED_KILLS} moments",
        f"| {WHOLE_KILLS} moments", f"| {ROUNDS} rounds, {2 * ROUNDS} builds",
    ):  # fmt: skip
        assert figure in said
