"""``make e2e``: the journey. A failed attempt is repeated once on fresh machines and told as flaky."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e import usage
from tests.e2e.attempts import attempt, built, disk_and_root
from tests.e2e.journey import NODE_DNS, Journey
from tests.e2e.volumes import ADDON_FILE
from tests.lab.builds import ROOT
from tests.lab.machine import MEDIA_MOUNT
from tests.lab.phases import Phases


def test_two_isolated_machines_become_a_cluster(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    evidence = ROOT / "build" / "e2e"
    shutil.rmtree(evidence, ignore_errors=True)
    phases = Phases()
    try:
        cni: str = pytestconfig.getoption("--cni")
        addons = (NODE_DNS, usage.ADDON) if cni == "flannel" else ()
        files = (ADDON_FILE,) if addons else ()
        layers = "dense" if addons else "registry"  # a kubelet finds what it needs with either
        media = built(phases, pytestconfig, tmp_path, cni, addons=addons, files=files, layers=layers)
        disk = disk_and_root(phases, media, tmp_path)
        place = f"{MEDIA_MOUNT}/{media.name}"
        attempt(evidence, lambda folder: Journey(phases, folder, place, disk, cni, addons).run())
    finally:
        print(f"\nEach phase with its time and what it said\n\n{phases.report()}\n\nlogs: {evidence}")
