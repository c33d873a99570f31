"""The script that kills an install at a moment of its journal, with an install that only writes its journal."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.killing import AT_ITS_END, ENDED_BEFORE, kill_script
from tests.e2e.moments import BEFORE_JOURNAL, Moment

INSTALL = """\
import json, pathlib, subprocess, time
folder = pathlib.Path({folder!r})
(folder / "child").write_text(str(subprocess.Popen(["sleep", "60"], start_new_session=True).pid))
time.sleep(1)
with (folder / "20261121T000001Z-00.jsonl").open("a", buffering=1) as journal:
    for step in ("kernel/swap", "files/kubelet", "kubeadm/init"):
        for outcome in ("started", "changed"):
            journal.write(json.dumps({{"what": "step", "id": step, "outcome": outcome}}, sort_keys=True) + "\\n")
            time.sleep(1)
(folder / "finished").touch()
"""
EARLIER = '{"id": "files/kubelet", "outcome": "changed", "what": "step"}\n'


@pytest.fixture
def cgroup(tmp_path: Path) -> Iterator[Path]:
    """A control group of the test's own, or a folder in its place where none can be made."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = [Path(row[1]) for row in mounts if row[2] == "cgroup2"]
    if os.geteuid() != 0 or not found:
        yield tmp_path / "cgroup"
        return
    group = found[0] / f"killing-{os.getpid()}"
    group.mkdir()
    yield group
    (group / "cgroup.kill").write_text("1")
    while (group / "cgroup.procs").read_text():
        time.sleep(0.05)
    group.rmdir()


def run(folder: Path, cgroup: Path, moment: Moment, program: str = INSTALL) -> subprocess.CompletedProcess[str]:
    (folder / "20261120T000000Z-00.jsonl").write_text(EARLIER * 3)
    install = folder / "install.py"
    install.write_text(program.format(folder=str(folder)))
    script = kill_script(
        f"exec python3 {install}", moment, journal=str(folder), log=str(folder / "log"), cgroup=str(cgroup)
    )
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)


def journal(folder: Path) -> list[str]:
    """The outcomes in the journal of the run."""
    path = folder / "20261121T000001Z-00.jsonl"
    return [line.split('"')[3] + " " + line.split('"')[7] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("step", "records", "lines"),
    [("files/kubelet", AT_ITS_END, 4), ("files/kubelet", 1, 3), ("files/kube", 1, 6)],
)
def test_an_install_is_killed_at_a_moment_of_its_own_run(
    tmp_path: Path, cgroup: Path, step: str, records: int, lines: int
) -> None:
    done = run(tmp_path, cgroup, Moment(step, records, 0.0, whole=False))
    assert done.returncode == (ENDED_BEFORE if lines == 6 else 0), done.stderr
    assert (tmp_path / "finished").exists() == (lines == 6)
    assert len(journal(tmp_path)) == lines


def test_an_install_is_killed_before_its_journal(tmp_path: Path, cgroup: Path) -> None:
    assert run(tmp_path, cgroup, Moment(BEFORE_JOURNAL, 1, 0.6, whole=False)).returncode == 0
    assert not (tmp_path / "20261121T000001Z-00.jsonl").exists()


@pytest.mark.parametrize("whole", [True, False])
def test_what_an_install_had_started_is_killed_with_it_or_goes_on(tmp_path: Path, cgroup: Path, whole: bool) -> None:
    if not (cgroup / "cgroup.kill").exists():
        pytest.skip("needs root and a control group of version 2")
    assert run(tmp_path, cgroup, Moment("kernel/swap", 1, 0.0, whole=whole)).returncode == 0
    time.sleep(0.2)
    assert (cgroup / "cgroup.procs").read_text().split() == ([] if whole else [(tmp_path / "child").read_text()])


def test_an_install_that_fails_by_itself_is_told(tmp_path: Path, cgroup: Path) -> None:
    done = run(tmp_path, cgroup, Moment("kernel/swap", 1, 0.0, whole=False), "raise SystemExit('no medium')")
    assert done.returncode == 1
    assert "no medium" in done.stdout
