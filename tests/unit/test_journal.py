"""The journal on disk, the node that writes it, and going back by it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from installer.errors import CommandError, OperatorError
from installer.history import changes as path_changes
from installer.history import effective_runs, images_before
from installer.journal import Run, open_journal, read_kept, read_runs
from installer.recording import RecordingNode
from installer.restore import DAEMON_FOLDERS, RemoveData, RemoveEmpty, RestoreFiles
from tests.fakes.node import FakeNode

SECRET = "abcdef.0123456789abcdef"


def changes(run: Run) -> list[tuple[str, str, str]]:
    return [(record["act"], record["path"], record["before"]["kind"]) for record in run.of("change")]


def test_a_run_reads_back_with_its_end(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal", "install", role="cp") as journal:
        journal.enter("kernel/modules")
        journal.record("step", id="kernel/modules", outcome="done")
        journal.enter("")
    (run,) = read_runs(tmp_path / "journal")
    assert (run.verb, run.outcome) == ("install", "done")
    assert [record.get("step") for record in run.records] == [None, "kernel/modules", None]
    assert (tmp_path / "journal" / f"{run.name}.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_failure_is_recorded_with_its_error(tmp_path: Path) -> None:
    with pytest.raises(OperatorError), open_journal(tmp_path, "install"):
        raise CommandError(["kubeadm"], 1, "boom")
    with pytest.raises(KeyboardInterrupt), open_journal(tmp_path, "install"):
        raise KeyboardInterrupt
    first, second = read_runs(tmp_path)
    assert first.outcome == second.outcome == "failed"
    assert first.records[-1]["error"]["error"] == "kubeadm failed"
    assert second.records[-1]["error"] == {"error": "KeyboardInterrupt"}


def test_runs_within_one_second_keep_their_order(tmp_path: Path) -> None:
    for number in range(12):
        with open_journal(tmp_path, f"run{number}"):
            pass
    assert [run.verb for run in read_runs(tmp_path)] == [f"run{number}" for number in range(12)]


def test_a_torn_last_line_is_left_out_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    with open_journal(tmp_path, "install"):
        pass
    (path,) = tmp_path.glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 9])
    (run,) = read_runs(tmp_path)
    assert (len(run.records), run.outcome) == (1, "cut off")
    path.write_bytes(b"{torn\n" + whole)
    with pytest.raises(OperatorError, match="damaged") as caught:
        read_runs(tmp_path)
    assert str(caught.value.where).endswith("line 1")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_only_its_owner_reads_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    node = FakeNode().with_files({"/etc/fstab": "swap\n"})
    before = os.umask(umask)
    try:
        with open_journal(tmp_path / "state/journal", "install") as journal:
            RecordingNode(node, journal).write_file("/etc/fstab", b"# swap\n")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").rglob("*")}
    (run,) = read_runs(tmp_path / "state/journal")
    kept = {f"{run.name}.kept": 0o700, "0001": 0o600, "0002": 0o600}
    assert modes == {"journal": 0o700, "lock": 0o600, f"{run.name}.jsonl": 0o600} | kept
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o755


def test_every_change_is_recorded_with_what_was_there(tmp_path: Path) -> None:
    node = FakeNode().with_files({"/etc/fstab": "swap\n", "/opt/x": "x"})
    node.symlink("a", "/etc/link")
    with open_journal(tmp_path, "install") as journal:
        recording = RecordingNode(node, journal)
        recording.write_file("/etc/fstab", b"# swap\n")
        recording.place("/opt/cni/bin/bridge", [b"b"], mode=0o755)
        recording.symlink("b", "/etc/link")
        recording.make_dir("/opt/cni")
        recording.remove("/opt/x")
    (run,) = read_runs(tmp_path)
    assert changes(run) == [
        ("write", "/etc/fstab", "file"),
        ("write", "/opt/cni/bin/bridge", "absent"),
        ("link", "/etc/link", "symlink"),
        ("make folder", "/opt/cni", "directory"),
        ("remove", "/opt/x", "file"),
    ]
    records = list(run.of("change"))
    assert read_kept(tmp_path, records[0]["before"]["kept"]) == b"swap\n"
    assert records[1]["made"] == ["/opt/cni", "/opt/cni/bin"]
    kept = tmp_path / records[0]["before"]["kept"]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert node.read_bytes("/etc/fstab") == b"# swap\n"


def test_the_record_is_on_disk_before_the_change(tmp_path: Path) -> None:
    class Failing(FakeNode):
        def write_file(self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
            (run,) = read_runs(tmp_path)
            assert changes(run) == [("write", "/etc/x", "absent")]
            raise OperatorError("disk full")

    with pytest.raises(OperatorError, match="disk full"), open_journal(tmp_path, "install") as journal:
        RecordingNode(Failing(), journal).write_file("/etc/x", b"")


def test_commands_are_recorded_without_their_secrets(tmp_path: Path) -> None:
    node = FakeNode().script(["kubeadm", "token", SECRET], "created").script(["kubeadm", SECRET], code=1, stderr=SECRET)
    with pytest.raises(CommandError), open_journal(tmp_path, "install") as journal:
        recording = RecordingNode(node, journal)
        assert recording.run(["kubeadm", "token", SECRET], timeout_seconds=1, secrets=[SECRET]).stdout == "created"
        recording.run(["kubeadm", SECRET], timeout_seconds=1, secrets=[SECRET])
    text = "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))
    assert SECRET not in text
    ended = [json.loads(line) for line in text.splitlines() if '"command ended"' in line]
    assert [(record["argv"], record["code"]) for record in ended] == [
        (["kubeadm", "token", "***"], 0),
        (["kubeadm", "***"], 1),
    ]


def restored(node: FakeNode, folder: Path) -> str:
    step = RestoreFiles(path_changes(effective_runs(read_runs(folder))), folder)
    assert not step.check(node).satisfied
    detail = step.apply(node)
    assert step.check(node).satisfied
    return detail


def test_going_back_over_several_runs_ends_where_it_began(tmp_path: Path) -> None:
    node = FakeNode().with_files({"/etc/fstab": "swap\n", "/etc/containerd/config.toml": "site's own"})
    node.symlink("site", "/etc/link")
    node.write_file("/root/private", b"p", mode=0o600, uid=7, gid=8)
    before, stats = node.files(), {path: node.stat(path) for path in ("/etc/link", "/root/private")}
    for content in (b"one", b"two"):
        with open_journal(tmp_path, "install") as journal:
            recording = RecordingNode(node, journal)
            for path in ("/etc/fstab", "/etc/containerd/config.toml", "/opt/cni/bin/bridge", "/root/private"):
                recording.write_file(path, content)
            recording.symlink("ours", "/etc/link")
    assert restored(node, tmp_path) == "4 removed, 4 put back"
    assert node.files() == before
    assert {path: node.stat(path) for path in stats} == stats
    assert node.stat("/opt") is None


def test_a_folder_that_others_use_by_now_stays(tmp_path: Path) -> None:
    node = FakeNode()
    with open_journal(tmp_path, "install") as journal:
        RecordingNode(node, journal).write_file("/opt/ours", b"")
    node.write_file("/opt/theirs", b"")
    assert restored(node, tmp_path) == "1 removed, 0 put back"
    assert set(node.files()) == {"/opt/theirs"}


def test_after_a_finished_reset_nothing_is_left_to_go_back_to(tmp_path: Path) -> None:
    node = FakeNode()
    with open_journal(tmp_path, "install") as journal:
        RecordingNode(node, journal).write_file("/a", b"")
    with pytest.raises(OperatorError), open_journal(tmp_path, "reset") as journal:
        RecordingNode(node, journal, keeps_content=False).remove("/a")
        raise OperatorError("stopped")
    assert list(path_changes(effective_runs(read_runs(tmp_path)))) == ["/a"]
    with open_journal(tmp_path, "reset"):
        pass
    assert effective_runs(read_runs(tmp_path)) == ()


def test_a_reset_keeps_no_content(tmp_path: Path) -> None:
    node = FakeNode().with_files({"/usr/local/bin/kubelet": "large"})
    with open_journal(tmp_path, "reset") as journal:
        RecordingNode(node, journal, keeps_content=False).remove("/usr/local/bin/kubelet")
    assert not list(tmp_path.glob("*.kept"))


def test_a_folder_of_a_daemon_stays_while_something_is_in_it() -> None:
    node = FakeNode().with_files({"/opt/containerd/bin/theirs": ""})
    node.make_dir("/opt/containerd/lib")
    step = RemoveEmpty(DAEMON_FOLDERS)
    assert step.check(node).changes == ("remove /opt/containerd/lib",)
    step.apply(node)
    assert step.check(node).satisfied
    assert set(node.files()) == {"/opt/containerd/bin/theirs"}


def test_names_of_a_store_that_did_not_answer_are_not_taken_for_new(tmp_path: Path) -> None:
    ctr = ("/usr/local/bin/ctr", "-a", "s", "-n", "k8s.io", "images")
    for listing, wanted in ((["REF"], ({}, ("a",))), (None, ({}, ()))):
        folder = tmp_path / str(bool(listing))
        node = FakeNode().script([*ctr, "label", "a", "pinned"])
        node.script([*ctr, "ls"], "\n".join(listing or []), code=0 if listing else 1)
        with open_journal(folder, "install") as journal:
            RecordingNode(node, journal).run([*ctr, "label", "a", "pinned"], timeout_seconds=1)
        assert images_before(read_runs(folder)[0]) == wanted


def test_data_folders_are_emptied() -> None:
    node = FakeNode().with_files({"/var/lib/etcd/member/wal": "w", "/keep": ""})
    step = RemoveData(("/var/lib/etcd", "/var/lib/kubelet"))
    assert step.check(node).changes == ("remove everything in /var/lib/etcd",)
    assert step.apply(node) == "/var/lib/etcd"
    assert step.check(node).satisfied
    assert set(node.files()) == {"/keep"}
