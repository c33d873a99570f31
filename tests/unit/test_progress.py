"""Progress: lines in a log, a bar on a terminal, sizes and times in the project's units."""

from __future__ import annotations

import io

import pytest

from bundler.progress import Progress, format_bytes, format_seconds


class _Clock:
    def __init__(self) -> None:
        self.now_seconds = 0.0

    def __call__(self) -> float:
        return self.now_seconds


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0.0 MB"), (156_000, "0.2 MB"), (702_300_000, "702.3 MB"), (999_960_000, "1.0 GB"), (1_900_000_000, "1.9 GB")],
)
def test_sizes_have_one_decimal(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (21.42, "21.4 s"), (59.96, "60 s"), (97.2, "97 s"), (119.6, "2 m 00 s"), (125, "2 m 05 s")],
)
def test_times_are_seconds_up_to_two_minutes(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_log_gets_one_line_per_file_and_a_last_one() -> None:
    stream, clock = io.StringIO(), _Clock()
    with Progress(stream, clock).task("fetch", 3_000_000) as task:
        clock.now_seconds = 2.0
        task.advance(3_000_000)
        task.item("kubeadm 1.30.14 linux/amd64", 3_000_000)
        task.note("the first mirror did not deliver")
    assert stream.getvalue().splitlines() == [
        "fetch         3.0 MB   kubeadm 1.30.14 linux/amd64",
        "fetch     the first mirror did not deliver",
        "fetch         3.0 MB   1.5 MB/s   2.0 s",
    ]


def test_a_log_gets_a_line_every_ten_seconds_when_no_file_ends() -> None:
    stream, clock = io.StringIO(), _Clock()
    task = Progress(stream, clock).task("assemble", 100_000_000)
    for _ in range(25):
        clock.now_seconds += 1
        task.advance(1_000_000)
    assert stream.getvalue().splitlines() == [
        "assemble  10.0 MB of 100.0 MB   1.0 MB/s",
        "assemble  20.0 MB of 100.0 MB   1.0 MB/s",
    ]


def test_a_failed_task_does_not_say_it_is_done() -> None:
    stream = io.StringIO()
    with pytest.raises(RuntimeError), Progress(stream).task("fetch", 10):
        raise RuntimeError
    assert stream.getvalue() == ""


def test_without_a_stream_it_is_silent() -> None:
    with Progress().task("fetch", 10) as task:
        task.advance(10)
        task.item("a", 10)
        task.note("b")


def test_a_terminal_gets_a_bar_that_ends_full() -> None:
    stream = _Terminal()
    with Progress(stream).task("fetch", 702_300_000) as task:
        task.advance(702_300_000)
        task.item("kubeadm", 1)
        task.note("a note")
    assert "fetch       702.3 MB" in stream.getvalue()
    assert "100% |################|" in stream.getvalue()
    assert "a note\n" in stream.getvalue()
    assert "kubeadm" not in stream.getvalue()
