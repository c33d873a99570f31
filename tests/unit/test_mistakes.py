"""A mistake of this program: told where it was and of what kind, and never with what was being worked on."""

from __future__ import annotations

import stat
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bundler import terminal
from installer import cli
from installer.bundle.errors import trace_without_values

SECRETS = ("abcdef.0123456789abcdef", "f" * 64, "hunter2", "-----BEGIN RSA PRIVATE KEY-----")


def mistake() -> None:
    """Fails as a parser might, with what it read in its words, twice over."""
    token, key, password, pem = SECRETS
    try:
        raise ValueError(f"bad token {token} or key {key}")
    except ValueError:
        raise KeyError(password, pem)  # noqa: B904 - the chain is what is tested


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(cli.cli, "main", lambda *_args, **_more: mistake())
    assert cli.run(["--role", "cp"]) == 1
    return capsys.readouterr().err


def test_the_file_tells_where_and_of_what_kind_and_holds_no_value(said: str, tmp_path: Path) -> None:
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    assert str(path) in said
    assert "in mistake" in text
    assert [line for line in text.splitlines() if not line.startswith("  ")][1:] == [
        "ValueError", "which led to:", "KeyError",
    ]  # fmt: skip
    assert not [secret for secret in SECRETS if secret in text + said]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_no_file_can_be_made_the_place_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    monkeypatch.setattr(cli.cli, "main", lambda *_args, **_more: mistake())
    assert cli.run([]) == 1
    said = capsys.readouterr().err
    assert "in mistake; KeyError" in said
    assert not [secret for secret in SECRETS if secret in said]


def test_the_builder_tells_the_same() -> None:
    result = CliRunner().invoke(click.command()(terminal.guarded(mistake)))
    assert result.exit_code == 1
    assert "in mistake" in result.output
    assert "this is a defect of this tool" in result.output
    assert not [secret for secret in SECRETS if secret in result.output]


def test_what_the_system_said_is_told() -> None:
    assert list(trace_without_values(OSError(28, "No space left on device", "/x"))) == [
        "OSError: No space left on device"
    ]
