"""What the kernel has counted since it started: tables that overflowed, connections that were dropped."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from installer.node import NodeView


@dataclass(frozen=True)
class Counters:
    """Totals over all processors since the machine started."""

    neighbours_refused: int = 0
    connections_dropped: int = 0
    insertions_failed: int = 0
    accepts_overflowed: int = 0
    memory_groups: int = 0


def counters(view: NodeView) -> Counters:
    """The counters of the kernel behind ``view``; what it does not count is 0."""
    conntrack = "/proc/net/stat/nf_conntrack"
    return Counters(
        neighbours_refused=_sum(view, "/proc/net/stat/arp_cache", "table_fulls"),
        connections_dropped=_sum(view, conntrack, "drop") + _sum(view, conntrack, "early_drop"),
        insertions_failed=_sum(view, conntrack, "insert_failed"),
        accepts_overflowed=_extended(view, "ListenOverflows"),
        memory_groups=_memory_groups(view),
    )


def _sum(view: NodeView, path: str, column: str) -> int:
    """A column of a per-processor table in hexadecimal; columns have moved between kernels, so it is found by name."""
    header, *rows = (view.read_text(path) or "").splitlines() or [""]
    names = header.split()
    if column not in names:
        return 0
    return sum(_numbers(rows, names.index(column)))


def _numbers(rows: list[str], place: int) -> Iterator[int]:
    for row in rows:
        words = row.split()
        try:
            yield int(words[place], 16)
        except (IndexError, ValueError):
            continue


def _extended(view: NodeView, name: str) -> int:
    """A counter of ``TcpExt`` in ``/proc/net/netstat``: a line of names, then a line of numbers."""
    lines = [line.split() for line in (view.read_text("/proc/net/netstat") or "").splitlines()]
    for names, numbers in itertools.pairwise(lines):
        if names[:1] == numbers[:1] == ["TcpExt:"] and name in names and len(names) == len(numbers):
            found = numbers[names.index(name)]
            return int(found) if found.isdecimal() else 0
    return 0


def _memory_groups(view: NodeView) -> int:
    for line in (view.read_text("/proc/cgroups") or "").splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] == "memory" and words[2].isdecimal():
            return int(words[2])
    return 0
