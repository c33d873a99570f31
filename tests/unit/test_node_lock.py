"""The lock on a node: every verb that changes something takes it before it looks, those that look do not know of it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from installer.errors import PreflightError
from installer.journal import open_journal, read_runs
from installer.nodelock import LOCK_NAME, node_lock
from tests.fakes.desk import Desk
from tests.unit.test_vip_probe import MOVING_TEXT

HOLDER = {"pid": os.getpid(), "verb": "undo", "since_seconds": 1_795_000_000}


@contextmanager
def held(folder: Path, text: str = json.dumps(HOLDER)) -> Iterator[None]:
    """Somebody else has the lock in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK_NAME).write_text(text)
    with (folder / LOCK_NAME).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def test_who_has_it_is_told(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(PreflightError, match="another run") as caught, node_lock(tmp_path, "reset"):
        pass
    assert caught.value.exit_code == 3
    assert caught.value.where == str(tmp_path / "lock")
    assert caught.value.got == f"undo, process {os.getpid()}, since 2026-11-18 11:06:40 UTC"
    assert caught.value.next_step == f"wait until it has ended, then run this again; to see it:  ps -fp {os.getpid()}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', json.dumps(HOLDER | {"pid": 2**22 + 1}), "\0" * 5000])
def test_a_record_that_is_not_its_holder_s_names_nobody(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("installer.nodelock._LOOK_SECONDS", 0)
    with held(tmp_path, text), pytest.raises(PreflightError) as caught, node_lock(tmp_path, "reset"):
        pass
    assert caught.value.got == "a run that has just begun"


def test_the_journal_of_a_verb_that_has_it_takes_it_again(tmp_path: Path) -> None:
    with node_lock(tmp_path / "journal", "install"):
        with open_journal(tmp_path / "journal", "install"):
            pass
        assert json.loads((tmp_path / "journal/lock").read_text())["verb"] == "install"
    assert (tmp_path / "journal/lock").read_text() == ""
    assert len(read_runs(tmp_path / "journal")) == 1


def test_it_leaves_what_it_found_and_nothing_else(tmp_path: Path) -> None:
    with node_lock(tmp_path / "state/journal", "install"):
        assert (tmp_path / "state/journal/lock").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "state/journal").stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "state").mkdir()
    with node_lock(tmp_path / "state/journal", "install"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["state"]


CHANGING = (
    ("--role", "cp"),
    ("reset", "--yes"),
    ("undo", "--yes"),
    ("join-file",),
    ("cni", "switch", "--to", "cilium", "--yes"),
    ("vip-probe", "hold", "--config"),
    ("vip-probe", "ask", "--config"),
    ("images", "push", "127.0.0.1:1/site", "--use"),
)


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
def test_every_verb_that_changes_something_is_refused(
    desk: Desk, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desk.run("--role", "cp")[0] == 0
    if words == ("join-file",):
        monkeypatch.setattr("installer.joinfile._is_over", lambda _node: True)
    if words[-1] == "--config":
        words = (*words, desk.write("cluster.yaml", MOVING_TEXT))
    runs, before, ran = len(read_runs(desk.journal)), desk.machine.node.files(), len(desk.machine.changes)
    with held(desk.journal):
        code, said = desk.run(*words)
    assert code == 3, said
    assert said.startswith("error: another run is changing this machine  [preflight]\n"), said
    assert f"got     undo, process {os.getpid()}, since 2026-11-18" in said
    assert (len(read_runs(desk.journal)), desk.machine.node.files()) == (runs, before)
    assert len(desk.machine.changes) == ran


@pytest.mark.parametrize(
    "words", [("status",), ("facts",), ("plan", "--role", "cp"), ("preflight", "--role", "cp"), ("join-file",)]
)
def test_verbs_that_look_do_not_wait_for_it(desk: Desk, words: tuple[str, ...]) -> None:
    assert desk.run("--role", "cp")[0] == 0
    names = sorted(path.name for path in desk.journal.iterdir())
    with held(desk.journal):
        assert desk.run(*words)[0] == 0
        assert (desk.journal / LOCK_NAME).read_text() == json.dumps(HOLDER)
    assert sorted(path.name for path in desk.journal.iterdir()) == names


LOOKING = ("status", "facts", "plan", "preflight", "doctor", "explain", "inventory")
MEDIUM_ONLY = ("copy", "repair", "rebuild")
"""Verbs that write media, and nothing of the node's."""


def test_no_other_verb_changes_anything() -> None:
    """A new verb belongs into one of the lists above, and if it changes something it takes the lock."""
    from installer.cli import cli

    named = {words[0] for words in CHANGING if not words[0].startswith("-")} | {*LOOKING, *MEDIUM_ONLY}
    assert set(cli.commands) == named
