"""A bundle of 30 GiB and 600 images is built, verified and planned in the memory that a small one takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.fakes.large_bundle import LAYERS

ROOT = Path(__file__).parents[2]
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()
IMAGES, LAYER_BYTES = 600, 30 * 1024**3 // (600 * LAYERS)
MOST_BYTES = {"build": 100_000_000, "verify": 100_000_000, "plan": 70_000_000}
"""The interpreter with everything imported is 40 MB of it, the index of 2,400 layers 15 MB."""


def carried_out(verb: str, folder: Path) -> int:
    """What the verb counted, in a process of its own that stayed within its memory."""
    command = [sys.executable, "-m", "tests.fakes.large_bundle", verb, str(folder), str(IMAGES), str(LAYER_BYTES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["peak_bytes"] < MOST_BYTES[verb], verb
    return int(told["figure"])


def test_thirty_gigabytes_and_600_images(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    assert carried_out("build", folder) > 30 * 1024**3 - 1024**2
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10_000_000, "its zeros take no room"
    assert carried_out("verify", folder) > IMAGES * (LAYERS + 2)
    assert carried_out("plan", folder) > IMAGES
    for figure in ("30 GiB", "600", *(f"{most // 1_000_000} MB" for most in MOST_BYTES.values())):
        assert figure in RELIABILITY
