"""A view that remembers: a question of a program is asked once, and only for as long as nothing is changed."""

from __future__ import annotations

from collections import Counter

from installer.remembering import RememberingView
from tests.fakes.desk import Desk
from tests.fakes.node import FakeNode


def test_a_question_is_asked_once_and_files_are_read_each_time() -> None:
    node = FakeNode().script("uname -m", "x86_64\n").with_files({"/etc/hostname": "a"})
    view = RememberingView(node)
    first = view.query(["uname", "-m"], timeout_seconds=5.0)
    assert view.query(("uname", "-m")) is first
    assert node.ran == [("uname", "-m")]
    assert view.read_text("/etc/hostname") == "a"
    node.with_files({"/etc/hostname": "b"})
    assert view.read_text("/etc/hostname") == "b"


def test_a_second_install_asks_nothing_twice(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    desk.machine.node.ran.clear()
    assert desk.run("--role", "cp")[0] == 0
    asked = Counter(desk.machine.node.ran)
    assert len(asked) > 20
    assert [words for words, times in asked.items() if times > 1] == []
