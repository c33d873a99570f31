# ruff: noqa: F811 - a fixture's name is its argument's
"""``install`` where disks are full, small, read-only or without exec, mounted in a namespace of their own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from bundler.runtime import Payload, unpacked_kib
from tests.integration.test_launcher import (  # noqa: F401 - fixtures  # noqa: F401 - fixtures
    MEDIA,
    busybox_root,
    install,
    listing,
    packed,
    payload,
    plain_root,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
STEPS = 6
"""How many sizes of /opt are tried, a sixth of the need apart, on both sides of it."""
Done = subprocess.CompletedProcess[str]


def run(root: Path, mounts: dict[str, str], *words: str) -> Done:
    """Runs ``install`` with file systems in memory mounted in the root, by folder and with these options; what is left
    on them is said below the output.
    """
    for folder in mounts:
        (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    script = "".join(f"mount -t tmpfs -o {options} tmpfs {root}{folder}\n" for folder, options in mounts.items())
    script = f"set -e\n{script}set +e\nchroot {root} {MEDIA}/install {' '.join(words)}\ncode=$?\n"
    script += "".join(f"ls -AR {root}{folder} | grep airgap | sed s/^/left/ >&2\n" for folder in mounts)
    argv = ["unshare", "--mount", "/bin/sh", "-c", f"{script}exit $code"]
    env = {"PATH": "/bin:/usr/bin:/sbin:/usr/sbin", "HOME": "/root"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=120)
    if "unshare failed" in done.stderr or "permission denied" in done.stderr:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    return done


@pytest.mark.parametrize(
    ("noexec", "runs_from"),
    [
        (["/tmp"], "/var/tmp"),
        (["/tmp", "/var/tmp"], "/run"),
        (["/tmp", "/var/tmp", "/run", "/dev/shm"], "/root"),
    ],
)
def test_where_programs_are_forbidden_it_runs_from_elsewhere(
    plain_root: Path,
    noexec: list[str],
    runs_from: str,
) -> None:
    for folder in ("var/tmp", "run", "dev/shm"):
        (plain_root / folder).mkdir(parents=True, exist_ok=True)
    before = listing(plain_root)
    done = run(plain_root, dict.fromkeys(noexec, "noexec"), "facts")
    assert (done.returncode, "left" in done.stderr) == (7, False), done.stderr
    assert json.loads(done.stdout)["prefix"].startswith(f"{runs_from}/airgap-bundle.")
    assert listing(plain_root) == before
    done = run(plain_root, dict.fromkeys(noexec, "noexec"), "--role", "cp")
    assert done.returncode == 7, done.stderr
    assert json.loads(done.stdout)["prefix"].startswith("/opt/airgap-bundle/runtime/")


def test_nowhere_to_run_from_is_said_with_the_room_it_takes(plain_root: Path) -> None:
    before = listing(plain_root)
    folders = ("/tmp", "/var/tmp", "/run", "/dev/shm", "/root")
    done = run(plain_root, dict.fromkeys(folders, "noexec"), "facts")
    assert (done.returncode, "left" in done.stderr) == (1, False), done.stderr
    assert "error: no temporary folder to run from  [failed]" in done.stderr
    assert re.search(r"not mounted noexec,\n +with [0-9]+ MB free", done.stderr)
    assert {name for name in listing(plain_root) - before if "airgap" in name} == set()


def test_a_folder_that_is_full_is_passed_over(plain_root: Path) -> None:
    done = run(plain_root, {"/tmp": "size=1m", "/var/tmp": "size=100m"}, "facts")
    assert (done.returncode, done.stderr) == (7, "")
    assert json.loads(done.stdout)["prefix"].startswith("/var/tmp/")


@pytest.mark.parametrize("kind", ["plain", "busybox"])
def test_a_small_opt_is_refused_with_what_is_needed_and_free_or_is_large_enough(
    kind: str,
    request: pytest.FixtureRequest,
    payload: Payload,
) -> None:
    """With df the need is known before anything is written; without it, the disk says so, and all is taken away."""
    root: Path = request.getfixturevalue(f"{kind}_root")
    need_kib = unpacked_kib(payload.archive)
    codes = []
    for number in range(1, STEPS + 1):
        size_kib = need_kib * (number + 2) // STEPS
        done = run(root, {"/opt": f"size={size_kib}k"}, "--role", "cp")
        codes.append(done.returncode)
        if done.returncode == 7:
            assert need_kib <= size_kib, "what is enough was known"
            continue
        assert "error: the installer's Python finds no room  [failed]" in done.stderr, done.stderr
        assert re.search(rf"wanted  {-(-need_kib * 1024 // 1_000_000)} MB free on ", done.stderr), done.stderr
        assert ("MB free\n" in done.stderr) if kind == "plain" else ("o space left on device" in done.stderr)
        assert "next    make room there, and run the same command again" in done.stderr
        assert hashlib.sha256(payload.archive).hexdigest() not in done.stderr, "left there"
    assert codes == sorted(codes)
    assert codes[-1] == 7
    assert set(codes) == {1, 7}


@pytest.mark.parametrize(
    ("options", "message", "got"),
    [
        ("ro", "the installer's Python cannot be unpacked", "ead-only file system"),
        ("noexec", "the installer's Python cannot be started there", "/opt mounted noexec"),
    ],
)
def test_an_opt_that_cannot_be_used_is_named(
    plain_root: Path,
    options: str,
    message: str,
    got: str,
) -> None:
    done = run(plain_root, {"/opt": options}, "--role", "cp")
    assert done.returncode == 1
    assert f"error: {message}  [failed]" in done.stderr
    assert got in done.stderr
    assert "left." not in done.stderr
