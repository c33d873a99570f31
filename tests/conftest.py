"""What every test has in common."""

from __future__ import annotations

from hypothesis import settings

# No deadline per example: a busy machine is not a failing test. derandomize: the same run for everybody.
settings.register_profile("project", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("project")
