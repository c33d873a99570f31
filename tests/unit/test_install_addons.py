"""The install verb with a bundle that brings its pod network: what the operator reads, and what is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from installer.journal import read_runs
from tests.fakes.addons import FLANNEL
from tests.fakes.cluster import Workload
from tests.fakes.debian import debian
from tests.fakes.desk import Desk, desk_with
from tests.fakes.media import media_set
from tests.fakes.small_bundle import small_bundle

KEY = "kube-flannel/daemonset/kube-flannel-ds"
OWN = "addons: {flannel: {values: {flannel: {backend: host-gw, psk: very-secret-text}}}}\n"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media_set(tmp_path_factory.mktemp("medium") / "k8s", small_bundle(addons=(FLANNEL,)))


@pytest.fixture
def desk(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    machine = debian()
    machine.network = KEY
    machine.cluster.workloads[KEY] = Workload("flannel", takes_seconds=30)
    return desk_with(machine, media, tmp_path, monkeypatch, capsys)


def test_a_plan_tells_of_the_pod_network_and_what_it_lacks(desk: Desk) -> None:
    code, said = desk.refused("plan", "--role", "cp")
    assert code == 0, said
    told = " ".join(said.split())
    assert "pod network flannel v0.28.9 (chart first-seen, https://example.net/flannel.tgz)" in told
    assert "NetworkPolicy objects have no effect with flannel" in told
    assert "helm upgrade --install flannel /var/lib/airgap-bundle/charts/flannel-v0.28.9.tgz" in told


def test_a_control_plane_is_ready_with_its_pod_network_and_the_journal_holds_no_value(desk: Desk) -> None:
    code, said = desk.run("--role", "cp", "--config", desk.write("cluster.yaml", OWN))
    assert code == 0, said
    assert "cp-1 is Ready" in said
    assert "kube-flannel-ds 1 of 1 pod ready" in said
    assert max(len(line) for line in said.splitlines() if "flannel" in line) <= 80
    lines = "".join(path.read_text() for path in desk.journal.glob("*.jsonl"))
    assert "very-secret-text" not in said + lines
    assert "very-secret-text" in desk.machine.cluster.release("kube-flannel", "flannel").values["flannel"]["psk"]  # type: ignore[union-attr]
    code, said = desk.run("--role", "cp")
    assert (code, "nothing to do" in said) == (0, True), said
    assert len(read_runs(desk.journal)) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("addons: {cilium: {values: {}}}", ["no such add-on", "addons.cilium", "one of flannel"]),
        ("addons: {flannel: {values: {podCidr: 10.1.0.0/16}}}", ["different addresses", "10.244.0.0/16"]),
        ("addons: {flannel: {values: {x: '${nodeCidr}'}}}", ["unknown fact ${nodeCidr}", "podSubnet"]),
    ],
)
def test_values_that_cannot_be_used_are_refused_before_anything_is_changed(
    desk: Desk, text: str, says: list[str]
) -> None:
    code, said = desk.refused("--role", "cp", "--config", desk.write("cluster.yaml", text))
    assert code == 2, said
    for part in says:
        assert part in said, said


def test_reset_leaves_nothing_of_the_pod_network(desk: Desk) -> None:
    node = desk.machine.node
    assert desk.run("--role", "cp")[0] == 0
    node.with_files({"/etc/cni/net.d/10-flannel.conflist": "c", "/opt/cni/bin/flannel": "f"})
    code, said = desk.run("reset", "--yes")
    assert code == 0, said
    left = [path for path in node.files() if not path.startswith(("/proc/", "/sys/"))]
    assert not [path for path in left if "flannel" in path or "cni" in path or "airgap-bundle" in path], left
