"""``/etc/hosts`` with one managed block; every line outside it stays byte for byte. Pure."""

from __future__ import annotations

BEGIN = b"# airgap-bundle begin: written by airgap-bundle, changes in here are lost"
END = b"# airgap-bundle end"


def with_block(old: bytes, entries: tuple[tuple[str, str], ...]) -> bytes:
    """``old`` with the block holding ``entries`` (address, name): in its place, or at the end where there was none.

    A block whose end is missing was cut by somebody: only its first line is known to be ours.
    """
    block = [BEGIN, *(f"{address}\t{name}".encode() for address, name in entries), END]
    text = b"".join(line + b"\n" for line in block)
    before, ours, after = _parted(old)
    if not ours and before and not before.endswith(b"\n"):
        before += b"\n"
    return before + text + after


def _parted(old: bytes) -> tuple[bytes, bytes, bytes]:
    """What is before the block, the block, what is after; all of it before where there is none."""
    lines = old.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.rstrip() == BEGIN]
    if not starts:
        return old, b"", b""
    start = starts[0]
    ends = [number for number, line in enumerate(lines) if number > start and line.rstrip() == END]
    stop = ends[0] + 1 if ends else start + 1
    return b"".join(lines[:start]), b"".join(lines[start:stop]), b"".join(lines[stop:])
