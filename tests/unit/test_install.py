"""The install verb on a fake Debian machine and a real media set; each bad input is refused and changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from installer import cli
from installer.installed import PATH as RECORD_PATH
from installer.installed import Installed
from installer.join import PATH as JOIN_PATH
from installer.join import JoinFile
from installer.journal import read_runs
from installer.render.fstab import DROP_IN_PATH
from tests.fakes.debian import ADDRESS, addresses, debian
from tests.fakes.desk import Desk, desk_with
from tests.fakes.disk import DEVICE, ROOT, UUID, Disk
from tests.fakes.media import media_set
from tests.unit.test_cluster_config import JOIN

TOKEN_VALID = replace(JOIN, token_expires_seconds=1_795_086_400, certificate_key_expires_seconds=1_795_007_200)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media_set(tmp_path_factory.mktemp("medium") / "k8s")


@pytest.fixture
def desk(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return desk_with(debian(), media, tmp_path, monkeypatch, capsys)


def test_a_control_plane_is_installed_told_and_journalled(desk: Desk) -> None:
    code, said = desk.run("--role", "cp")
    assert code == 0, said
    lines = said.splitlines()
    assert lines[0].startswith("bundle     v1.30.14 linux/amd64  identity sha256:")
    assert lines[1].startswith("           verified ")
    assert lines[2] == f"node       cp-1  {ADDRESS}  Debian GNU/Linux 12 (bookworm)  kernel 6.1.0"
    assert lines[3] == "           containerd: none"
    assert lines[4].endswith("checks, 0 problems, 1 warning")
    assert lines[5].startswith("  warn  clock-source   no time source; ")
    assert any("kernel/modules " in line and " changed " in line for line in lines)
    assert any("runtime/sandbox " in line and " proven " in line for line in lines)
    assert any(line.startswith("done ") for line in lines)
    assert JOIN_PATH in said
    record = Installed.read(desk.machine.node)
    assert record
    assert (record.state, record.role, record.address, record.foreign_folders) == ("done", "cp", ADDRESS, ())
    (run,) = read_runs(desk.journal)
    assert (run.verb, run.outcome) == ("install", "done")
    token = JoinFile.from_text(desk.machine.node.read_text(JOIN_PATH) or "", where=JOIN_PATH).token
    assert token not in said + "".join(path.read_text() for path in desk.journal.glob("*.jsonl"))


def test_a_second_install_looks_and_changes_nothing_at_all(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    journal = sorted(desk.journal.iterdir())
    code, said = desk.run("--role", "cp")
    assert code == 0
    assert "nothing to do, everything is as wanted" in said
    assert " changed " not in said
    assert desk.machine.node.files() == desk.before
    assert sorted(desk.journal.iterdir()) == journal


def test_the_node_keeps_the_command(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    found = desk.machine.node.stat("/usr/local/bin/airgap-bundle")
    assert found
    assert found.mode == 0o755
    text = desk.machine.node.read_text("/usr/local/bin/airgap-bundle") or ""
    assert 'exec /opt/airgap-bundle/runtime/abc/python/bin/python3 -I -B -m installer.cli "$@"' in text


def test_the_configuration_of_the_first_install_holds_for_the_next(desk: Desk) -> None:
    text = "containerd: {root: /data/containerd}\n"
    assert desk.run("--role", "cp", "--config", desk.write("cluster.yaml", text))[0] == 0
    code, said = desk.run("--role", "cp")
    assert (code, "nothing to do" in said) == (0, True)
    record = Installed.read(desk.machine.node)
    assert record
    assert record.containerd_root == "/data/containerd"
    saved = desk.machine.node.stat("/var/lib/airgap-bundle/cluster.yaml")
    assert saved
    assert saved.mode == 0o600


def test_the_join_file_is_printed_and_renewed_once_a_part_has_ended(desk: Desk) -> None:
    node = desk.machine.node
    assert desk.run("join-file")[0] == 2
    assert desk.run("--role", "cp")[0] == 0
    first = node.read_text(JOIN_PATH)
    assert desk.run("join-file") == (0, first)
    node.sleep(3 * 3600)  # longer than the certificate key lives, shorter than the token
    code, second = desk.run("join-file")
    join = JoinFile.from_text(second, where="join.yaml")
    assert (code, second == first) == (0, False)
    join.demand_usable("cp", now_seconds=node.now_seconds(), where="join.yaml")
    found = node.stat(JOIN_PATH)
    assert found
    assert found.mode == 0o600


def test_a_medium_that_is_known_is_read_before_anything_is_mended_from_it(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    assert "installed here" in desk.run("--role", "cp")[1]
    desk.machine.node.remove("/usr/local/bin/kubectl")
    code, said = desk.run("--role", "cp")
    assert (code, "verified" in said, "files/kubectl" in said) == (0, True, True)
    desk.machine.node.remove("/usr/local/bin/kubectl")
    tarball = _copy(desk)
    data = bytearray(tarball.read_bytes())
    data[-3000] ^= 1
    tarball.write_bytes(data)
    code, said = desk.run("--role", "cp")
    assert (code, desk.machine.node.files() == desk.before) == (4, True), said


def test_a_worker_joins(desk: Desk) -> None:
    code, said = desk.run("--role", "worker", "--join", desk.write("join.yaml", TOKEN_VALID.to_text()))
    assert code == 0, said
    assert "kubeadm/join" in said
    assert "on a control-plane node:  kubectl get nodes" in said


def test_a_node_that_joined_needs_no_valid_token_to_be_looked_at_again(desk: Desk) -> None:
    join = desk.write("join.yaml", TOKEN_VALID.to_text())
    assert desk.run("--role", "worker", "--join", join)[0] == 0
    desk.machine.node.sleep(30 * 86400)
    code, said = desk.run("--role", "worker", "--join", join)
    assert (code, "nothing to do" in said) == (0, True), said


def test_an_install_that_fails_names_its_step_and_goes_on_when_run_again(desk: Desk) -> None:
    desk.machine.fail_kubeadm_once = True
    code, said = desk.run("--role", "cp")
    assert code == 1
    assert "kubeadm/init" in said
    assert "failed" in said
    assert read_runs(desk.journal)[0].outcome == "failed"
    record = Installed.read(desk.machine.node)
    assert record
    assert record.state == "started"
    code, said = desk.run("--role", "cp")
    assert code == 0, said
    changed = [line.split()[1] for line in said.splitlines() if re.match(r" +\d+/\d+ \S+ +changed", line)]
    assert changed == ["kubeadm/init", "cluster/join-file", "node/command"]
    assert [run.outcome for run in read_runs(desk.journal)] == ["failed", "done"]


def test_a_dry_run_changes_nothing_and_says_what_would(desk: Desk) -> None:
    for words in (("--role", "cp", "--dry-run"), ("plan", "--role", "cp")):
        code, said = desk.refused(*words)
        assert code == 0, said
        assert "kubeadm/init" in said
        assert "to do" in said
        assert said.endswith("nothing was changed\n")


def test_preflight_alone(desk: Desk) -> None:
    code, said = desk.refused("preflight", "--role", "cp")
    assert (code, "0 problems" in said) == (0, True)
    desk.machine.node.with_files({"/sys/devices/system/cpu/online": "0\n"})
    code, said = desk.refused("preflight", "--role", "cp")
    assert code == 3
    assert "cpus: 1" in said


def _not_root(desk: Desk) -> None:
    desk.machine.node.uid = 1000


def _other_architecture(desk: Desk) -> None:
    desk.machine.node._answers[("uname", "-m")].clear()
    desk.machine.node.script("uname -m", "aarch64\n")


def _no_such_machine(desk: Desk) -> None:
    desk.machine.node._answers[("uname", "-m")].clear()
    desk.machine.node.script("uname -m", "riscv64\n")


def _in_a_cluster(desk: Desk) -> None:
    desk.machine.node.with_files({"/etc/kubernetes/kubelet.conf": "k"})


def _two_addresses(desk: Desk) -> None:
    desk.machine.node._answers[("ip", "-j", "addr", "show")].clear()
    desk.machine.node.script("ip -j addr show", addresses((ADDRESS, 24, "ens3"), ("10.0.25.31", 24, "ens4")))


def _nothing(_desk: Desk) -> None:
    return None


def _copy(desk: Desk) -> Path:
    """The medium, copied to be damaged; the tarball's path."""
    copy = desk.folder / "medium"
    copy.mkdir()
    for path in desk.media.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    desk.media = copy
    return next(copy.glob("*.tar.zst"))


def _flipped(desk: Desk) -> None:
    tarball = _copy(desk)
    data = bytearray(tarball.read_bytes())
    data[len(data) // 2] ^= 1
    tarball.write_bytes(data)


def _truncated(desk: Desk) -> None:
    tarball = _copy(desk)
    tarball.write_bytes(tarball.read_bytes()[:-2000])


def _no_medium(desk: Desk) -> None:
    desk.media = desk.folder / "nothing-here"


@pytest.mark.parametrize(
    ("spoil", "words", "code", "says"),
    [
        (_not_root, ["--role", "cp"], 3, ["only root", "got     user 1000", "with sudo"]),
        (_other_architecture, ["--role", "cp"], 2, ["another platform", "linux/arm64", "one for linux/amd64"]),
        (_no_such_machine, ["--role", "cp"], 2, ["no bundle for this machine", "riscv64"]),
        (_flipped, ["--role", "cp"], 4, ["[integrity]"]),
        (_truncated, ["--role", "cp"], 4, ["[integrity]"]),
        (_no_medium, ["--role", "cp"], 2, ["no media set there", "nothing-here"]),
        (_nothing, ["--role", "worker"], 2, ["needs its join file", "no --join"]),
        (_nothing, ["--role", "worker", "--join", "/none/join.yaml"], 2, ["--join /none/join.yaml", "No such file"]),
        (_nothing, ["--role", "cp", "--config", "/none/c.yaml"], 2, ["--config /none/c.yaml", "No such file"]),
        (_in_a_cluster, ["--role", "cp"], 3, ["cluster: /etc/kubernetes/kubelet.conf", "already in a cluster"]),
        (_nothing, ["--role", "cp", "--address", "10.9.9.9"], 2, ["not on this machine", f"{ADDRESS}  on ens3"]),
        (_two_addresses, ["--role", "cp"], 2, [f"{ADDRESS}  on ens3", "10.0.25.31  on ens4", "--address"]),
        (_nothing, ["--address", ADDRESS], 2, ["which role"]),
        (_nothing, ["--role", "master"], 2, ["not one of 'cp', 'worker'", "[input]"]),
        (_nothing, ["--rolle", "cp"], 2, ["No such option", "[input]"]),
        (_nothing, ["--role", "cp", "plan"], 2, ["options go behind the verb"]),
    ],
)
def test_bad_input_gets_a_clear_answer_and_changes_nothing(
    desk: Desk, spoil: Callable[[Desk], None], words: list[str], code: int, says: list[str]
) -> None:
    spoil(desk)
    if words[-1] == "plan":
        got, said = cli.run(words), "".join(desk.capture.readouterr())
    else:
        got, said = desk.refused(*words)
    assert got == code, said
    assert said.splitlines()[-1].startswith("  "), said
    for part in says:
        assert part in said, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("join", "says"),
    [
        (replace(TOKEN_VALID, token_expires_seconds=1_794_999_999), ["the join file has expired", "join-file"]),
        (replace(TOKEN_VALID, kubernetes="v1.29.4"), ["different Kubernetes minors", "v1.29.4"]),
    ],
)
def test_a_join_file_that_does_not_fit_is_refused(desk: Desk, join: JoinFile, says: list[str]) -> None:
    code, said = desk.refused("--role", "worker", "--join", desk.write("join.yaml", join.to_text()))
    assert code == 2
    for part in says:
        assert part in said, said


def test_json_is_one_event_per_line_and_ends_in_done_or_error(desk: Desk) -> None:
    code, said = desk.run("--role", "cp", "--json")
    events = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert [event["event"] for event in events[:5]] == ["verifying", "bundle", "node", "preflight", "plan"]
    assert {event["event"] for event in events[5:-1]} == {"step"}
    assert events[-1]["event"] == "done"
    desk.machine.node.uid = 7
    code, said = desk.run("--role", "cp", "--json")
    assert (code, json.loads(said)["event"], json.loads(said)["exit_code"]) == (3, "error", 3)


def test_status_before_and_after(desk: Desk) -> None:
    code, said = desk.run("status")
    assert (code, said.splitlines()[0]) == (0, "installed  nothing by this tool")
    assert desk.run("--role", "cp")[0] == 0
    code, said = desk.run("status")
    assert code == 0
    assert said.startswith(f"installed  v1.30.14 as cp at {ADDRESS}  identity sha256:")
    assert "kubelet    active" in said
    assert "kubeadm/init" in said
    document = json.loads(desk.run("status", "--json")[1])
    assert document["last_outcome"] == "done"
    assert {step["outcome"] for step in document["steps"]} == {"changed", "proven", "as wanted"}


def test_a_kubelet_that_nobody_configured_is_waiting_and_not_failed(desk: Desk) -> None:
    desk.machine.node._answers[("systemctl", "is-active", "kubelet.service")].clear()
    desk.machine.node.script("systemctl is-active kubelet.service", "activating\n", code=3)
    assert "kubelet    waiting for kubeadm" in desk.run("status")[1]


def test_reset_lists_asks_and_leaves_what_was_there_before(desk: Desk) -> None:
    node = desk.machine.node
    original = node.files()
    node.with_files({"/etc/cni/net.d/99-site.conf": "theirs"})
    assert desk.run("--role", "cp")[0] == 0
    node.with_files({"/var/lib/containerd/blob": "b", "/var/lib/kubelet/pods/x": "p"})
    code, said = desk.run("reset")
    assert (code, "not confirmed" in said) == (2, True)
    assert "remove /usr/local/bin/kubelet" in said
    assert node.files() == desk.before
    code, said = desk.run("reset", "--yes")
    assert code == 0, said
    assert "/etc/cni/net.d held something before" in said
    live = {path for path in original if path.startswith("/proc/")}
    left = {path: data for path, data in node.files().items() if path not in live and not path.startswith("/proc/")}
    wanted = {path: data for path, data in original.items() if path not in live}
    assert left == wanted | {"/etc/cni/net.d/99-site.conf": b"theirs"}
    assert node.stat(RECORD_PATH) is None
    code, said = desk.run("reset", "--yes")
    assert (code, "nothing of this tool to remove" in said) == (2, True)
    assert desk.run("--role", "cp")[0] == 0


def test_a_data_disk_is_prepared_before_anything_is_put_there_and_released_by_a_reset(desk: Desk) -> None:
    disk = Disk(desk.machine.node, machine=True)
    before = disk.fstab
    code, said = desk.run("plan", "--role", "cp", "--data-disk", DEVICE)
    assert code == 0, said
    assert f"format {DEVICE} as ext4 (20.0 GB, nothing is on it)" in said
    assert disk.fstab == before
    code, said = desk.run("--role", "cp", "--data-disk", DEVICE)
    assert code == 0, said
    order = ["import" if "import" in words else words[0] for words in desk.machine.node.ran]
    assert order.index("mkfs.ext4") < order.index("mount") < order.index("import")
    assert f"UUID={UUID} {ROOT} ext4" in disk.fstab
    assert "nothing to do, everything is as wanted" in desk.run("--role", "cp", "--data-disk", DEVICE)[1]
    code, said = desk.run("reset", "--yes")
    assert code == 0, said
    assert "the data disk keeps its file system" in said
    assert (disk.fstab, disk.node.stat(DROP_IN_PATH)) == (before, None)
    assert ("umount", ROOT) in desk.machine.node.ran


def test_a_data_disk_that_holds_something_is_refused_before_anything_is_changed(desk: Desk) -> None:
    disk = Disk(desk.machine.node, machine=True)
    disk.hold("xfs", "theirs")
    code, said = desk.run("--role", "cp", "--data-disk", DEVICE)
    assert (code, f"{DEVICE} holds xfs 'theirs'" in said) == (3, True)
    assert not desk.journal.exists()


def test_help_is_shown_without_any_word_and_answers_without_the_heavy_parts(desk: Desk) -> None:
    assert cli.run([]) == 0
    assert "--role [cp|worker]" in desk.capture.readouterr().out
    assert cli.run(["--version"]) == 0
    assert "0.1.0" in desk.capture.readouterr().out


def test_an_interrupt_is_said_to_be_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("installer.install.open_bundle", interrupted)
    code, said = desk.refused("--role", "cp")
    assert code == 130
    assert "run the same command again" in said


def test_a_mistake_of_the_program_is_said_calmly_with_its_details_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("installer.install.open_bundle", broken)
    monkeypatch.setattr("tempfile.tempdir", str(desk.folder))
    code, said = desk.refused("--role", "cp")
    assert code == 1
    assert "ZeroDivisionError: oops" in said
    assert "Traceback" not in said
    (details,) = desk.folder.glob("airgap-bundle-*.txt")
    assert "Traceback" in details.read_text()
