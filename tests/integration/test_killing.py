"""The script that kills an install after a step, with an install that only writes its journal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.killing import ENDED_BEFORE, kill_script

INSTALL = """\
import json, pathlib, time
folder = pathlib.Path({folder!r})
with (folder / "20261121T000001Z-00.jsonl").open("a", buffering=1) as journal:
    for step in ("kernel/swap", "files/kubelet", "kubeadm/init"):
        for outcome in ("started", "changed"):
            journal.write(json.dumps({{"what": "step", "id": step, "outcome": outcome}}, sort_keys=True) + "\\n")
        time.sleep(1)
(folder / "finished").touch()
"""


@pytest.mark.parametrize(("step", "code"), [("files/kubelet", 0), ("files/kube", ENDED_BEFORE)])
def test_an_install_is_killed_after_a_step_of_its_own_run(tmp_path: Path, step: str, code: int) -> None:
    earlier = '{"id": "files/kubelet", "outcome": "changed", "what": "step"}\n'
    (tmp_path / "20261120T000000Z-00.jsonl").write_text(earlier * 3)
    program = tmp_path / "install.py"
    program.write_text(INSTALL.format(folder=str(tmp_path)))
    script = kill_script(f"exec python3 {program}", step, journal=str(tmp_path), log=str(tmp_path / "log"))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "finished").exists() == (code == ENDED_BEFORE)
    assert ("kubeadm/init" in (tmp_path / "20261121T000001Z-00.jsonl").read_text()) == (code == ENDED_BEFORE)
