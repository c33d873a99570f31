"""``make demo``, as the README's reader runs it."""

from __future__ import annotations

import subprocess

from tests.readme import ROOT


def test_make_demo_shows_the_main_job() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "demo"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    print(done.stdout)
    assert done.returncode == 0
    for shown in ("./install --role cp", "cilium/ready", "What was real", "What was a stand-in", "For a real cluster"):
        assert shown in done.stdout
