"""The README's commands for the connected machine and for checking the medium, exactly as a reader types them.

``make test`` is this run. ``make demo`` and the ``./install`` commands need a machine and are run by ``make e2e``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.upstream import serving
from tests.readme import ROOT, commands

ELSEWHERE = {
    "make test": "this run",
    "make demo": "tests/e2e/test_demo.py",
    "sudo ./install --role cp": "tests/e2e/journey.py",
    "sudo ./install --role worker --join join.yaml": "tests/e2e/journey.py",
}
HERE = (
    "pip install .",
    "bundle build --k8s 1.30",
    "bundle verify dist/k8s-v1.30.14-linux-amd64",
    "ssh-keygen -Y verify -f allowed_signers -I airgap-bundle -n airgap-bundle -s SHA256SUMS.sig < SHA256SUMS",
    "sha256sum -c SHA256SUMS",
)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A reader's environment: a virtual environment of their own, and options that lead to the lab's upstream."""
    folder = tmp_path_factory.mktemp("reader")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    with serving("mini", folder / "upstream") as upstream:
        yield os.environ | {
            "PATH": f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_DATA_HOME": "",
            "BUNDLE_BUILD_MIRROR": str(upstream.mirror),
            "BUNDLE_BUILD_CATALOG": str(upstream.catalog),
            "BUNDLE_BUILD_RUNTIME": "host",
            "BUNDLE_BUILD_STORE": str(folder / "store"),
            "BUNDLE_BUILD_OUT": str(folder / "dist"),
        }


def test_every_command_is_run_somewhere() -> None:
    shown = commands()
    assert len(shown) >= 8
    assert sorted(shown) == sorted((*HERE, *ELSEWHERE))


def test_the_commands_do_what_the_readme_says(reader: dict[str, str]) -> None:
    home = Path(reader["HOME"])
    for command in HERE:
        folder = home
        if command.startswith("pip"):
            folder = ROOT
        elif command.startswith(("ssh-keygen", "sha256sum")):
            folder = home / "dist" / "k8s-v1.30.14-linux-amd64"
            carried = folder.with_name(f"{folder.name}.allowed_signers").read_bytes()
            (folder / "allowed_signers").write_bytes(carried)
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=reader, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (home / "dist" / "k8s-v1.30.14-linux-amd64.lock.json").is_file()
    assert (home / ".local" / "share" / "airgap-bundle" / "sign-key").stat().st_mode & 0o777 == 0o600


def test_the_installed_command_carries_the_catalogue(reader: dict[str, str]) -> None:
    """Run after the commands above: what ``pip install .`` made works without the checkout."""
    done = subprocess.run(
        ["bundle", "catalog", "check"], cwd="/", env=reader, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
