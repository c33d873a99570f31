"""What every test has in common."""

from __future__ import annotations

import os
import tempfile

from hypothesis import settings

# Builds make a signing key where there is none: not in the home of whoever runs the tests.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="airgap-bundle-data-")

# No deadline per example: a busy machine is not a failing test. derandomize: the same run for everybody.
settings.register_profile("project", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("project")
