"""A lab machine boots, runs commands, reads its medium, and is cut off; and the lab notices when something gets out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.agent import AgentError
from tests.lab.machine import Machine, media_disk
from tests.lab.switch import Switch, private_network

OUTSIDE = "198.51.100.7"


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    with private_network(tmp_path_factory.mktemp("network") / "stray.pcap") as network:
        yield network


@pytest.fixture(scope="module")
def machine(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    media = folder / "k8s-v0.0.0-linux-amd64"
    media.mkdir()
    (media / "SHA256SUMS").write_text("carried across the gap\n")
    disk = media_disk(media, folder / "media.img")
    with Machine("cp-1", "10.77.0.11/24", switch, folder, disks=[disk], memory_bytes=1 << 30) as booted:
        yield booted


def test_commands_run_with_both_outputs_and_the_exit_code(machine: Machine) -> None:
    seen: list[bytes] = []
    done = machine.run("echo out; echo err >&2; exit 7", on_output=seen.append)
    assert (done.code, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert sorted(b"".join(seen).split()) == [b"err", b"out"]
    assert "exit code 7" in machine.log.read_text()


def test_a_command_over_its_time_is_killed_with_its_children(machine: Machine) -> None:
    with pytest.raises(AgentError, match="no end after 1 s"):
        machine.run("sleep 300 & sleep 301", timeout_seconds=1)
    assert machine.run("sleep 0.5; pgrep -c sleep").stdout == "0\n"


def test_files_go_in_and_come_out_unchanged(machine: Machine) -> None:
    data = bytes(range(256)) * 3000
    machine.write("/root/file", data)
    assert machine.read("/root/file") == data


def test_the_node_is_bare(machine: Machine) -> None:
    assert machine.run("command -v python3 zstd curl").stdout == ""
    assert machine.run("test -e /etc/resolv.conf").code != 0
    assert machine.run('test -s "/boot/config-$(uname -r)"').code == 0
    assert machine.must("cat /proc/sys/kernel/hostname") == "cp-1\n"
    assert machine.must("stat -f -c %T /sys/fs/cgroup") == "cgroup2fs\n"


def test_the_medium_is_there_and_read_only(machine: Machine) -> None:
    mount = machine.mount_media()
    assert machine.must(f"cat {mount}/k8s-v0.0.0-linux-amd64/SHA256SUMS") == "carried across the gap\n"
    assert machine.run(f"touch {mount}/mark").code != 0


def test_nothing_gets_out_and_the_attempts_are_counted(machine: Machine, switch: Switch) -> None:
    before = machine.attempts()
    assert "unreachable" in machine.run(f"ping -c 1 -W 1 {OUTSIDE}").stderr
    assert machine.run("getent hosts registry.k8s.io").code != 0
    after = machine.attempts()
    assert after.without_route > before.without_route
    assert after.look_ups > before.look_ups
    assert switch.stray().total() == 0


def test_the_switch_sees_a_packet_sent_to_the_outside(machine: Machine, switch: Switch) -> None:
    gateway = "10.77.0.1"
    machine.must(
        f"ip neigh replace {gateway} lladdr 52:54:00:00:00:01 dev eth0 && ip route add {OUTSIDE} via {gateway}"
    )
    machine.run(f"ping -c 1 -W 1 {OUTSIDE}")
    machine.must(f"ip route del {OUTSIDE}")
    assert switch.stray()[f"cp-1 -> icmp {OUTSIDE}"] == 1
    assert switch.frames() > 0


def test_two_machines_reach_each_other(machine: Machine, switch: Switch, tmp_path: Path) -> None:
    with Machine("worker-1", "10.77.0.21/24", switch, tmp_path, memory_bytes=512 << 20, cpus=1) as other:
        assert other.run(f"ping -c 2 -W 2 {machine.address}").code == 0
        assert other.must("cat /etc/machine-id") != machine.must("cat /etc/machine-id")
