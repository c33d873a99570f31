"""``make e2e-ha``: three control planes and two workers, one of them powered off. Not part of ``make e2e``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.attempts import attempt, built, disk_and_root
from tests.e2e.ha import HighAvailability
from tests.lab.builds import ROOT
from tests.lab.machine import MEDIA_MOUNT
from tests.lab.phases import Phases


def test_a_cluster_works_on_with_a_control_plane_powered_off(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    evidence = ROOT / "build" / "e2e-ha"
    shutil.rmtree(evidence, ignore_errors=True)
    phases = Phases()
    try:
        media = built(phases, pytestconfig, tmp_path, "flannel")
        disk = disk_and_root(phases, media, tmp_path)
        place = f"{MEDIA_MOUNT}/{media.name}"
        attempt(evidence, lambda folder: HighAvailability(phases, folder, place, disk).run())
    finally:
        print(f"\nEach phase with its time and what it said\n\n{phases.report()}\n\nlogs: {evidence}")
