"""An operator's desk for tests of the install command: a fake machine, a medium, and what the command says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from installer import cli
from installer.errors import OperatorError
from installer.execute import StepFinished
from installer.report import TextReport
from tests.fakes.machine import Machine
from tests.unit.test_cluster_config import JOIN

TOKEN_VALID = replace(JOIN, token_expires_seconds=1_795_086_400, certificate_key_expires_seconds=1_795_007_200)


@dataclass
class Desk:
    """An operator's desk: the machine, the medium, and the command."""

    machine: Machine
    media: Path
    folder: Path
    capture: pytest.CaptureFixture[str]
    before: dict[str, bytes] = field(default_factory=dict)

    @property
    def journal(self) -> Path:
        """Where this machine's journal is."""
        return self.folder / "journal"

    def write(self, name: str, text: str) -> str:
        """Lays a file on the desk; its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def run(self, *words: str) -> tuple[int, str]:
        """Runs ``install`` with these words; its exit code and all it said."""
        alone = ("status", "facts", "reset", "undo", "join-file", "vip-probe")
        media = () if words[0] in alone else ("--media", str(self.media))
        self.before = self.machine.node.files()
        code = cli.run([*words, *media])
        said = self.capture.readouterr()
        return code, said.out + said.err

    def copied(self) -> Path:
        """Copies the medium, to be damaged, and uses the copy from now on; the tarball's path."""
        copy = self.folder / "medium"
        copy.mkdir()
        for path in self.media.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        self.media = copy
        return next(copy.glob("*.tar.zst"))

    def refused(self, *words: str) -> tuple[int, str]:
        """The same for a run that must not change a thing, on the node or in the journal."""
        ran = len(self.machine.changes)
        code, said = self.run(*words)
        assert self.machine.node.files() == self.before
        new = [words for words in self.machine.changes[ran:] if not _looks(words)]
        assert not new
        assert not self.journal.exists()
        return code, said


def _looks(words: tuple[str, ...]) -> bool:
    return words[0] in ("uname", "dpkg-query") or "is-active" in words or "--version" in words


def desk_with(
    machine: Machine, media: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
) -> Desk:
    """A desk whose command reaches ``machine`` and nothing else."""
    found = Desk(machine, media, folder, capture)
    monkeypatch.setattr("installer.localnode.LocalNode", lambda: found.machine.node)
    monkeypatch.setattr("installer.localnode.LocalView", lambda: found.machine.node)
    monkeypatch.setattr("installer.journal.FOLDER", found.journal)
    monkeypatch.delenv(cli.MEDIA_VARIABLE, raising=False)
    monkeypatch.setenv(cli.RUNTIME_VARIABLE, "/opt/airgap-bundle/runtime/abc")
    return found


def cut_off_after_each_step(desk: Desk, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Runs a command again and again, each time cut off one step later, until it ends well; how often it was."""
    step, cut = TextReport.step, 0

    def cuts(report: TextReport, event: Any) -> None:
        step(report, event)
        if isinstance(event, StepFinished) and event.number == cut + 1:
            raise OperatorError("cut off")

    monkeypatch.setattr(TextReport, "step", cuts)
    while (done := desk.run(*words))[0] != 0:
        assert "cut off" in done[1], done[1]
        cut += 1
    return cut
