"""Decides how a tarball is cut for a kind of medium: how many parts, where each begins, how many go on a disc."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from bundler.errors import InputError
from bundler.progress import format_bytes
from installer.bundle.digest import Digest
from installer.bundle.galois import MOST_BLOCKS
from installer.bundle.parts import BLOCK_BYTES, HEADER_BYTES, MOST_PART_BYTES, PartSet, table_bytes
from installer.bundle.seekable import Frame

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SIZE = re.compile(r"([0-9]{1,15})([kmg]i?)?b?", re.IGNORECASE)
_PERCENT = re.compile(r"([0-9]{1,3})%")
_FIXED_BYTES = 512 * 1024
_SHARE = 200
_LEAST_PART_BYTES = 64 * 1024
WANTED_SIZES = "dvd, bd, fat32, or a size such as 700M, 8G or 4GiB"


@dataclass(frozen=True)
class Medium:
    """What a set is cut for: ``disc_bytes`` fit on one medium (``None``: only a file's length is limited)."""

    name: str
    disc_bytes: int | None

    @property
    def usable_bytes(self) -> int | None:
        """What files find room: the file system takes half a percent and half a megabyte, which is more than ISO 9660,
        UDF and FAT need for a folder of some files.
        """
        if self.disc_bytes is None:
            return None
        return max(0, self.disc_bytes - self.disc_bytes // _SHARE - _FIXED_BYTES)


MEDIA = {
    "dvd": Medium("dvd", 4_700_000_000),
    "bd": Medium("bd", 24_000_000_000),  # 25e9 less the spare areas that burners set aside on BD-R and BD-RE
    "fat32": Medium("fat32", None),
}


def parse_medium(text: str) -> Medium:
    """The medium that ``--split`` names."""
    if text.lower() in MEDIA:
        return MEDIA[text.lower()]
    match = _SIZE.fullmatch(text)
    if match is None or not int(match[1]):
        raise InputError("not a medium to split for", where=f"medium {text}"[:200], wanted=WANTED_SIZES, got=text[:100])
    return Medium(text, int(match[1]) * _UNITS[(match[2] or "").lower()])


def parse_parity(text: str | None) -> int:
    """The percentage that ``--parity`` names; 0 for none."""
    if text is None:
        return 0
    match = _PERCENT.fullmatch(text)
    if match is None or int(match[1]) > 100:
        raise InputError("not an amount of parity", where=f"--parity {text}"[:200], wanted="0% to 100%", got=text[:100])
    return int(match[1])


@dataclass(frozen=True)
class Tarball:
    """What is cut: its bundle's name and identity, its own size and digest, and the frames in it."""

    name: str
    identity: Digest
    size_bytes: int
    digest: Digest
    frames: Sequence[Frame]


def cut_for(tarball: Tarball, medium: Medium, percent: int, beside_bytes: int) -> PartSet:
    """The cut for ``medium`` with ``percent`` parity, beside files of ``beside_bytes`` on every disc.

    :class:`InputError` says how large a medium must be at least where it is too small.
    """
    most_bytes = _most_part_bytes(medium, beside_bytes)
    payload_bytes = most_bytes - HEADER_BYTES
    if percent:
        payload_bytes -= table_bytes(MOST_BLOCKS * -(-most_bytes // BLOCK_BYTES))
    if payload_bytes < min(_LEAST_PART_BYTES, tarball.size_bytes):
        raise _too_small(tarball, medium, percent, beside_bytes)
    data = -(-tarball.size_bytes // payload_bytes)
    if percent:  # so many parts that one of them is about the share asked for, but none smaller than a block
        data = max(data, min(-(-100 // percent), -(-tarball.size_bytes // BLOCK_BYTES)))
    ends = _frame_ends(tarball, payload_bytes)
    while data + _parity_of(data, percent) <= MOST_BLOCKS:
        for starts in (_evenly(tarball, data, ends), _filled(tarball, payload_bytes, ends)):
            if _longest(starts, tarball.size_bytes) <= payload_bytes:  # fewer than asked for where frames are long
                return _put_on_discs(tarball, starts, _parity_of(len(starts), percent), medium, beside_bytes)
        data += 1
    raise _too_small(tarball, medium, percent, beside_bytes)


def _parity_of(data: int, percent: int) -> int:
    return -(-data * percent // 100)


def _most_part_bytes(medium: Medium, beside_bytes: int) -> int:
    """The longest that a part may be, so that parts fill a disc."""
    if medium.usable_bytes is None:
        return MOST_PART_BYTES
    room_bytes = max(0, medium.usable_bytes - beside_bytes)
    return room_bytes // max(1, -(-room_bytes // MOST_PART_BYTES))


def _put_on_discs(tarball: Tarball, starts: tuple[int, ...], parity: int, medium: Medium, beside_bytes: int) -> PartSet:
    cut = PartSet(tarball.name, tarball.identity, tarball.size_bytes, tarball.digest, starts, parity, 1)
    on_disc = cut.total
    if medium.usable_bytes is not None:
        longest_bytes = max(cut.file_bytes(number) for number in cut.numbers)
        on_disc = max(1, min(cut.total, (medium.usable_bytes - beside_bytes) // longest_bytes))
    return PartSet(tarball.name, tarball.identity, tarball.size_bytes, tarball.digest, starts, parity, on_disc)


def _longest(starts: tuple[int, ...], size_bytes: int) -> int:
    return max(end - start for start, end in zip(starts, (*starts[1:], size_bytes), strict=True))


def _frame_ends(tarball: Tarball, payload_bytes: int) -> list[int] | None:
    """Where parts may begin, so that stock tools read them one after the other; ``None``, anywhere, for long frames."""
    if any(frame.is_long or frame.compressed_bytes > payload_bytes for frame in tarball.frames):
        return None
    return [frame.offset_bytes for frame in tarball.frames[1:]] or None  # no part is the seek table alone


def _evenly(tarball: Tarball, data: int, ends: list[int] | None) -> tuple[int, ...]:
    """Parts of about one length."""
    wanted = [tarball.size_bytes * number // data for number in range(data)]
    if ends is None:
        return tuple(wanted)
    found = (ends[min(bisect_left(ends, start), len(ends) - 1)] for start in wanted[1:])
    return (0, *dict.fromkeys(found))


def _filled(tarball: Tarball, payload_bytes: int, ends: list[int] | None) -> tuple[int, ...]:
    """Parts as long as they may be, but for the last."""
    starts = [0]
    while ends is not None and starts[-1] + payload_bytes < tarball.size_bytes:
        end = ends[bisect_right(ends, starts[-1] + payload_bytes) - 1]
        if end == starts[-1]:  # the seek table alone is longer than a part
            break
        starts.append(end)
    return tuple(starts)


def _too_small(tarball: Tarball, medium: Medium, percent: int, beside_bytes: int) -> InputError:
    parts = 100 * (MOST_BLOCKS - 15) // (100 + percent)
    part_bytes = max(_LEAST_PART_BYTES, -(-tarball.size_bytes // parts)) + HEADER_BYTES
    if percent:
        part_bytes += table_bytes(MOST_BLOCKS * (-(-part_bytes // BLOCK_BYTES) + 1))
    needed_bytes = (beside_bytes + part_bytes + _FIXED_BYTES) * _SHARE // (_SHARE - 1) + _SHARE
    return InputError(
        "the medium is too small for this bundle",
        where=f"medium {medium.name}",
        wanted=f"at least {needed_bytes} bytes ({format_bytes(needed_bytes)}):\n"
        f"{format_bytes(beside_bytes)} is on each, and there are at most {MOST_BLOCKS} parts",
        got=f"{medium.disc_bytes} bytes",
        next_step=f"name a larger medium: {-(-needed_bytes // 1000)}k",
    )
