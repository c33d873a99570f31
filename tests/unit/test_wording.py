"""Numbers as the operator reads them."""

from __future__ import annotations

import pytest

from installer.wording import count, duration, folded, rough, size


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0.0 MB"), (611_000_000, "611.0 MB"), (1_900_000_000, "1.9 GB"), (999_949_999, "999.9 MB")],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.44, "1.4 s"), (119.9, "119.9 s"), (120, "2m 00s"), (125.4, "2m 05s"), (3725, "62m 05s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1 s"), (3.6, "4 s"), (9.6, "10 s"), (41.0, "40 s"), (119.0, "120 s"), (170.0, "3 min"), (1790.0, "30 min")],
)
def test_a_forecast_is_a_rough_figure(seconds: float, text: str) -> None:
    assert rough(seconds) == text


def test_counts() -> None:
    assert [count(number, "step") for number in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]


def test_lines_fit_a_serial_console() -> None:
    text = "by way of a dummy interface, as this machine has no default route at all"
    lines = folded(" 19/24 network/service-route  changed   ", text, "7.2 s")
    assert [len(line) for line in lines] == [80, *(len(line) for line in lines[1:])]
    assert lines[0].endswith(" 7.2 s")
    assert all(line.startswith(" " * 40) and len(line) <= 80 for line in lines[1:])
    assert " ".join(part[40:].removesuffix("7.2 s").strip() for part in lines) == text


def test_a_word_longer_than_the_room_stays_whole() -> None:
    assert folded("image  ", "a" * 100) == ["image  " + "a" * 100]


def test_lines_end_between_parts_that_two_spaces_set_apart() -> None:
    text = "v1.30.14 linux/amd64  identity sha256:b6af3e11e23a…  verified 250.8 MB in 24.0 s"
    assert folded("bundle     ", text) == [
        "bundle     v1.30.14 linux/amd64  identity sha256:b6af3e11e23a…",
        "           verified 250.8 MB in 24.0 s",
    ]
