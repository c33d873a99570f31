"""A whole install whose node, or whose journal, refuses at any one write: an error that says so, and the next run ends.

What real disks do is in tests/integration/test_node_disks.py; here every write of a plan is refused once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from installer.errors import CommandError, OperatorError, StepError
from installer.execute import Phase, Plan
from installer.journal import Journal, read_runs
from installer.toolcommand import ToolCommand
from tests.fakes.debian import debian
from tests.fakes.mortal import MortalNode
from tests.unit.test_killed import Bench
from tests.unit.test_plan import cp_plan

EVERY = 4
"""Which of the journal's writes are refused: each fourth."""
FULL = "no space left on device"


class FullNode(MortalNode):
    """Refuses one change, and everything else goes on as before."""

    def _change(self, what: str, act: Callable[[], Any]) -> Any:
        is_last = len(self.changes) == self._last
        self.changes.append(what)
        if not is_last:
            return act()
        if " " in what or not what.startswith("/"):
            raise CommandError(what.split(), 1, f"write /var/lib/x: {FULL}")
        raise OperatorError("cannot write a file", where=what, got="No space left on device; 0.0 MB free on /")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Bench]:
    monkeypatch.setattr("os.fsync", lambda _handle: None)
    monkeypatch.setattr("tests.unit.test_killed.MortalNode", FullNode)
    monkeypatch.setattr("tests.unit.test_killed._mortal_record", lambda _mortal: Journal.record)
    plan = cp_plan()
    plan = Plan((*plan.phases, Phase("node", (ToolCommand("/opt/airgap-bundle/runtime/abc"),))))
    numbers = iter(range(10**6))

    def make() -> Bench:
        machine = debian()
        machine.node.with_files({"/etc/hosts": "127.0.0.1 localhost\n", "/etc/containerd/config.toml": "version = 2\n"})
        return Bench(plan, tmp_path / f"journal-{next(numbers)}", machine)

    return make


def test_refused_at_any_change_it_says_so_and_the_next_run_ends_the_same(bench: Callable[[], Bench]) -> None:
    undisturbed = bench()
    changes = undisturbed.install().changes
    assert len(changes) > 60
    for last, what in enumerate(changes):
        found = bench()
        try:
            found.install(last)
        except OperatorError as error:
            said = "\n".join(error.lines())
            assert FULL in said.lower(), what
            assert isinstance(error, StepError) <= ("MB free on /" in said or "GB free on /" in said), said
        found.install()
        assert read_runs(found.folder)[-1].outcome == "done"
        assert found.state() == undisturbed.state(), f"refused at change {last}, {what}"


def _writes(monkeypatch: pytest.MonkeyPatch, refused: int | None) -> Iterator[int]:
    """How often the journal is written; write number ``refused`` gets half of it on the disk, and then no more."""
    real, count = os.write, 0

    def write(handle: int, data: bytes) -> int:
        nonlocal count
        count += 1
        if refused is not None and count == refused:
            return real(handle, data[: len(data) // 2])
        if refused is not None and count == refused + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        yield 0
    yield count


def test_a_journal_that_finds_no_room_for_a_record_stops_before_the_change(
    bench: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = bench()
    counting = _writes(monkeypatch, None)
    next(counting)
    undisturbed.install()
    total = next(counting)
    assert total > 150
    for refused in range(1, total + 1, EVERY):
        found = bench()
        writing = _writes(monkeypatch, refused)
        next(writing)
        with pytest.raises(OperatorError, match="cannot write the journal") as caught:
            found.install()
        next(writing)
        assert "No space left on device; " in str(caught.value.got)
        runs = read_runs(found.folder)
        assert [run.outcome for run in runs] in (["failed"], ["cut off"])
        found.install()
        assert read_runs(found.folder)[-1].outcome == "done"
        assert found.state() == undisturbed.state(), f"refused at record {refused}"
