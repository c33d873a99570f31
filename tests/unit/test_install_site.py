"""Installing where the site has a containerd of its own: planned to the line, kept, and given back by a reset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from installer.installed import Installed
from installer.render.containerd import CONFIG_PATH
from installer.steps.siteruntime import KEPT_SUFFIX
from tests.fakes.debian import debian
from tests.fakes.desk import Desk, desk_with
from tests.fakes.media import media_set
from tests.fakes.small_bundle import PAUSE
from tests.fakes.systemd import Unit

MINE = """\
# ours, ask Ops
version = 2
root = "/data/site"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.plant.example/pause:3.6" # old
  max_container_log_line_size = 7777
"""


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media_set(tmp_path_factory.mktemp("medium") / "k8s")


@pytest.fixture
def desk(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    machine = debian().with_site_containerd(MINE)
    machine.node.with_files({"/data/site/blob": "the site's"})
    return desk_with(machine, media, tmp_path, monkeypatch, capsys)


def test_the_plan_shows_the_exact_difference_and_changes_nothing(desk: Desk) -> None:
    code, said = desk.refused("plan", "--role", "cp")
    assert code == 0, said
    lines = [line.strip() for line in said.splitlines()]
    start = lines.index(f"edit {CONFIG_PATH}")
    assert lines[start + 1] == f"keep the old file as {CONFIG_PATH}{KEPT_SUFFIX}"
    assert all(len(line) <= 80 for line in said.splitlines()[start : start + 2])
    assert '-  sandbox_image = "registry.plant.example/pause:3.6" # old' in lines
    assert f'+  sandbox_image = "{PAUSE}" # old' in lines
    assert '+[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]' in lines
    assert "+  SystemdCgroup = true" in lines
    assert not [line for line in lines if line.startswith(("-", "+")) and "7777" in line]
    assert "restart containerd.service; containers keep running" in lines
    assert "place /usr/local/sbin/runc" not in said
    assert "containerd 1.7.24 at /usr/bin/containerd stays the site's" in said


def test_it_is_kept_and_a_second_install_changes_nothing(desk: Desk) -> None:
    node = desk.machine.node
    code, said = desk.run("--role", "cp")
    assert code == 0, said
    assert node.read_text(CONFIG_PATH + KEPT_SUFFIX) == MINE
    assert [line for line in MINE.splitlines() if line not in (node.read_text(CONFIG_PATH) or "").splitlines()] == [
        '  sandbox_image = "registry.plant.example/pause:3.6" # old'
    ]
    for path in ("/usr/local/bin/containerd", "/usr/local/bin/ctr", "/usr/local/sbin/runc"):
        assert node.stat(path) is None, "it would come before the site's own on the path"
    assert node.stat("/etc/systemd/system/containerd.service") is None
    record = Installed.read(node)
    assert record is not None
    assert (record.containerd_owner, record.containerd_root) == ("site", "/data/site")
    ran = len(desk.machine.changes)
    code, said = desk.run("--role", "cp")
    assert (code, "nothing to do" in said) == (0, True)
    assert not [words for words in desk.machine.changes[ran:] if "restart" in words]


def test_a_restart_that_fails_brings_the_old_file_back(desk: Desk) -> None:
    desk.machine.systemd.fail_restart_of = "containerd.service"
    code, said = desk.run("--role", "cp")
    assert (code, "systemctl failed" in said) == (1, True)
    assert desk.machine.node.read_text(CONFIG_PATH) == MINE
    assert desk.machine.loaded_config == MINE
    assert desk.run("--role", "cp")[0] == 0


def test_a_reset_gives_it_back_as_it_was_and_running(desk: Desk) -> None:
    node = desk.machine.node
    assert desk.run("--role", "cp")[0] == 0
    code, said = desk.run("reset", "--yes")
    assert code == 0, said
    assert "containerd and /data/site are the site's and stay" in said
    assert (node.read_text(CONFIG_PATH), desk.machine.loaded_config) == (MINE, MINE)
    assert node.stat(CONFIG_PATH + KEPT_SUFFIX) is None
    assert node.read_text("/data/site/blob") == "the site's"
    assert desk.machine.units["containerd.service"].pid
    assert desk.run("--role", "cp")[0] == 0


def test_a_file_the_site_changed_since_is_not_taken_back(desk: Desk) -> None:
    node = desk.machine.node
    assert desk.run("--role", "cp")[0] == 0
    newer = (node.read_text(CONFIG_PATH) or "") + "# and more\n"
    node.with_files({CONFIG_PATH: newer})
    code, said = desk.run("reset", "--yes")
    assert code == 0, said
    assert f"{CONFIG_PATH} was changed since the install" in said
    assert (node.read_text(CONFIG_PATH), node.read_text(CONFIG_PATH + KEPT_SUFFIX)) == (newer, MINE)


def test_whoever_wants_the_bundle_s_own_is_told_to_remove_the_site_s(desk: Desk) -> None:
    config = desk.write("cluster.yaml", "containerd: {owner: installer}\n")
    code, said = desk.refused("--role", "cp", "--config", config)
    assert (code, "containerd.owner: site" in said) == (3, True)


def test_another_root_than_the_site_s_is_refused_with_both(desk: Desk) -> None:
    config = desk.write("cluster.yaml", "containerd: {root: /var/lib/elsewhere}\n")
    code, said = desk.refused("--role", "cp", "--config", config)
    assert code == 2
    assert "/data/site, as /etc/containerd/config.toml says" in said
    assert "/var/lib/elsewhere" in said


def test_an_owner_does_not_change_under_a_cluster(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    config = desk.write("cluster.yaml", "containerd: {owner: installer}\n")
    code, said = desk.run("--role", "cp", "--config", config)
    assert (code, "does not change under a cluster" in said) == (3, True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[plugins.cri]\nsandbox_image = 'x'\n", "schema 1"),
        ("version = 2\nplugins = {}\n", "cannot be edited"),
        ("version = 2\nversion = 2\n", "not TOML"),
        ("version = 2\n[grpc]\naddress = '/run/site.sock'\n", "the kubelet asks"),
    ],
)
def test_what_only_the_site_can_change_is_refused_before_anything_is(desk: Desk, text: str, named: str) -> None:
    desk.machine.node.with_files({CONFIG_PATH: text})
    code, said = desk.refused("--role", "cp")
    assert (code, named in said) in ((2, True), (3, True)), said


def test_a_unit_that_runs_with_another_file_is_followed_there(desk: Desk) -> None:
    node = desk.machine.node
    node.with_files({"/etc/plant/containerd.toml": MINE})
    start = "{ path=/usr/bin/containerd ; argv[]=/usr/bin/containerd --config /etc/plant/containerd.toml ; x=y }"
    words = ["systemctl", "show", "containerd.service", "--property=LoadState,ExecStart"]
    node.script(words, f"LoadState=loaded\nExecStart={start}\n")
    facts = json.loads(desk.run("facts", "--json")[1])["runtime"]
    assert (facts["program"], facts["config_path"]) == ("/usr/bin/containerd", "/etc/plant/containerd.toml")
    assert "edit /etc/plant/containerd.toml" in desk.refused("plan", "--role", "cp")[1]


def test_one_that_does_not_run_yet_is_started_at_boot_too(desk: Desk) -> None:
    desk.machine.units["containerd.service"] = Unit(program="/usr/bin/containerd")
    code, said = desk.run("--role", "cp")
    assert code == 0, said
    assert desk.machine.units["containerd.service"].enabled
