"""The lab's account of a run: each phase with its time and its words, the failed one marked."""

from __future__ import annotations

import pytest

from tests.lab.phases import Phase, Phases, spoken


def test_times_are_seconds_up_to_two_minutes() -> None:
    assert [spoken(seconds) for seconds in (0.04, 119.9, 120.1, 3599.6)] == ["0.0 s", "119.9 s", "2m 0s", "60m 0s"]


def test_the_report_has_every_phase_and_marks_the_failed_one(capsys: pytest.CaptureFixture[str]) -> None:
    phases = Phases()
    with phases.phase("boot") as phase:
        phase.say("one\ntwo")
    with pytest.raises(ValueError, match="no"), phases.phase("install"):
        raise ValueError("no")
    lines = phases.report().splitlines()
    assert lines[0].startswith("boot ")
    assert lines[1:3] == ["    one", "    two"]
    assert lines[3].startswith("install") and "failed" in lines[3]
    assert lines[4].startswith("all of it")
    assert "two" in capsys.readouterr().out


def test_a_program_is_heard_in_whole_lines() -> None:
    phase = Phase("install")
    for piece in (b"a", b"b\nc", b"d\n", b"rest"):
        phase.hear(piece)
    assert phase.lines == ["ab", "cd"]
    phase.heard_all()
    assert phase.lines == ["ab", "cd", "rest"]
