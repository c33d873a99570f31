"""``status`` on a node that drifted: every installed thing is as installed, changed or missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from installer.drift import find_drift
from installer.history import effective_runs
from installer.join import PATH as JOIN_PATH
from installer.journal import read_runs
from tests.fakes.desk import TOKEN_VALID, Desk

CONFIG = "/etc/containerd/config.toml"
IMAGE = "registry.k8s.io/etcd:3.5.15-0"


@pytest.fixture
def node(desk: Desk) -> Desk:
    """A control plane, installed beside lines of the site."""
    desk.machine.node.with_files({"/etc/hosts": "127.0.0.1 localhost\n"})
    assert desk.run("--role", "cp")[0] == 0
    return desk


def items(desk: Desk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(desk.run("status", "--json")[1])["items"]
    return found


def strayed(desk: Desk) -> list[tuple[str, str, str]]:
    return [(item["kind"], item["name"], item["state"]) for item in items(desk) if item["state"] != "as installed"]


def test_after_an_install_everything_is_as_installed(node: Desk) -> None:
    found = items(node)
    assert {item["state"] for item in found} == {"as installed"}
    names = {item["name"] for item in found}
    wanted = {CONFIG, "/usr/local/bin/kubelet", "/opt/cni/bin/bridge", "/etc/hosts", "/etc/fstab", "kubelet.service"}
    assert wanted | {"containerd.service", "net.ipv4.ip_forward", IMAGE, "/usr/local/bin/airgap-bundle"} <= names
    assert {item["kind"] for item in found} == {"file", "unit", "sysctl", "image", "configmap"}
    assert "things as installed" in node.run("status")[1]
    assert "puts it back" not in node.run("status")[1]


def _write(path: str, text: str) -> Callable[[Desk], None]:
    return lambda desk: desk.machine.node.write_file(path, text.encode())


def _remove(path: str) -> Callable[[Desk], None]:
    return lambda desk: desk.machine.node.remove(path)


def _mode(desk: Desk) -> None:
    data = desk.machine.node.read_bytes("/usr/local/bin/kubectl") or b""
    desk.machine.node.write_file("/usr/local/bin/kubectl", data, mode=0o700)


def _stop(desk: Desk) -> None:
    desk.machine.units["containerd.service"].pid = 0


def _stop_kubelet(desk: Desk) -> None:
    desk.machine.units["kubelet.service"].pid = 0


def _disable(desk: Desk) -> None:
    desk.machine.units["kubelet.service"].enabled = False


def _unpin(desk: Desk) -> None:
    desk.machine.images[IMAGE].labels = []


def _drop_image(desk: Desk) -> None:
    del desk.machine.images[IMAGE]


def _append(path: str, text: str) -> Callable[[Desk], None]:
    def append(desk: Desk) -> None:
        desk.machine.node.write_file(path, (desk.machine.node.read_bytes(path) or b"") + text.encode())

    return append


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (_write(CONFIG, "theirs"), [("file", CONFIG, "changed")]),
        (_append(CONFIG, "# theirs\n"), [("file", CONFIG, "changed")]),
        (_remove("/opt/cni/bin/bridge"), [("file", "/opt/cni/bin/bridge", "missing")]),
        (_mode, [("file", "/usr/local/bin/kubectl", "changed")]),
        (_stop_kubelet, [("unit", "kubelet.service", "changed")]),
        (_disable, [("unit", "kubelet.service", "changed")]),
        (_write("/proc/sys/net/ipv4/ip_forward", "0\n"), [("sysctl", "net.ipv4.ip_forward", "changed")]),
        (_write("/proc/sys/fs/inotify/max_user_instances", "99999\n"), []),
        (_unpin, [("image", IMAGE, "changed")]),
        (_drop_image, [("image", IMAGE, "missing")]),
        (_append("/etc/hosts", "10.9.9.9 printer\n"), []),
        (_append("/etc/fstab", "UUID=9 /data xfs defaults 0 2\n"), []),
        (_write("/etc/hosts", "127.0.0.1 localhost\n10.9.9.9 printer\n"), [("file", "/etc/hosts", "changed")]),
        (_write("/etc/fstab", "UUID=2\tnone\tswap\tsw\t0 0\n"), [("file", "/etc/fstab", "changed")]),
        (_remove(JOIN_PATH), []),
    ],
)
def test_what_strays_is_named_with_its_state(
    node: Desk, spoil: Callable[[Desk], None], wanted: list[tuple[str, str, str]]
) -> None:
    spoil(node)
    assert strayed(node) == wanted
    assert node.machine.node.files() == node.before


def test_a_containerd_that_does_not_run_is_told_as_one_thing(node: Desk) -> None:
    _stop(node)
    assert strayed(node) == [("unit", "containerd.service", "changed"), ("image", "14 names", "changed")]


def test_it_is_told_with_digests_and_with_what_puts_it_back(node: Desk) -> None:
    node.machine.node.write_file(CONFIG, b"theirs")
    node.machine.node.remove("/usr/local/bin/kubectl")
    code, said = node.run("status")
    lines = said.splitlines()
    at = lines.index(f"  changed  file {CONFIG}")
    assert lines[at + 1].startswith("           wanted sha256:")
    assert "  got sha256:" in lines[at + 1]
    assert "  missing  file /usr/local/bin/kubectl" in lines
    assert "next       sudo ./install --role cp  puts it back, from the medium" in lines
    assert any(line.startswith("           k8s-v1.30.14-linux-amd64, identity sha256:") for line in lines)
    assert (code, [line for line in lines if len(line) > 80]) == (0, [])
    assert node.run("--role", "cp")[0] == 0
    assert strayed(node) == []


def test_a_worker_is_told_to_bring_its_join_file(desk: Desk) -> None:
    join = desk.write("join.yaml", TOKEN_VALID.to_text())
    assert desk.run("--role", "worker", "--join", join)[0] == 0
    assert strayed(desk) == []
    desk.machine.node.remove("/usr/local/bin/kubelet")
    assert "sudo ./install --role worker --join join.yaml  puts it back" in desk.run("status")[1]


def test_after_a_reset_nothing_was_installed(node: Desk) -> None:
    assert node.run("reset", "--yes")[0] == 0
    assert find_drift(node.machine.node, effective_runs(read_runs(node.journal)), node.journal) == ()
    assert node.run("status")[1].splitlines()[0] == "installed  nothing by this tool"
