"""The undo verb on a fake Debian machine: what the last run changed is as it was, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from installer.errors import OperatorError
from installer.execute import StepFinished, StepStarted
from installer.journal import open_journal, read_runs
from installer.lines import take_back
from installer.recording import RecordingNode
from installer.report import TextReport
from installer.undo import plan_undo, run_to_undo
from tests.fakes.desk import Desk, cut_off_after_each_step
from tests.fakes.disk import DEVICE, ROOT, Disk
from tests.fakes.machine import StoredName
from tests.fakes.node import FakeNode
from tests.fakes.systemd import Unit
from tests.unit.test_reset import a_site, live

KUBEADM = "kubeadm/init"


def cut_before(monkeypatch: pytest.MonkeyPatch, step_id: str) -> None:
    """Has the next run stop just before this step changes anything."""
    step = TextReport.step

    def stops(report: TextReport, event: Any) -> None:
        step(report, event)
        if isinstance(event, StepStarted) and event.step.id == step_id:
            monkeypatch.setattr(TextReport, "step", step)
            raise OperatorError("cut off")

    monkeypatch.setattr(TextReport, "step", stops)


def fail_before(desk: Desk, monkeypatch: pytest.MonkeyPatch, step_id: str) -> None:
    cut_before(monkeypatch, step_id)
    code, said = desk.run("--role", "cp")
    assert (code, "cut off" in said) == (1, True), said


def test_a_run_that_failed_before_kubeadm_is_taken_back_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    a_site(desk)
    desk.machine.node.write_file("/etc/hosts", b"127.0.0.1 localhost\n", mode=0o640, gid=7)
    desk.machine.node.symlink("/run/site/resolv.conf", "/etc/resolv.conf")
    before, lived = desk.machine.node.entries(), live(desk)
    fail_before(desk, monkeypatch, KUBEADM)
    desk.machine.node.with_files({"/var/lib/containerd/blob": "b"})
    desk.machine.node.make_dir("/opt/containerd/bin")
    assert live(desk)["swaps"] != lived["swaps"]
    code, said = desk.run("undo")
    assert (code, "not confirmed" in said, "put back /etc/hosts" in said) == (2, True, True)
    assert desk.machine.node.files() == desk.before
    code, said = desk.run("undo", "--yes")
    assert code == 0, said
    assert desk.machine.node.entries() == before
    assert live(desk) == lived
    assert all(len(line) <= 80 or " " not in line[8:] for line in said.splitlines()), said
    code, said = desk.run("undo", "--yes")
    assert (code, "nothing to undo" in said) == (2, True)
    assert desk.run("--role", "cp")[0] == 0


def test_a_data_disk_of_the_run_is_emptied_and_unmounted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(desk.machine.node, machine=True)
    before, entries = disk.fstab, desk.machine.node.entries()
    cut_before(monkeypatch, KUBEADM)
    assert desk.run("--role", "cp", "--data-disk", DEVICE)[0] == 1
    desk.machine.node.with_files({f"{ROOT}/blob": "b"})
    assert disk.node.query(["findmnt", "--mountpoint", ROOT]).ok
    code, said = desk.run("undo", "--yes")
    assert code == 0, said
    assert "the data disk keeps its file system" in said
    assert not disk.node.query(["findmnt", "--mountpoint", ROOT]).ok
    assert (disk.fstab, desk.machine.node.entries()) == (before, entries)
    assert desk.run("--role", "cp", "--data-disk", DEVICE)[0] == 0


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_a_run_that_began_kubeadm_is_not_undone_and_reset_is_named(desk: Desk, outcome: str) -> None:
    desk.machine.fail_kubeadm_once = outcome == "failed"
    assert desk.run("--role", "cp")[0] == (1 if outcome == "failed" else 0)
    ran = len(desk.machine.node.ran)
    code, said = desk.run("undo", "--yes")
    assert (code, "airgap-bundle reset" in said, outcome in said) == (2, True, True), said
    assert desk.machine.node.files() == desk.before
    assert len(desk.machine.node.ran) == ran


def test_only_the_last_run_is_taken_back_and_then_the_one_before(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    node = desk.machine.node
    before = node.entries()
    fail_before(desk, monkeypatch, "runtime/config")
    after_first = node.entries()
    fail_before(desk, monkeypatch, KUBEADM)
    assert node.entries() != after_first
    assert desk.run("undo", "--yes")[0] == 0
    assert node.entries() == after_first
    assert desk.run("undo", "--yes")[0] == 0
    assert node.entries() == before


def test_a_later_run_on_a_node_of_a_cluster_is_taken_back(desk: Desk) -> None:
    node = desk.machine.node
    assert desk.run("--role", "cp")[0] == 0
    node.write_file("/usr/local/bin/kubectl", b"the site's own", mode=0o700, uid=5)
    drifted = node.entries()
    units = {name: unit.pid for name, unit in desk.machine.units.items()}
    assert desk.run("--role", "cp")[0] == 0
    assert desk.run("undo", "--yes")[0] == 0
    assert node.entries() == drifted
    assert {name: unit.pid for name, unit in desk.machine.units.items()} == units, "no service had to stop"


def test_images_of_the_run_go_from_a_store_of_the_site(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = desk.machine
    machine.node.with_files({"/var/lib/containerd/site": "s", "/usr/local/bin/ctr": ""})
    machine.images = {"site/app:1": StoredName("sha256:" + "1" * 64)}
    fail_before(desk, monkeypatch, KUBEADM)
    assert len(machine.images) > 3
    assert desk.run("undo", "--yes")[0] == 0
    assert set(machine.images) == {"site/app:1"}
    assert machine.node.read_text("/var/lib/containerd/site") == "s"


def test_a_unit_that_was_enabled_and_running_is_so_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    node, path = desk.machine.node, "/etc/systemd/system/containerd.service"
    node.with_files({path: "the site's"})
    desk.machine.units["containerd.service"] = Unit(enabled=True, pid=55, text=b"the site's")
    node.symlink(path, "/etc/systemd/system/multi-user.target.wants/containerd.service")
    before = node.entries()
    fail_before(desk, monkeypatch, KUBEADM)
    assert desk.run("undo", "--yes")[0] == 0
    found = desk.machine.units["containerd.service"]
    assert (found.enabled, found.pid != 0, found.text) == (True, True, b"the site's")
    assert node.entries() == before


def test_an_undo_that_is_cut_off_after_any_step_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    a_site(desk)
    before, lived = desk.machine.node.entries(), live(desk)
    fail_before(desk, monkeypatch, KUBEADM)
    assert cut_off_after_each_step(desk, monkeypatch, "undo", "--yes") >= 6
    assert desk.machine.node.entries() == before
    assert live(desk) == lived


def test_an_install_after_half_an_undo_ends_well_and_reset_still_leads_to_the_beginning(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_site(desk)
    before, lived = desk.machine.node.entries(), live(desk)
    fail_before(desk, monkeypatch, KUBEADM)
    step = TextReport.step

    def cuts(report: TextReport, event: Any) -> None:
        step(report, event)
        if isinstance(event, StepFinished) and event.result.step_id == "undo/files":
            raise OperatorError("cut off")

    monkeypatch.setattr(TextReport, "step", cuts)
    assert desk.run("undo", "--yes")[0] == 1
    monkeypatch.setattr(TextReport, "step", step)
    assert desk.run("--role", "cp")[0] == 0
    assert desk.run("reset", "--yes")[0] == 0
    assert desk.machine.node.entries() == before
    assert live(desk) == lived


def test_what_the_site_made_after_an_undo_survives_a_later_reset(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_before(desk, monkeypatch, KUBEADM)
    assert desk.run("undo", "--yes")[0] == 0
    desk.machine.node.with_files({"/etc/crictl.yaml": "the site's own"})
    assert desk.run("--role", "cp")[0] == 0
    assert desk.run("reset", "--yes")[0] == 0
    assert desk.machine.node.read_text("/etc/crictl.yaml") == "the site's own"


def test_a_reset_that_was_begun_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.run("--role", "cp")[0] == 0
    cut_before(monkeypatch, "reset/restore")
    assert desk.run("reset", "--yes")[0] == 1
    code, said = desk.run("undo", "--yes")
    assert (code, "a reset was begun here" in said) == (2, True)


def test_only_root_and_only_where_there_was_a_run(desk: Desk) -> None:
    assert "no run at all" in desk.run("undo", "--yes")[1]
    desk.machine.node.uid = 1000
    assert desk.run("undo", "--yes")[0] == 3


def test_json_lists_first_and_then_tells_step_by_step(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_before(desk, monkeypatch, KUBEADM)
    code, said = desk.run("undo", "--yes", "--json")
    events = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert [events[0]["event"], events[-1]["event"]] == ["plan", "done"]
    assert {event["event"] for event in events[1:-1]} == {"step"}
    run = read_runs(desk.journal)[-1]
    assert (run.verb, run.outcome, run.undoes) == ("undo", "done", read_runs(desk.journal)[0].name)


@pytest.mark.parametrize(
    ("before", "after", "now", "wanted"),
    [
        ("a\nb\n", "a\nb\nours\n", "a\nb\nours\ntheirs\n", "a\nb\ntheirs\n"),
        ("a\nb\n", "a\nb\nours\n", "theirs\na\nb\n", "theirs\na\nb\n"),
        ("/ x\nswap s\n", "/ x\n# swap s\n", "/ x\n# swap s\n/data y\n", "/ x\nswap s\n/data y\n"),
        ("/ x\nswap s\n", "/ x\n# swap s\n", "/ x\nswap s\n/data y\n", "/ x\nswap s\n/data y\n"),
        ("/ x\nswap s\n", "/ x\n# swap s\n", "/ x\n", None),
        ("a\ngone\nb\n", "a\nb\n", "a\nb\ntheirs\n", "a\ngone\nb\ntheirs\n"),
        ("a\ngone\nb\n", "a\nb\n", "b\n", None),
        ("a", "a\nours\n", "a\nours\ntheirs\n", "a\ntheirs\n"),
    ],
)
def test_one_change_is_taken_out_of_a_text_that_others_changed(
    before: str, after: str, now: str, wanted: str | None
) -> None:
    found = take_back(before.encode(), after.encode(), now.encode())
    assert found == (None if wanted is None else wanted.encode())
    if found is not None:
        assert take_back(before.encode(), after.encode(), found) == found


def test_what_helm_changed_in_the_cluster_is_said_to_stay(tmp_path: Path) -> None:
    node = FakeNode().script(["/usr/local/bin/helm", "upgrade"])
    with open_journal(tmp_path, "install") as journal:
        RecordingNode(node, journal).run(["/usr/local/bin/helm", "upgrade"], timeout_seconds=1)
    run = run_to_undo(tmp_path)
    assert "what the run changed in the cluster stays" in plan_undo(node, tmp_path, run).notes
