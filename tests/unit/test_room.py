"""What is said when a disk refuses: full, a quota, read-only, failing; by a write or by a program."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from installer.errors import CommandError, OperatorError, StepError
from installer.journal import open_journal, read_runs
from installer.localnode import LocalNode
from installer.node import DiskSpace
from installer.preflight import run_checks
from installer.preflight.disk import folder_needs, needed_bytes, room_left
from installer.remaining import demand_room
from installer.room import disk_space, explained
from tests.fakes.node import FakeNode
from tests.unit.test_preflight import FACTS, INDEX, RECORD, found, level, subject

AGAIN = "run the same command again; finished steps are skipped"
WORDS = {
    errno.ENOSPC: ("No space left on device; ", f"make room on {{}}, and {AGAIN}"),
    errno.EDQUOT: ("Disk quota exceeded; ", f"raise the quota on {{}}, and {AGAIN}"),
    errno.EROFS: ("Read-only file system", f"mount it so, and {AGAIN}"),
    errno.EIO: ("Input/output error", "the disk of {} fails: look at  dmesg"),
}


@pytest.mark.parametrize("code", WORDS)
@pytest.mark.parametrize("call", ["open", "fsync", "fchmod"])
def test_each_reason_of_a_disk_has_its_own_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    def refuses(*_args: object, **_more: object) -> None:
        raise OSError(code, os.strerror(code))

    node = LocalNode(tmp_path)
    node.write_file("/etc/a", b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuses)
        with pytest.raises(OperatorError) as caught:
            node.place("/etc/a", iter([b"x" * 1_000_000] * 3), mode=0o644)
    error, mount = caught.value, disk_space(tmp_path).mount
    got, next_step = WORDS[code]
    assert (error.message, error.where) == ("cannot write a file", "/etc/a")
    assert str(error.got).startswith(got)
    assert error.next_step == next_step.format(mount)
    wanted = f"{mount} mounted for writing" if code == errno.EROFS else f"room for 3.0 MB on {mount}"
    assert error.wanted == wanted
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["a"]
    assert node.read_bytes("/etc/a") == b"before"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_record_that_finds_no_room_leaves_no_half_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.write

    def half(handle: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(code, os.strerror(code))
        return real(handle, data[: len(data) - 50])

    with (
        pytest.raises(OperatorError, match="cannot write the journal") as caught,
        open_journal(tmp_path, "a") as journal,
    ):
        journal.record("before")
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            journal.record("change", path="x" * 200)
    assert "MB free on" in str(caught.value.got) or "GB free on" in str(caught.value.got)
    (run,) = read_runs(tmp_path)
    assert [record["what"] for record in run.records] == ["run", "before", "end"]
    assert run.outcome == "failed"


def test_what_is_kept_of_a_replaced_file_is_all_of_it_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_handle: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with open_journal(tmp_path, "a") as journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuses)
            with pytest.raises(OperatorError) as caught:
                journal.keep([b"x" * 500_000] * 4)
        assert "room for 2.0 MB on " in str(caught.value.wanted)
        assert list(tmp_path.glob("*.kept/*")) == []
        assert journal.keep([b"x"]).endswith("/0002")


def test_the_first_error_is_told_when_the_journal_finds_no_room_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OperatorError, match="the first"), open_journal(tmp_path, "a"):
        monkeypatch.setattr(os, "write", refuses)
        raise OperatorError("the first")
    monkeypatch.undo()
    assert read_runs(tmp_path)[0].outcome == "cut off"


@pytest.mark.parametrize(
    ("said", "wanted", "got", "next_step"),
    [
        (
            "ctr: failed to ingest: write /var/lib/containerd/x/data: no space left on device: unknown",
            "room for 600.0 MB on /var",
            "1.0 MB free on /var\n",
            f"make room on /var, and {AGAIN}",
        ),
        (
            "cannot write: No space left on device",
            "room for 600.0 MB on /",
            "1.0 MB free on /\n",
            f"make room on /, and {AGAIN}",
        ),
        (
            "open /var/x: disk quota exceeded",
            "room for 600.0 MB on /var",
            "1.0 MB",
            f"raise the quota on /var, and {AGAIN}",
        ),
        ("open /var/x: read-only file system", "/var mounted for writing", "exit code", f"mount it so, and {AGAIN}"),
    ],
)
def test_what_a_program_says_of_a_full_disk_is_told_with_the_room_there_is(
    said: str, wanted: str, got: str, next_step: str
) -> None:
    class Disks(FakeNode):
        def disk_space(self, path: str) -> DiskSpace:
            return DiskSpace("/var" if path.startswith("/var") else "/", 10**9, 10**6, 5)

    told = explained(CommandError(["ctr", "images", "import"], 1, said), Disks(), "/opt", 600_000_000)
    assert isinstance(told, StepError)
    assert (told.wanted, told.next_step) == (wanted, next_step)
    assert str(told.got).startswith(got)
    assert said in str(told.got)


def test_any_other_failure_of_a_program_stays_what_it_is() -> None:
    error = CommandError(["ctr"], 1, "connection refused")
    assert explained(error, FakeNode()) is error


# --- before anything is begun ---

BIG = DiskSpace("/", 10**12, 10**12, 1, device="8:1")


def test_file_systems_mounted_read_only_are_named_before_anything_is_changed() -> None:
    closed = DiskSpace("/usr", 10**12, 10**12, 1, device="8:2", read_only=True)
    disks = dict.fromkeys(FACTS.disks, BIG) | {"/usr/local/bin": closed, "/usr/local/sbin": closed}
    for facts in ({"disks": disks}, {"disks": disks, "installed": RECORD}):
        finding = found("disk-writable", subject(**facts))
        assert (finding.level, finding.seen) == ("problem", "mounted read-only: /usr/local/bin (on /usr)")
    only_root = dict.fromkeys(FACTS.disks, BIG) | {"/": replace(BIG, mount="/", device="0:9", read_only=True)}
    assert level("disk-writable", subject(disks=only_root)) == "ok", "nothing is written to / itself"
    etcd = dict.fromkeys(FACTS.disks, BIG) | {"/var/lib/etcd": replace(closed, mount="/var/lib/etcd")}
    assert [level("disk-writable", subject(role=role, disks=etcd)) for role in ("cp", "worker")] == ["problem", "ok"]


def test_one_file_system_under_several_mount_points_is_asked_once_for_all() -> None:
    elsewhere = replace(BIG, mount="/var/lib/containerd")
    disks = dict.fromkeys(FACTS.disks, BIG) | {"/var/lib/containerd": elsewhere}
    judged = subject(disks=disks)
    assert needed_bytes(judged) == {"8:1": sum(folder_needs(judged).values())}
    assert [finding.name for finding in run_checks(judged) if finding.name.startswith("disk ")] == ["disk /"]


def test_a_quota_on_one_folder_is_asked_for_what_goes_there() -> None:
    small = replace(BIG, total_bytes=10**9, free_bytes=10**8)
    disks = dict.fromkeys(FACTS.disks, BIG) | {"/var/lib/etcd": small}
    finding = found("disk /var/lib/etcd", subject(disks=disks))
    assert (finding.level, finding.seen) == ("problem", "512.0 MB needed, 100.0 MB free")
    assert level("disk /", subject(disks=dict.fromkeys(FACTS.disks, BIG) | {"/var/lib/kubelet": small})) != "problem"


def test_what_is_written_besides_the_bundle_s_content_is_asked_for() -> None:
    plain = folder_needs(subject())
    more = folder_needs(
        replace(
            subject(placed_bytes={"/usr/local/bin/kubelet": 10**9, "/opt/cni/bin/bridge": 5, "/x": 7}),
            runtime_bytes=70_000_000,
        )
    )
    grown = {folder: more[folder] - plain.get(folder, 0) for folder in more if more[folder] != plain.get(folder)}
    assert grown == {"/var/lib/airgap-bundle": 10**9 + 5, "/opt/airgap-bundle": 70_000_000}


def test_files_are_asked_for_where_they_land() -> None:
    """Archives too: a folder of their own file system is not charged to the one above."""
    own = replace(BIG, mount="/opt/cni/bin", device="8:7", free_bytes=1)
    judged = subject(disks=dict.fromkeys(FACTS.disks, BIG) | {"/opt/cni/bin": own})
    assert level("disk /opt/cni/bin", judged) == "problem"
    assert {item for file in INDEX.files for item in file.placement.folders()} == {
        "/opt/cni/bin",
        "/usr/local/bin",
        "/usr/local/sbin",
    }


def test_the_problem_says_what_takes_the_room() -> None:
    finding = found("disk /", subject(disks=dict.fromkeys(FACTS.disks, replace(BIG, free_bytes=1000))))
    assert finding.why.startswith("the install would fill it: /var/lib/etcd 512.0 MB, /var/lib/kubelet 100.0 MB, ")


def test_an_install_that_was_begun_is_asked_for_what_is_left() -> None:
    tight = dict.fromkeys(FACTS.disks, replace(BIG, free_bytes=8_000_000))
    judged = subject(disks=tight, installed=replace(RECORD, state="started"))
    assert level("disk", judged) == "ok", "what is left is not known yet"
    (finding,) = room_left(judged, (), ())
    assert (finding.level, "719.0 MB" not in finding.seen) == ("problem", True)
    in_cluster = replace(judged, facts=replace(judged.facts, kubernetes=replace(FACTS.kubernetes, paths=("/x",))))
    in_cluster = replace(in_cluster, facts=replace(in_cluster.facts, placed_bytes={"/usr/local/bin/kubelet": 10**9}))
    (finding,) = room_left(in_cluster, (), ())
    assert (finding.level, finding.seen) == ("warn", "7.0 MB needed, 8.0 MB free")
    demand_room(in_cluster, ())
