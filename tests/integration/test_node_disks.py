"""What a node's disks do to an install, with real file systems: full, without inodes, read-only.

Each figure here stands in docs/reliability.md.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.bundle.digest import Digest
from installer.bundle.reader import Bundle, open_media_set
from installer.errors import OperatorError, PreflightError
from installer.execute import Executor, Phase, Plan, Step
from installer.install import listener
from installer.journal import open_journal, read_runs
from installer.localnode import LocalNode
from installer.node import DiskSpace
from installer.preflight import demand_fit
from installer.recording import RecordingNode
from installer.steps.files import PlaceFile
from installer.steps.textfile import TextFile
from tests.fakes.images import AMD64, small_parts
from tests.fakes.reports import Quiet
from tests.integration.media import assembled
from tests.integration.mounting import Mounts, command, remount
from tests.unit.test_preflight import found, subject

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
ROOT = Path(__file__).parents[2]
SIZES_KIB = range(4, 284, 6)
"""One file system after the other, until all of it finds room; pages have 4 KiB."""
INODES = range(4, 44)
FAILED = {"bytes": 40, "inodes": 20}
"""How many of them are too small, at least."""
LARGE_BYTES = 150_000
JOURNAL = "var/lib/airgap-bundle/journal"
_LOOK = """
import json
from dataclasses import asdict
from installer.facts import DISK_PATHS
from installer.localnode import LocalView
view = LocalView()
print(json.dumps({path: asdict(view.disk_space(path)) for path in (*DISK_PATHS, "/var/lib/containerd")}))
"""
OLD = b"of another release" * 1000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    parts = small_parts(large_bytes=LARGE_BYTES)
    with open_media_set(assembled(parts, tmp_path_factory.mktemp("media"))) as bundle:
        yield bundle


def steps(bundle: Bundle) -> tuple[Step, ...]:
    """Files, members of an archive, texts, and one file that replaces another."""
    placed = [PlaceFile(bundle, item) for item in bundle.index.files_for("cp", AMD64)]
    texts = [TextFile(f"text/{number}", f"/etc/site/{number}.conf", "x" * 5000 * number) for number in range(1, 6)]
    return (*texts[:3], *placed, *texts[3:])


def install(bundle: Bundle, disk: Path) -> None:
    """As the install verb does, with all it writes below ``disk``."""
    plan = Plan((Phase("files", steps(bundle)),))
    with open_journal(disk / JOURNAL, "install") as journal:
        node = RecordingNode(LocalNode(disk), journal)
        Executor(node, listener(journal, Quiet())).run(plan)


def there(disk: Path) -> dict[str, tuple[int, Digest]]:
    """Every file below ``disk`` but the journal, with its mode."""
    return {
        str(path.relative_to(disk)): (path.stat().st_mode, Digest.of(path.read_bytes()))
        for path in disk.rglob("*")
        if path.is_file() and JOURNAL not in str(path)
    }


def older(disk: Path) -> None:
    """What is replaced; as far as there is room for it."""
    (disk / "usr/local/bin").mkdir(parents=True)
    (disk / "usr/local/bin/kubeadm").write_bytes(OLD)


@pytest.fixture
def wanted(bundle: Bundle, mounts: Mounts) -> dict[str, tuple[int, Digest]]:
    disk = mounts("undisturbed", 4096)
    install(bundle, disk)
    return there(disk)


@pytest.mark.parametrize("scarce", ["bytes", "inodes"])
def test_a_disk_that_is_full_at_any_write_is_named_and_the_same_command_goes_on(
    bundle: Bundle, wanted: dict[str, tuple[int, Digest]], mounts: Mounts, scarce: str
) -> None:
    outcomes = []
    for number in SIZES_KIB if scarce == "bytes" else INODES:
        disk = mounts(f"disk-{number}", *((number,) if scarce == "bytes" else (4096, f"nr_inodes={number}")))
        try:
            older(disk)
        except OSError:
            continue
        before = there(disk)
        try:
            install(bundle, disk)
        except OperatorError as error:
            outcomes.append(False)
            demand_told(error, disk, scarce)
            assert list(disk.rglob(".*")) == [], "nothing half-written"
            now = there(disk)
            assert all(wanted[path] == found or before[path] == found for path, found in now.items())
            assert {path for path in before if path not in now} == set()
            assert all(run.outcome in ("failed", "cut off") for run in read_runs(disk / JOURNAL))
            kept = [path for path in (disk / JOURNAL).glob("*.kept/*") if path.read_bytes() != OLD]
            assert all(Digest.of(path.read_bytes()) in {digest for _mode, digest in wanted.values()} for path in kept)
        else:
            outcomes.append(True)
        remount(disk, "size=8192k,nr_inodes=4096")
        install(bundle, disk)
        assert there(disk) == wanted
        assert read_runs(disk / JOURNAL)[-1].outcome == "done"
    assert outcomes == sorted(outcomes)
    assert (outcomes.count(False) >= FAILED[scarce], outcomes[-1]) == (True, True), outcomes


def demand_told(error: OperatorError, disk: Path, scarce: str) -> None:
    """What is missing, where, and what to do."""
    got, said = str(error.got), "\n".join(error.lines())
    assert re.match(rf"No space left on device; [0-9.]+ [MG]B free on {disk}", got), said
    assert (scarce == "inodes") == got.endswith(", and no inode"), said
    assert error.next_step == f"make room on {disk}, and run the same command again; finished steps are skipped"
    if error.message == "cannot write a file":
        assert re.fullmatch(rf"room for [0-9.]+ MB on {disk}", str(error.wanted)), said
    else:
        assert error.message in ("cannot write the journal", "cannot open the journal"), said


def test_a_disk_that_is_mounted_read_only_is_named_at_the_write(bundle: Bundle, mounts: Mounts) -> None:
    disk = mounts("disk", 4096)
    older(disk)
    for folder in ("etc/site", "opt/cni/bin", "usr/local/bin"):
        place = disk / folder
        place.mkdir(parents=True, exist_ok=True)
    before = there(disk)
    node = LocalNode(disk)
    remount(disk, "ro")
    for act in (
        lambda: node.write_file("/etc/site/1.conf", b"x"),
        lambda: node.place("/usr/local/bin/kubeadm", [b"x"], mode=0o755),
        lambda: node.symlink("a", "/etc/link"),
        lambda: node.make_dir("/etc/folder"),
        lambda: node.remove("/usr/local/bin/kubeadm"),
        lambda: node.remove_tree("/usr/local"),
        lambda: install(bundle, disk),
    ):
        with pytest.raises(OperatorError) as caught:
            act()
        assert caught.value.wanted == f"{disk} mounted for writing"
        assert caught.value.got == "Read-only file system"
        assert caught.value.next_step == "mount it so, and run the same command again; finished steps are skipped"
    assert there(disk) == before
    assert node.disk_space("/usr/local/bin").read_only
    remount(disk, "rw")
    assert not node.disk_space("/usr/local/bin").read_only
    install(bundle, disk)


def test_what_is_mounted_twice_is_one_file_system(mounts: Mounts, tmp_path: Path) -> None:
    first, second = mounts("first", 1024), mounts("second", 1024)
    (second / "bound").mkdir()
    command("mount", "--bind", first, second / "bound")
    try:
        spaces = [LocalNode().disk_space(str(path)) for path in (first, second / "bound" / "not" / "there", second)]
    finally:
        command("umount", second / "bound")
    assert [space.mount for space in spaces] == [str(first), str(second / "bound"), str(second)]
    assert spaces[0].file_system == spaces[1].file_system != spaces[2].file_system


@pytest.mark.parametrize("closed", ["/usr/local", "/etc", "/var/lib", "/opt"])
def test_a_target_mounted_read_only_is_named_before_anything_is_changed(closed: str) -> None:
    """The folders of this machine, mounted again in a namespace of their own."""
    script = (
        f"mount --bind {closed} {closed} && mount -o remount,bind,ro {closed} && exec {sys.executable} -c '{_LOOK}'"
    )
    looked = json.loads(command("unshare", "--mount", "env", f"PYTHONPATH={ROOT}", "/bin/sh", "-c", script))
    disks = {path: DiskSpace(**found) for path, found in looked.items()}
    finding = found("disk-writable", subject(disks=disks))
    assert finding.level == "problem"
    assert f"(on {closed})" in finding.seen
    assert finding.fix == "mount it for writing"
    with pytest.raises(PreflightError, match="not ready"):
        demand_fit([finding], "cp-1")
    usual = {path: LocalNode().disk_space(path) for path in looked}
    assert found("disk-writable", subject(disks=usual)).level == "ok"
