"""``bundle build`` on disks that are full, small, read-only or without exec: real file systems, mounted by the test.

Each figure here stands in docs/reliability.md.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.forked_builds import ROOT
from tests.integration.mounting import Mounts
from tests.integration.small_release import NAME, SmallRelease, demand_same, demand_whole, digests, small_release

SEED = 6
FILLED_AT = {"store": 40, "dist": 20}
"""At how many points each of the two disks gets full."""
SIZES_KIB = range(512, 6144, 512)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


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


def hidden(folder: Path) -> list[str]:
    """What has no finished name, of which a build that ended leaves nothing."""
    return [str(path) for path in folder.rglob("*") if path.name.startswith((".", "program-"))]


@pytest.mark.parametrize("full", FILLED_AT)
def test_a_disk_that_gets_full_at_any_write_is_named_and_nothing_is_lost(
    release: SmallRelease, undisturbed: Path, tmp_path: Path, mounts: Mounts, full: str
) -> None:
    mount = mounts(full, 16 * 1024)
    wanted = digests(undisturbed / "dist")
    points = release.builds.run(release.argv(tmp_path), counted=True).points
    failed = 0
    lots = random.Random(SEED)  # noqa: S311 - the same points for everybody
    for point in sorted(lots.sample(range(1, points), FILLED_AT[full])):
        for folder in (tmp_path / "store", tmp_path / "dist"):
            for left in folder.glob("*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        ballast = mount / "ballast"
        ended = release.builds.run(release.argv(tmp_path), point=point, fill=str(ballast))
        ballast.unlink(missing_ok=True)
        demand_whole(tmp_path, wanted)
        assert hidden(tmp_path) == [], f"left at point {point}"
        if ended.code:
            failed += 1
            assert ended.code in (1, 2), ended.output
            assert "Traceback" not in ended.output
            assert re.search(r"^  got .* [0-9.]+ [MG]B free", ended.output, re.MULTILINE), ended.output
            assert "  next    make room" in ended.output
        again = release.builds.run(release.argv(tmp_path))
        assert again.code == 0, again.output
        demand_same(tmp_path, undisturbed)
    assert failed >= FILLED_AT[full] // 4, "unnoticed only where all was written, or a record was"


def test_a_disk_is_refused_before_anything_is_fetched_or_is_large_enough(
    release: SmallRelease, undisturbed: Path, tmp_path: Path, mounts: Mounts
) -> None:
    """Store and output on one disk of every size: what is not refused ends; what is refused was too small by little."""
    codes = []
    for size_kib in SIZES_KIB:
        disk = mounts(f"disk-{size_kib}", size_kib)
        ended = release.builds.run(release.argv(disk))
        codes.append(ended.code)
        if ended.code == 0:
            demand_same(disk, undisturbed)
            continue
        assert ended.code == 2, ended.output
        assert "error: not enough room  [input]" in ended.output
        assert f"  where   {disk}/store and {disk}/dist\n  wanted  " in ended.output, ended.output
        assert "next    make room, or name another place with --out DIR or --store DIR" in ended.output
        assert not (disk / "dist").exists()
        assert "fetch " not in ended.output
    assert codes == sorted(codes, reverse=True)
    need_bytes = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    smallest_bytes = SIZES_KIB[codes.index(0)] * 1024
    assert need_bytes <= smallest_bytes <= need_bytes + 1_600_000


@pytest.mark.parametrize("small", ["store", "dist"])
def test_each_disk_is_asked_for_its_own_part(release: SmallRelease, tmp_path: Path, mounts: Mounts, small: str) -> None:
    disk = mounts(small, 1024)
    ended = release.builds.run(release.argv(tmp_path))
    option = {"store": "--store", "dist": "--out"}[small]
    assert ended.code == 2, ended.output
    assert f"  where   {disk}\n" in ended.output
    assert f"make room, or name another place with {option} DIR" in ended.output
    assert "fetch " not in ended.output


def test_what_is_there_of_an_unfinished_download_is_not_asked_for_again(
    release: SmallRelease, undisturbed: Path, tmp_path: Path, mounts: Mounts
) -> None:
    """A disk with room for the store and no more, with nearly all of its largest blob there: it is gone on with."""
    sizes = {path.name: path.stat().st_size for path in (undisturbed / "store" / "blobs" / "sha256").iterdir()}
    largest = max(sizes, key=sizes.__getitem__)
    store = mounts("store", (sum(sizes.values()) + 1_100_000) // 1024)
    (store / "partial").mkdir()
    data = (undisturbed / "store" / "blobs" / "sha256" / largest).read_bytes()
    (store / "partial" / largest).write_bytes(data[:-1000])
    ended = release.builds.run(release.argv(tmp_path))
    assert ended.code == 0, ended.output
    demand_same(tmp_path, undisturbed)


def test_an_output_that_is_mounted_read_only_is_said_before_anything_is_fetched(
    release: SmallRelease, tmp_path: Path, mounts: Mounts
) -> None:
    disk = mounts("medium", 1024, "ro")
    ended = release.builds.run(release.argv(tmp_path, out=disk / "dist"))
    assert ended.code == 2, ended.output
    assert f"where   --out {disk}/dist" in ended.output
    assert f"{disk} is on a file system that is mounted read-only" in ended.output
    assert "fetch " not in ended.output


@pytest.mark.parametrize(("size_kib", "options"), [(64 * 1024, "noexec"), (512, "rw")], ids=["noexec", "full"])
def test_kubeadm_is_asked_where_its_program_can_be(
    release: SmallRelease, tmp_path: Path, mounts: Mounts, size_kib: int, options: str
) -> None:
    """A TMPDIR without exec, or too small for it: the store is the second place, and nothing of it stays there."""
    folder = mounts("tmp", size_kib, options)
    lock = tmp_path / "lock.json"
    argv = ["lock", *release.sources, "--store", str(tmp_path / "store"), "--k8s", "1.30", "--cni", "none"]
    ended = release.builds.run([*argv, "--out", str(lock)], environment={"TMPDIR": str(folder)})
    assert ended.code == 0, ended.output
    assert json.loads(lock.read_text())["pause"]["told_by"] == "kubeadm"
    assert list(folder.iterdir()) == []
    assert hidden(tmp_path / "store") == []


def test_the_figures_are_those_of_the_document() -> None:
    said = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for figure in (f"| {FILLED_AT['store']} of about", f"| {FILLED_AT['dist']} points", f"| {len(SIZES_KIB)} sizes"):
        assert figure in said


def test_a_lock_for_a_full_disk_leaves_nothing(release: SmallRelease, tmp_path: Path, mounts: Mounts) -> None:
    disk = mounts("disk", 16)
    (disk / "ballast").write_bytes(bytes(12 * 1024))
    argv = ["lock", *release.sources, "--store", str(tmp_path / "store"), "--k8s", "1.30", "--cni", "none"]
    ended = release.builds.run([*argv, "--out", str(disk / f"{NAME}.lock.json")])
    assert (ended.code, "error: the lock cannot be written  [failed]" in ended.output) == (1, True), ended.output
    assert [path.name for path in disk.iterdir()] == ["ballast"]
