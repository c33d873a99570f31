"""The builder's own commands, run as an operator runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.cache import cache_root
from tests.lab.errors import LabError

ROOT = Path(__file__).parents[2]
BUNDLE = Path(sys.executable).with_name("bundle")
BUILD_SECONDS = 1200.0


def build(options: Sequence[str], out: Path, say: Callable[[str], None]) -> Path:
    """``bundle build`` and ``bundle verify`` as an operator runs them; the media set's folder."""
    shutil.rmtree(out, ignore_errors=True)
    store = cache_root() / "store"
    _told([str(BUNDLE), "build", *options, "--store", str(store), "--out", str(out)], say)
    made = [path for path in out.iterdir() if path.is_dir()]
    if len(made) != 1:
        raise LabError("bundle build left not one media set", where=str(out), got=f"{len(made)} folders")
    _told([str(BUNDLE), "verify", str(made[0])], say)
    return made[0]


def _told(argv: Sequence[str], say: Callable[[str], None]) -> None:
    """Run a command of the operator's, showing it and what it says."""
    say("$ " + " ".join([Path(argv[0]).name, *argv[1:]]))
    done = subprocess.run(
        argv,
        check=False,
        env=os.environ | {"XDG_DATA_HOME": str(cache_root() / "data")},  # the lab's signing key, not the caller's own
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=BUILD_SECONDS,
        text=True,
    )
    say(done.stdout)
    if done.returncode != 0:
        raise LabError(f"{Path(argv[0]).name} failed", where=" ".join(argv), got=f"exit code {done.returncode}")


def bundled_version(media: Path) -> str:
    """The Kubernetes version of a media set, from its name: ``1.30.14`` of ``k8s-v1.30.14-linux-amd64``."""
    return media.name.removeprefix("k8s-v").partition("-")[0]
