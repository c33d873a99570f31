"""The lock on a node between real processes: one holds it, is killed, and another has it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """\
import subprocess, sys, time
from pathlib import Path
from installer import cli, terminal
from installer.nodelock import node_lock
import installer.journal

folder = Path(sys.argv[1])

def work() -> None:
    with node_lock(folder, sys.argv[2]):
        with installer.journal.open_journal(folder, sys.argv[2]) as journal:
            journal.record("step", id="kubeadm/init", outcome="started")
            child = subprocess.Popen(["sleep", "60"]) if sys.argv[3] == "hangs" else None
            print("holds", child.pid if child else "", flush=True)
            if child:
                child.wait()

cli.cli.main = lambda *_args, **_more: work()
sys.exit(cli.run([]))
"""


def start(folder: Path, verb: str, how: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", RUN, str(folder), verb, how]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_the_second_says_who_has_it_and_gets_it_once_the_first_is_killed(tmp_path: Path, sign: signal.Signals) -> None:
    folder = tmp_path / "journal"
    with start(folder, "install", "hangs") as first:
        assert first.stdout is not None
        word, child = first.stdout.readline().split()
        try:
            second = start(folder, "reset", "ends")
            said = second.communicate(timeout=30)[1]
            assert (word, second.returncode) == ("holds", 3)
            assert said.splitlines()[0] == "error: another run is changing this machine  [preflight]"
            assert f"got     install, process {first.pid}, since 20" in said
            assert f"ps -fp {first.pid}" in said
            first.send_signal(sign)
            first.wait(30)
            third = start(folder, "reset", "ends")  # the program that the first had started still runs
            assert third.communicate(timeout=30)[0] == "holds \n"
            assert third.returncode == 0
        finally:
            os.kill(int(child), signal.SIGKILL)
    assert (folder / "lock").read_text() == ""
    assert len(list(folder.glob("*.jsonl"))) == 2


def test_of_many_at_once_one_at_a_time_has_it(tmp_path: Path) -> None:
    started = [start(tmp_path / "state/journal", f"verb{number}", "ends") for number in range(8)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in started]
    assert {code for _, code in ended} <= {0, 3}
    went = sum(code == 0 for _, code in ended)
    assert went >= 1
    assert len(list((tmp_path / "state/journal").glob("*.jsonl"))) == went
