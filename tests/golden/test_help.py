"""The help that the launcher prints by itself is the command's own."""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner

import installer
from installer import doctor, preflight
from installer.checktext import document
from installer.cli import cli

HELP = Path(installer.__file__).parent / "launch" / "help.txt"


def test_the_launcher_s_help_is_the_command_s() -> None:
    said = CliRunner().invoke(cli, ["--help"], prog_name="install").output
    if os.environ.get("GOLDEN_UPDATE") == "1":
        HELP.write_text(said, encoding="ascii")
    assert HELP.read_text(encoding="ascii") == said, "review, then GOLDEN_UPDATE=1 writes it"


def test_the_page_of_checks_is_the_code_s() -> None:
    page = Path(__file__).parents[2] / "docs" / "checks.md"
    said = document(preflight.AREAS, doctor.AREAS)
    if os.environ.get("GOLDEN_UPDATE") == "1":
        page.write_text(said, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == said, "review, then GOLDEN_UPDATE=1 writes it"
