"""Version ranges: alternatives of comparisons, numbers compared as numbers."""

from __future__ import annotations

import pytest

from bundler.errors import InputError
from bundler.versions import VersionRange, newest_first

LINES = VersionRange.parse(">=1.7.24 <1.8.0 || >=2.0.1 <2.2.0")


@pytest.mark.parametrize("version", ["1.7.24", "1.7.99", "2.0.1", "2.1.10"])
def test_is_in_one_alternative(version: str) -> None:
    assert version in LINES


@pytest.mark.parametrize("version", ["1.7.3", "1.8.0", "2.0.0", "2.2.0", "10.0.0"])
def test_is_in_no_alternative(version: str) -> None:
    assert version not in LINES


@pytest.mark.parametrize("text", ["", "||", ">=1.0.0 ||", "~1.0", "1.x", ">=1", "!=1.30", "latest", ">=1.0.0, <2.0.0"])
def test_refuses_what_is_no_range(text: str) -> None:
    with pytest.raises(InputError):
        VersionRange.parse(text)


def test_newest_first_by_number() -> None:
    assert newest_first(["1.30.9", "1.30.14", "1.30.0"]) == ["1.30.14", "1.30.9", "1.30.0"]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=1.25", ["1.25.0", "1.30.14"], ["1.24.9"]),
        ("<=1.31", ["1.31.14", "1.2.0"], ["1.32.0"]),
        ("<1.31", ["1.30.99"], ["1.31.0"]),
        (">1.30", ["1.31.0"], ["1.30.14"]),
        ("==1.30", ["1.30.0", "1.30.14"], ["1.31.0", "1.29.9"]),
        (">=1.25 <1.28 || >=1.30.2", ["1.27.9", "1.30.2"], ["1.28.0", "1.30.1"]),
    ],
)
def test_a_minor_means_all_of_its_patches(text: str, inside: list[str], outside: list[str]) -> None:
    found = VersionRange.parse(text)
    assert str(found) == text
    assert [version in found for version in (*inside, *outside)] == [True] * len(inside) + [False] * len(outside)
