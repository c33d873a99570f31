"""The custody log on a fake node: what is written, what is read back, and what a torn line does."""

from __future__ import annotations

import json

import pytest

from installer import custody
from installer.bundle.signer import Signer
from installer.errors import IntegrityError, OperatorError
from tests.fakes.node import FakeNode

SIGNER = Signer(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
IDENTITY = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)


def test_each_act_is_one_line_with_who_when_what_and_result(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    custody.note(node, "verify", IDENTITY, "whole", signers=(SIGNER,))
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.setenv("SUDO_UID", "1000")
    node.sleep(60)
    custody.note(node, "install", IDENTITY, "done", "cp")
    text = node.read_text(custody.PATH) or ""
    first, second = map(json.loads, text.splitlines())
    assert first == {
        "at": "2026-11-18T11:06:40Z", "user": "root", "uid": 0, "event": "verify", "identity": IDENTITY,
        "result": "whole", "detail": "", "signers": [SIGNER.fingerprint],
    }  # fmt: skip
    assert (second["user"], second["uid"], second["at"], second["detail"]) == (
        "ada",
        1000,
        "2026-11-18T11:07:40Z",
        "cp",
    )
    found = node.stat(custody.PATH)
    assert found
    assert found.mode == 0o640
    assert [entry.to_dict() | {"signers": list(entry.signers)} for entry in custody.last(node, 5)] == [first, second]


def test_the_last_ones_are_read_whatever_lies_between(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    assert custody.last(node, 3) == ()
    for number in range(40):
        custody.note(node, "install", IDENTITY, "done", f"run {number}")
    node.append(custody.PATH, b'{"torn": ')
    custody.note(node, "install", IDENTITY, "done", "run 40")
    node.append(custody.PATH, b"[1]\n")
    assert [entry.detail for entry in custody.last(node, 5)][-2:] == ["run 39", "run 40"]


def test_how_a_run_ended_is_noted_and_its_own_error_wins() -> None:
    node = FakeNode()
    with custody.noted(node, "install", IDENTITY):
        pass
    with pytest.raises(OperatorError, match="no room"), custody.noted(node, "install", IDENTITY):
        raise OperatorError("no room", where="/var")
    with pytest.raises(KeyboardInterrupt), custody.noted(node, "reset", IDENTITY):
        raise KeyboardInterrupt
    told = [(entry.event, entry.result, entry.detail) for entry in custody.last(node, 9)]
    assert told == [("install", "done", ""), ("install", "failed", "no room (/var)"),
                    ("reset", "failed", "KeyboardInterrupt")]  # fmt: skip


def test_a_refusal_is_noted_only_where_there_is_something_already() -> None:
    locked = {"/var/lib/airgap-bundle/journal/lock": ""}
    installed = {"/var/lib/airgap-bundle/installed.json": ""}
    for files, noted in (({}, []), (locked, []), (installed, [("verify", "refused")])):
        node = FakeNode().with_files(dict(files))
        with pytest.raises(IntegrityError), custody.refusal_noted(node):
            raise IntegrityError("damaged")
        assert [(entry.event, entry.result) for entry in custody.last(node, 9)] == noted
