"""The verbs for a node that is there, on a fake Debian machine: status, reset, join-file. No medium is there."""

from __future__ import annotations

import json

from installer.join import PATH as JOIN_PATH
from installer.join import JoinFile
from tests.fakes.debian import ADDRESS
from tests.fakes.desk import Desk


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
    desk.machine.node.script("systemctl is-active kubelet.service", "activating\n", code=3)
    assert "kubelet    waiting for kubeadm" in desk.run("status")[1]
