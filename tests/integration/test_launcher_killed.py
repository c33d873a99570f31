"""What an ``install`` leaves that was killed while it unpacked its Python, and that the next one removes it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from bundler.runtime import Payload
from tests.integration.test_launcher import (  # noqa: F401 - what the fixture here needs
    install,
    packed,
    payload,
    plain_root,
    pytestmark,
    run,
)


def test_what_a_killed_install_unpacked_is_removed_by_the_next(plain_root: Path, payload: Payload) -> None:  # noqa: F811
    dead = subprocess.Popen(["true"])
    dead.wait()
    digest = hashlib.sha256(payload.archive).hexdigest()
    kept = plain_root / "opt/airgap-bundle/runtime"
    of_the_dead, of_the_living, older = (
        kept / f".{digest}.{dead.pid}",
        kept / f".{digest}.{os.getpid()}",
        kept / f".{'0' * 64}.{dead.pid}",
    )
    for stage in (of_the_dead, of_the_living, older):
        (stage / "python").mkdir(parents=True)
    beside = kept.parent / "beside"
    beside.write_text("stays")
    assert run(plain_root, "--role", "cp", "--dry-run").returncode == 7
    assert of_the_dead.exists(), "who only looks removes nothing"
    assert run(plain_root, "--role", "cp").returncode == 7
    assert {path.name for path in kept.iterdir()} == {of_the_living.name, digest}
    assert beside.read_text() == "stays"
    of_the_dead.mkdir()
    for user in ("0:0", "65534:65534"):
        looked = run(plain_root, "status", user=user)
        assert (looked.returncode, looked.stderr) == (7, "")
    assert of_the_dead.exists(), "nor does it where the Python is kept already"
