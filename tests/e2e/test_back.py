"""An install that is killed, undone, reset and made anew on a real machine, with a data disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.attempts import attempt, built, disk_and_root
from tests.e2e.back import GIB, Back
from tests.lab.builds import ROOT
from tests.lab.machine import MEDIA_MOUNT
from tests.lab.phases import Phases


def test_an_install_can_be_killed_undone_and_reset(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    evidence = ROOT / "build" / "e2e-back"
    shutil.rmtree(evidence, ignore_errors=True)
    phases = Phases()
    try:
        media = built(phases, pytestconfig, tmp_path, "none")
        disk = disk_and_root(phases, media, tmp_path)
        empty = tmp_path / "empty.img"
        with empty.open("wb") as file:
            file.truncate(8 * GIB)
        place = f"{MEDIA_MOUNT}/{media.name}"
        attempt(evidence, lambda folder: Back(phases, folder, place, (disk, empty)).run())
    finally:
        print(f"\nEach phase with its time and what it said\n\n{phases.report()}\n\nlogs: {evidence}")
