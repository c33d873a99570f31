"""containerd's generations side by side: Debian's packages of three releases unpacked, and the lab's compiled one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from installer.errors import OperatorError
from tests.compiled import compiled
from tests.integration.containerd_lab import is_root
from tests.lab.suites import unpacked_from

OLDEST, *NEWER = ("bookworm", "trixie", "compiled", "sid")
"""1.6, 1.7, 2.0 where the lab has compiled it already, and the newest Debian has."""
GENERATIONS = (OLDEST, *NEWER)
every_generation = pytest.mark.parametrize("containerd", GENERATIONS, indirect=True)


@dataclass(frozen=True)
class Generation:
    """One containerd: the folder with its programs, and its version (``1.7.24``)."""

    programs: Path
    version: str


def generation(name: str) -> Generation:
    """The generation of that name; skips the test, saying why, where it cannot be had."""
    if not is_root():
        pytest.skip("containerd needs root")
    programs = _compiled() if name == "compiled" else _packaged(name)
    said = subprocess.run([programs / "containerd", "--version"], capture_output=True, text=True, check=True).stdout
    return Generation(programs, said.split()[2].removeprefix("v").partition("~")[0].partition("+")[0])


def _packaged(release: str) -> Path:
    if not Path("/usr/sbin/runc").exists():
        pytest.skip("needs the Debian package runc")
    try:
        return unpacked_from(release, "containerd") / "usr" / "bin"
    except OperatorError as error:
        pytest.skip(f"containerd of Debian {release} cannot be had: {error.message}; {error.got}")


def _compiled() -> Path:
    return compiled("containerd")
