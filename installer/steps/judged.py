"""What a check found, from the list of what is still to change."""

from __future__ import annotations

from collections.abc import Sequence

from installer.execute import CheckResult


def judged(changes: Sequence[str], as_wanted: str) -> CheckResult:
    """Satisfied, with the line ``as_wanted``, when nothing is to change; else the changes alone speak."""
    return CheckResult(False, "", tuple(changes)) if changes else CheckResult(True, as_wanted)
