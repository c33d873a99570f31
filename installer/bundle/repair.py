"""Repairs a split media set: damaged and lost parts are made again from the others and from parity.

Every part is read and judged block by block first. What cannot be repaired is refused before anything is written. Each
new file is proven against ``SHA256SUMS`` before it gets a name, and what was there goes no earlier than that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from installer.bundle.digest import Digest
from installer.bundle.durable import set_mode, sync_folder
from installer.bundle.errors import InputError, IntegrityError, OperatorError
from installer.bundle.findparts import REPAIRING, PartsHere, find_parts, names_parts
from installer.bundle.galois import decoded
from installer.bundle.joined import read_checks
from installer.bundle.parts import BLOCK_BYTES, HEADER_BYTES, PART_NAME, PartSet, table
from installer.bundle.sums import INSTALL_NAME, SUMS_NAME, read_sums

_SLICE_BYTES = 256 * 1024

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Repaired:
    """What a repair did: ``paths`` of new parts, by number; ``blocks`` is how many were made again."""

    cut: PartSet
    paths: dict[int, Path]
    blocks: int


@dataclass
class Finding:
    """What is wrong with the parts: for each that is not whole, its bad blocks (none: its header or table is bad).

    ``checks`` are the checksums of all blocks that are good, by part and block.
    """

    bad: dict[int, set[int]] = field(default_factory=dict)
    checks: dict[int, list[int]] = field(default_factory=dict)


def repair(
    folder: Path, further: Sequence[Path], to: Path | None, progress: Callable[[int], Advance] = lambda _total: _silent
) -> Repaired:
    """Makes every damaged or lost part of the set in ``folder`` again: in the folder ``to``, else where it is.

    A lost part goes to ``folder``. ``progress`` is told how many bytes are going to be read, and gives what is called
    as they are. :class:`IntegrityError` where parity does not suffice.
    """
    here = _parts(folder, further)
    advance = progress(sum(_size(path) for path in here.paths.values()))
    found = judge(here, advance)
    if not found.bad:
        return Repaired(here.set, {}, 0)
    _demand_repairable(here, found)
    places = {number: _place(here, number, folder, to) for number in found.bad}
    target = to or folder
    try:
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
        _demand_room(target, sum(here.set.file_bytes(number) for number in found.bad))
        with _Writing(here, found, places) as writing:
            writing.write()
            writing.prove()
            if to is not None and to != folder:
                copy_beside(folder, to, here)
            writing.name()
    except OSError as error:
        raise OperatorError(
            "the repaired parts cannot be written",
            where=str(target),
            wanted="a folder that can be written, with room for them",
            got=error.strerror or str(error),
            next_step="name another folder with --to DIR; nothing was replaced",
        ) from None
    return Repaired(here.set, places, sum(len(blocks) for blocks in found.bad.values()))


def _silent(_size_bytes: int) -> None:
    pass


def _parts(folder: Path, further: Sequence[Path]) -> PartsHere:
    if not folder.is_dir():
        raise InputError("no media set is there", where=str(folder), wanted="the folder of a disc", got="nothing")
    sums = read_sums(folder)
    if not names_parts(sums):
        raise InputError(
            "this media set has no parts and no parity",
            where=str(folder),
            wanted="one that was built or split with --parity",
            got="a tarball in one file",
            next_step="copy it again from another medium:  ./install copy DIR",
        )
    return find_parts(folder, sums, further)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def judge(here: PartsHere, advance: Advance = _silent) -> Finding:
    """Reads every part: which are damaged or lost, and which blocks of them."""
    found = Finding()
    known = read_checks(here)
    cut = here.set
    for number in cut.numbers:
        every = set(range(cut.blocks))
        if number not in here.paths:
            found.bad[number], found.checks[number] = _blocks_of(cut, number, every), [0] * cut.blocks
            continue
        digest, checks, unread = _read(here, number, advance)
        found.checks[number] = checks
        if digest == here.digest(number):
            continue
        own = known[(number - 1) * cut.blocks : number * cut.blocks] if known else None
        damaged = {block for block in every if own is None or checks[block] != own[block]} | unread
        found.bad[number] = _blocks_of(cut, number, damaged)
    return found


def _blocks_of(cut: PartSet, number: int, blocks: set[int]) -> set[int]:
    """Those that the part has; a shorter part ends before the last ones."""
    return {block for block in blocks if cut.block_bytes(number, block)}


def _read(here: PartsHere, number: int, advance: Advance) -> tuple[Digest, list[int], set[int]]:
    """A part's digest, the checksum of each block, and the blocks that cannot be read."""
    cut, digest, checks, unread = here.set, hashlib.sha256(), [], set()
    try:
        stream = here.paths[number].open("rb")
    except OSError:
        return Digest.of(b""), [0] * cut.blocks, set(range(cut.blocks))
    with stream:

        def read(at_bytes: int, size_bytes: int) -> bytes | None:
            try:
                data = os.pread(stream.fileno(), size_bytes, at_bytes)
            except OSError:
                return None
            advance(len(data))
            digest.update(data)
            return data

        read(0, HEADER_BYTES)
        for block in range(cut.blocks):
            size_bytes = cut.block_bytes(number, block)
            data = read(HEADER_BYTES + block * BLOCK_BYTES, size_bytes) if size_bytes else b""
            if data is None or len(data) < size_bytes:
                unread.add(block)
            checks.append(zlib.crc32(data or b""))
        at_bytes = HEADER_BYTES + cut.length_bytes(number)
        while data := read(at_bytes, BLOCK_BYTES):
            at_bytes += len(data)
    if unread:
        digest.update(b"unread")  # whatever was read of it, it is not whole
    return Digest.from_hex(digest.hexdigest()), checks, unread


def _demand_repairable(here: PartsHere, found: Finding) -> None:
    """Raises :class:`IntegrityError` where more parts are bad in the same block than there is parity."""
    cut = here.set
    worst = max(range(cut.blocks), key=lambda block: sum(block in blocks for blocks in found.bad.values()))
    bad = [number for number, blocks in found.bad.items() if worst in blocks]
    if len(bad) <= cut.parity:
        return
    lost = here.missing(cut.numbers)
    if not cut.parity:
        raise IntegrityError(
            "this media set has no parity to repair it with",
            where="\n".join(str(here.paths.get(number, cut.file_name(number))) for number in bad[:8]),
            wanted="parts that are whole, or a set made with --parity",
            got=f"{len(bad)} bad parts",
            next_step="copy these parts again from another medium",
        )
    first = HEADER_BYTES + worst * BLOCK_BYTES
    listed = "\n".join(
        f"{cut.words(number)}: {'not here' if number in lost else here.paths[number]}" for number in bad[:8]
    )
    raise IntegrityError(
        "too much is damaged to be repaired",
        where=f"{listed}\nat bytes {first} to {first + BLOCK_BYTES - 1} of each",
        wanted=f"at most {cut.parity} bad parts there, as there are {cut.parity} parity parts",
        got=f"{len(bad)} bad parts: {len(bad) - cut.parity} more must be whole",
        next_step=(
            "add the discs that are not here with --media DIR,\nor copy one of these parts again"
            if lost
            else "copy one of these parts again from another medium, then repair"
        ),
    )


def _place(here: PartsHere, number: int, folder: Path, to: Path | None) -> Path:
    if to is not None:
        return to / here.set.file_name(number)
    return here.paths.get(number, folder / "lost").with_name(here.set.file_name(number))


def _demand_room(target: Path, size_bytes: int) -> None:
    free_bytes = shutil.disk_usage(target).free
    if free_bytes < size_bytes:
        raise InputError(
            "not enough room for the repaired parts",
            where=str(target),
            wanted=f"{size_bytes} bytes",
            got=f"{free_bytes} bytes free",
            next_step="make room, or name another folder with --to DIR",
        )


class _Writing:
    """New files for the parts in ``found``, beside their ``places``; gone at the end unless they were named."""

    def __init__(self, here: PartsHere, found: Finding, places: dict[int, Path]) -> None:
        self._here, self._cut, self._found, self._places = here, here.set, found, places
        self._fresh = {number: path.with_name(path.name + REPAIRING) for number, path in places.items()}
        self._opened = contextlib.ExitStack()
        self._out: dict[int, BinaryIO] = {}
        self._sources: dict[int, BinaryIO] = {}

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, *_error: object) -> None:
        self._opened.close()
        for path in self._fresh.values():
            path.unlink(missing_ok=True)

    def write(self) -> None:
        """Writes every new file: good blocks as they are, bad ones made again."""
        for number, path in self._here.paths.items():
            with contextlib.suppress(OSError):
                self._sources[number] = self._opened.enter_context(path.open("rb"))
        for number, path in self._fresh.items():
            path.unlink(missing_ok=True)
            self._out[number] = self._opened.enter_context(path.open("x+b"))
            self._out[number].write(self._cut.header(number))
        for block in range(self._cut.blocks):
            self._write_block(block)
        for number, out in self._out.items():
            if self._cut.is_parity(number):
                checks = self._found.checks
                out.write(table([check for other in self._cut.numbers for check in checks[other]]))
            out.flush()
            os.fsync(out.fileno())

    def _write_block(self, block: int) -> None:
        bad = [number for number, blocks in self._found.bad.items() if block in blocks]
        for number in bad:
            self._found.checks[number][block] = 0
        for slices in self._slices(block, bad):
            for number, data in slices.items():
                self._out[number].write(data)
                if number in bad:
                    self._found.checks[number][block] = zlib.crc32(data, self._found.checks[number][block])

    def _slices(self, block: int, bad: list[int]) -> Iterator[dict[int, bytes]]:
        """What the new files get of a block, slice by slice."""
        cut = self._cut
        length_bytes = min(BLOCK_BYTES, cut.longest_bytes - block * BLOCK_BYTES)
        good = [number for number in cut.numbers if number not in bad][: cut.data]
        for at_bytes in range(0, length_bytes, _SLICE_BYTES):
            size_bytes = min(_SLICE_BYTES, length_bytes - at_bytes)
            made: dict[int, bytes] = {}
            if bad:
                there = {number - 1: self._good(number, block, at_bytes, size_bytes) for number in good}
                made = decoded(there, cut.data, cut.parity, [number - 1 for number in bad])
            yield {
                number: made[number - 1][: self._left(number, block, at_bytes, size_bytes)]
                if number in bad
                else self._good(number, block, at_bytes, size_bytes)[: self._left(number, block, at_bytes, size_bytes)]
                for number in self._out
            }

    def _left(self, number: int, block: int, at_bytes: int, size_bytes: int) -> int:
        return max(0, min(size_bytes, self._cut.block_bytes(number, block) - at_bytes))

    def _good(self, number: int, block: int, at_bytes: int, size_bytes: int) -> bytes:
        """A slice of a good block; behind the end of a part there are zeros."""
        wanted_bytes = self._left(number, block, at_bytes, size_bytes)
        if not wanted_bytes:
            return bytes(size_bytes)
        where = HEADER_BYTES + block * BLOCK_BYTES + at_bytes
        data = os.pread(self._sources[number].fileno(), wanted_bytes, where)
        return data.ljust(size_bytes, b"\0")

    def prove(self) -> None:
        """Raises :class:`IntegrityError` unless every new file is the one that ``SHA256SUMS`` lists."""
        for number, out in self._out.items():
            digest = hashlib.sha256()
            out.seek(0)
            while data := out.read(BLOCK_BYTES):
                digest.update(data)
            got = Digest.from_hex(digest.hexdigest())
            if got != self._here.digest(number):
                raise IntegrityError(
                    f"{self._cut.words(number)} was made again and is not the one that {SUMS_NAME} lists",
                    where=str(self._places[number]),
                    wanted=self._here.digest(number),
                    got=got,
                    next_step=f"nothing was replaced; copy {SUMS_NAME} and this part again",
                )

    def name(self) -> None:
        """Gives the new files their names; what had them goes now."""
        for number, fresh in self._fresh.items():
            set_mode(fresh, 0o644)
            fresh.replace(self._places[number])
            old = self._here.paths.get(number, self._places[number])
            if old.parent == self._places[number].parent and old != self._places[number]:
                old.unlink()  # the damaged one, under another name
            sync_folder(self._places[number].parent)


def copy_beside(folder: Path, to: Path, here: PartsHere) -> None:
    """Copies what is no part, so that ``to`` is a disc of the set like the others."""
    for source in sorted(folder.iterdir()):
        is_listed = source.name in here.sums and not PART_NAME.fullmatch(source.name)
        if source.is_file() and (is_listed or source.name.startswith(SUMS_NAME)):
            fresh = to / f"{source.name}{REPAIRING}"
            with source.open("rb") as original, fresh.open("wb") as copy:
                shutil.copyfileobj(original, copy, BLOCK_BYTES)
                copy.flush()
                os.fsync(copy.fileno())
            set_mode(fresh, 0o755 if source.name == INSTALL_NAME else 0o644)
            fresh.replace(to / source.name)
    sync_folder(to)
