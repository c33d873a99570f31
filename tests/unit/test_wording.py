"""Numbers as the operator reads them."""

from __future__ import annotations

import pytest

from installer.wording import count, duration, size


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


def test_counts() -> None:
    assert [count(number, "step") for number in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
