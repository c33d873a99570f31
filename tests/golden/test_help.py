"""The help that the launcher prints by itself is the command's own."""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner

import installer
from installer.cli import cli

HELP = Path(installer.__file__).parent / "launch" / "help.txt"


def test_the_launcher_s_help_is_the_command_s() -> None:
    said = CliRunner().invoke(cli, ["--help"], prog_name="install").output
    if os.environ.get("GOLDEN_UPDATE") == "1":
        HELP.write_text(said, encoding="ascii")
    assert HELP.read_text(encoding="ascii") == said, "review, then GOLDEN_UPDATE=1 writes it"
