"""The install verb on a fake Debian machine and a real media set."""

from __future__ import annotations

import json
import re

from installer.installed import Installed
from installer.join import PATH as JOIN_PATH
from installer.join import JoinFile
from installer.journal import read_runs
from installer.render.fstab import DROP_IN_PATH
from tests.fakes.debian import ADDRESS
from tests.fakes.desk import TOKEN_VALID, Desk
from tests.fakes.disk import DEVICE, ROOT, UUID, Disk
from tests.fakes.media import lab_key


def test_a_control_plane_is_installed_told_and_journalled(desk: Desk) -> None:
    code, said = desk.run("--role", "cp")
    assert code == 0, said
    lines = said.splitlines()
    assert lines[0].startswith("bundle     v1.30.14 linux/amd64  identity sha256:")
    assert lines[1].startswith("           verified ")
    assert len(lines.pop(2).split()) == 10, "the identity in words"
    signer = " ".join(line.strip() for line in (lines.pop(2), lines.pop(2)))
    assert signer == f"signer     {lab_key().signer.fingerprint} first seen here; an install records it"
    assert lines.pop(2).strip() == lab_key().signer.words
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
    assert "nothing to do, everything is as wanted" in " ".join(said.split())
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


def test_a_medium_that_is_known_is_read_before_anything_is_mended_from_it(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    assert "installed here" in desk.run("--role", "cp")[1]
    desk.machine.node.remove("/usr/local/bin/kubectl")
    code, said = desk.run("--role", "cp")
    assert (code, "verified" in said, "files/kubectl" in said) == (0, True, True)
    desk.machine.node.remove("/usr/local/bin/kubectl")
    tarball = desk.copied()
    data = bytearray(tarball.read_bytes())
    data[-3000] ^= 1
    tarball.write_bytes(data)
    code, said = desk.run("--role", "cp")
    assert (code, desk.machine.node.files() == desk.before) == (4, True), said


def test_verbs_that_need_the_medium_say_which_one_once_it_is_gone(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    desk.media = desk.folder / "empty"
    desk.media.mkdir()
    for words in (("--role", "cp"), ("plan", "--role", "cp"), ("preflight", "--role", "cp")):
        code, said = desk.run(*words)
        assert (code, desk.machine.node.files() == desk.before) == (2, True)
        assert "wanted  k8s-v1.30.14-linux-amd64, identity sha256:" in said
        assert "plug it in and run ./install there" in said
    for verb in ("status", "facts", "join-file"):
        assert desk.run(verb)[0] == 0, verb


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
    assert changed == ["kubeadm/init", "dns/coredns", "cluster/join-file", "node/command"]
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


def test_json_is_one_event_per_line_and_ends_in_done_or_error(desk: Desk) -> None:
    code, said = desk.run("--role", "cp", "--json")
    events = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    expected = ["verifying", "bundle", "trust", "node", "preflight", "plan"]
    assert [event["event"] for event in events[:6]] == expected
    assert {event["event"] for event in events[6:-2]} == {"step"}
    assert events[-2]["event"] == "phases"
    assert events[-1]["event"] == "done"
    desk.machine.node.uid = 7
    code, said = desk.run("--role", "cp", "--json")
    assert (code, json.loads(said)["event"], json.loads(said)["exit_code"]) == (3, "error", 3)


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
    assert "nothing to do" in desk.run("--role", "cp", "--data-disk", DEVICE)[1]
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
