"""Comparing a text with the file that was reviewed; ``GOLDEN_UPDATE=1`` writes what is there now, for review."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

FOLDER = Path(__file__).parent / "expected"


def demand_same(name: str, text: str) -> None:
    """Fails with a diff unless ``expected/<name>`` is exactly ``text``."""
    path = FOLDER / name
    if os.environ.get("GOLDEN_UPDATE") == "1":
        path.write_text(text, encoding="utf-8")
    wanted = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = difflib.unified_diff(wanted.splitlines(), text.splitlines(), f"expected/{name}", "rendered now", lineterm="")
    assert wanted == text, "\n".join(diff) + "\nreview, then GOLDEN_UPDATE=1 writes it"
