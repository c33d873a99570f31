"""What every test has in common."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

WAITING = ("test_vip_probe.py",)
"""Files that wait for minutes and use no processor: they begin first, so that the others fill their time."""

# Builds make a signing key where there is none: not in the home of whoever runs the tests.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="airgap-bundle-data-")
atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)

# No deadline per example: a busy machine is not a failing test. derandomize: the same run for everybody.
settings.register_profile("project", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits comes first; all else stays in its order."""
    items.sort(key=lambda item: item.path.name not in WAITING)
