"""Taking one's own change of a text out again when others have changed the text since. Pure, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher


def take_back(before: bytes, after: bytes, now: bytes) -> bytes | None:
    """``now`` without the change that made ``before`` into ``after``; ``None`` where that cannot be told.

    What others added, took away or changed since stays. A change that is already gone is no mistake, so doing it
    twice is doing it once.
    """
    old, new, found = _lines(before), _lines(after), _lines(now)
    for tag, old_from, old_to, new_from, new_to in reversed(SequenceMatcher(None, old, new, False).get_opcodes()):
        if tag == "equal":
            continue
        theirs, ours = old[old_from:old_to], new[new_from:new_to]
        place = _place(found, ours, new[:new_from]) if ours else None
        if place is not None:
            found[place : place + len(ours)] = theirs
        elif theirs and _find(found, theirs) is None:
            anchor = _find(found, new[new_from - 1 : new_from]) if new_from and not ours else None
            if anchor is None:
                return None
            found[anchor + 1 : anchor + 1] = theirs
    return b"".join(found)


def _lines(text: bytes) -> list[bytes]:
    """The lines with their ends; a last line without one gets it, as lines may come to stand behind it."""
    return [line + b"\n" for line in text.removesuffix(b"\n").split(b"\n")] if text else []


def _find(lines: Sequence[bytes], part: Sequence[bytes]) -> int | None:
    """Where ``part`` stands in ``lines``, the last time; ``None`` where it does not."""
    starts = range(len(lines) - len(part), -1, -1)
    return next((start for start in starts if list(lines[start : start + len(part)]) == list(part)), None)


def _place(lines: Sequence[bytes], part: Sequence[bytes], preceding: Sequence[bytes]) -> int | None:
    """Where ``part`` stands in ``lines``: behind the line that preceded it, if it still does, else the last time."""
    if preceding:
        together = _find(lines, [preceding[-1], *part])
        if together is not None:
            return together + 1
    return _find(lines, part)
