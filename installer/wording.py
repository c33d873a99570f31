"""Numbers as the operator reads them, and lines that fit a serial console."""

from __future__ import annotations

import re
import textwrap

_MEGA = 1_000_000
_GIGA = 1_000_000_000
_LONGEST_IN_SECONDS = 120
COLUMNS = 80
_LEAST_ROOM = 20
_INSIDE_A_PART = re.compile(r"(?<! ) (?! )")


def size(size_bytes: int) -> str:
    """``611.0 MB``, ``1.9 GB``."""
    return f"{size_bytes / _GIGA:.1f} GB" if size_bytes >= _GIGA else f"{size_bytes / _MEGA:.1f} MB"


def duration(seconds: float) -> str:
    """``38.9 s`` up to two minutes, then ``2m 05s``."""
    if seconds < _LONGEST_IN_SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02d}s"


def rough(seconds: float) -> str:
    """A forecast, no more exact than it is: ``4 s``, ``40 s``, ``3 min``."""
    if round(seconds) < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < _LONGEST_IN_SECONDS:
        return f"{5 * round(seconds / 5)} s"
    return f"{round(seconds / 60)} min"


def count(number: int, one: str, more: str | None = None) -> str:
    """``1 warning``, ``2 warnings``; ``more`` is the plural where it is not made by an s."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def folded(head: str, text: str, tail: str = "") -> list[str]:
    """``head`` and ``text`` within 80 columns: further lines of ``text`` stand below its start, ``tail`` ends the
    first line at the right. A word that is longer than the room there is stays whole; where two spaces set parts
    of ``text`` apart, lines end only between parts.
    """
    kept = _INSIDE_A_PART.sub("\0", text) if "  " in text else text
    room = max(_LEAST_ROOM, COLUMNS - len(head) - (len(tail) + 1 if tail else 0))
    first, *rest = textwrap.wrap(kept, room, break_long_words=False, break_on_hyphens=False) or [""]
    first, *rest = (part.replace("\0", " ") for part in (first, *rest))
    line = f"{head}{first}"
    if tail:
        line = f"{line:<{COLUMNS - len(tail) - 1}} {tail}"
    return [line.rstrip(), *(f"{'':<{len(head)}}{part}" for part in rest)]
