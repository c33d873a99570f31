"""Programs of upstream that the lab compiles, for the tests that ask them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.profiles.compiled import BUILDS, NETWORK_BUILDS
from tests.lab.toolchain import GoBuild, built_already


def compiled(build: str | GoBuild) -> Path:
    """The folder with the programs of ``build``, or of the lab's Go module of that name.

    The test is skipped where they would have to be compiled, unless the run is there for that (``make contract``).
    """
    if isinstance(build, str):
        build = next(known for known in (*BUILDS, *NETWORK_BUILDS) if known.module == build)
    folder = built_already(build)
    if folder is None:
        pytest.skip(f"{build.module} has not been compiled here; this does it:  make contract")
    return folder
