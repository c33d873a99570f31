"""``make e2e``: the journey. A failed attempt is repeated once on fresh machines and told as flaky."""

from __future__ import annotations

import shutil
import traceback
from contextlib import ExitStack
from pathlib import Path

import pytest

from installer.errors import OperatorError
from tests.e2e.journey import Journey
from tests.lab.builds import ROOT, build
from tests.lab.machine import MEDIA_MOUNT, media_disk
from tests.lab.phases import Phases
from tests.lab.rootfs import node_root
from tests.lab.upstream import serving

ATTEMPTS = 2
KUBERNETES = "1.30"


def test_two_isolated_machines_become_a_cluster(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    evidence = ROOT / "build" / "e2e"
    shutil.rmtree(evidence, ignore_errors=True)
    phases = Phases()
    try:
        media = _built(phases, pytestconfig, tmp_path)
        with phases.phase("Put the media set on a disk; make a bare Debian for the nodes"):
            disk = media_disk(media, tmp_path / "media.img")
            node_root()
        _attempt(phases, evidence, f"{MEDIA_MOUNT}/{media.name}", disk)
    finally:
        print(f"\nEach phase with its time and what it said\n\n{phases.report()}\n\nlogs: {evidence}")


def _built(phases: Phases, config: pytest.Config, folder: Path) -> Path:
    """The media set, built from the profile the options name."""
    profile: str = config.getoption("--profile")
    binaries: str | None = config.getoption("--binaries")
    with ExitStack() as stack:
        with phases.phase(f"Serve the {profile} upstream (the first time, this compiles Kubernetes)") as phase:
            upstream = stack.enter_context(
                serving(profile, folder / "upstream", binaries=Path(binaries) if binaries else None)
            )
            phase.say(upstream.files or "the true upstreams")
        with phases.phase("Build the bundle and verify it") as phase:
            runtime = "catalogue" if profile == "internet" else "host"
            options = ["--k8s", KUBERNETES, "--cni", "flannel", "--runtime", runtime]
            options += ["--mirror", str(upstream.mirror), "--catalog", str(upstream.catalog)]
            return build(options, folder / "dist", phase.say)


def _attempt(phases: Phases, evidence: Path, media: str, disk: Path) -> None:
    """The journey on fresh machines, twice at most; the evidence of each attempt has its own folder."""
    for number in range(1, ATTEMPTS + 1):
        folder = evidence / f"attempt-{number}"
        folder.mkdir(parents=True)
        try:
            Journey(phases, folder, media, disk).run()
        except Exception as error:
            why = "\n".join(error.lines()) if isinstance(error, OperatorError) else traceback.format_exc()
            (folder / "failure").write_text(f"{why}\n")
            print(f"\nattempt {number} failed; its logs are in {folder}\n{why}", flush=True)
            if number == ATTEMPTS:
                raise
        else:
            if number > 1:
                print(f"\nflaky: attempt {number} passed after {number - 1} failed; see {evidence}")
            return
