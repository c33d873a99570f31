"""The commands that README.md shows, in order, so that tests can run exactly what a reader would type."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every line behind a ``$`` in a ``console`` block."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def install_commands() -> list[str]:
    """Those an operator types on an isolated machine, as root there: without ``sudo``."""
    return [command.removeprefix("sudo ") for command in commands() if "./install" in command]
