"""A real etcd's list of members is read as it is, and the member that never started is removed by its id."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.etcd import find_ghost, read_members
from tests.lab import debian

PACKAGES = ("etcd-client", "etcd-server")
OURS = "http://127.0.0.9:2380"
START_SECONDS = 60.0


@pytest.fixture
def etcdctl(tmp_path: Path) -> Iterator[list[str]]:
    """The client of a running etcd of one member, ``cp-1``."""
    programs = debian.unpacked(PACKAGES) / "usr" / "bin"
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        client, peer = (f"http://127.0.0.1:{found.getsockname()[1]}" for found in (one, other))
    argv = [str(programs / "etcd"), "--name", "cp-1", "--data-dir", str(tmp_path / "etcd")]
    argv += ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]
    argv += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"cp-1={peer}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        command = [str(programs / "etcdctl"), "--endpoints", client]
        ends = time.monotonic() + START_SECONDS
        while _run([*command, "endpoint", "health"]).returncode != 0:
            assert time.monotonic() < ends, (tmp_path / "log").read_text()
            time.sleep(0.2)
        yield command
    finally:
        process.kill()
        process.wait()


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | {"ETCDCTL_API": "3"})


def test_the_member_of_a_join_that_failed_is_found_and_removed(etcdctl: list[str]) -> None:
    assert _run([*etcdctl, "member", "add", "cp-2", "--learner", f"--peer-urls={OURS}"]).returncode == 0
    listed = _run([*etcdctl, "member", "list", "-w", "json"]).stdout
    verdict = find_ghost(read_members(listed), name="cp-2", peer_url=OURS)
    assert verdict.ghost is not None, listed
    assert (verdict.ghost.name, verdict.ghost.is_learner) == ("", True)
    assert _run([*etcdctl, "member", "remove", verdict.ghost.hex_id]).returncode == 0
    (left,) = read_members(_run([*etcdctl, "member", "list", "-w", "json"]).stdout)
    assert (left.name, left.is_learner) == ("cp-1", False)
