"""Numbers as the operator reads them."""

from __future__ import annotations

_MEGA = 1_000_000
_GIGA = 1_000_000_000
_LONGEST_IN_SECONDS = 120


def size(size_bytes: int) -> str:
    """``611.0 MB``, ``1.9 GB``."""
    return f"{size_bytes / _GIGA:.1f} GB" if size_bytes >= _GIGA else f"{size_bytes / _MEGA:.1f} MB"


def duration(seconds: float) -> str:
    """``38.9 s`` up to two minutes, then ``2m 05s``."""
    if seconds < _LONGEST_IN_SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02d}s"


def count(number: int, one: str) -> str:
    """``1 warning``, ``2 warnings``."""
    return f"{number} {one if number == 1 else one + 's'}"
