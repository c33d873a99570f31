"""Splits a media set for media that are smaller than it: parts, each with its header, and parity parts.

The source is proven while it is read, and the new folder gets its name when everything in it is on the disk.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.cutting import Medium, Tarball, cut_for
from bundler.errors import InputError, IntegrityError
from bundler.room import Need, demand_room, demand_writable, write_error
from bundler.signing import sign_folder
from installer.bundle.digest import Digest
from installer.bundle.findparts import names_parts
from installer.bundle.galois import encoded
from installer.bundle.mediafolder import only_writer, partial_folder, remove_leftovers, replace_folder, settle
from installer.bundle.parts import BLOCK_BYTES, PART_NAME, PartSet, table
from installer.bundle.reader import Bundle, open_media_set
from installer.bundle.sums import INSTALL_NAME, SUMS_NAME, read_sums, sums_text

if TYPE_CHECKING:
    from bundler.signkey import SigningKey

PARTS_SUFFIX = ".parts"
_SLICE_BYTES = 256 * 1024

Advance = Callable[[int], None]


@dataclass(frozen=True)
class SplitSet:
    """A finished split: its folder, how it is cut, and the folder of each disc with the bytes in it."""

    folder: Path
    cut: PartSet
    discs: tuple[tuple[Path, int], ...]


def split_media_set(
    source: Path,
    out: Path,
    medium: Medium,
    percent: int,
    *,
    key: SigningKey | None = None,
    progress: Callable[[int], Advance],
    further: tuple[Path, ...] = (),
    option: str = "--to",
) -> SplitSet:
    """Writes ``out/<name>.parts`` from the media set in ``source``, signed with ``key``; one of that name is replaced
    at the end.

    ``progress`` is told how many bytes are going to be read and gives what is called as they are. ``option`` named
    ``out``.
    """
    demand_writable(option, out)
    with open_media_set(source, further) as bundle:
        if bundle.folder is None:
            raise InputError(
                "a tarball alone cannot be split",
                where=str(source),
                wanted="the media set's folder, whose SHA256SUMS says what the tarball must be",
                got="a file",
                next_step="name the folder",
            )
        sums = read_sums(bundle.folder)
        tarball = Tarball(bundle.index.name, bundle.identity, bundle.size_bytes, _digest(bundle, sums), bundle.frames)
        beside = _beside(bundle.folder, sums, bundle.path.name)
        cut = cut_for(tarball, medium, percent, sum(map(len, beside.values())) + _sums_bytes(sums, tarball.name))
        needed_bytes = sum(map(cut.file_bytes, cut.numbers)) + cut.discs * sum(map(len, beside.values()))
        advance = progress(cut.tarball_bytes * (2 if cut.parity else 1))
        folder = out / f"{cut.name}{PARTS_SUFFIX}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            with only_writer(out):
                remove_leftovers(out, folder.name)
                demand_room([Need(option, out, needed_bytes)])
                with partial_folder(out, folder.name) as partial:
                    discs = _write(
                        _Cutting(bundle, cut, advance), partial, beside, key, is_one=medium.disc_bytes is None
                    )
                    replace_folder(folder, partial)
        except OSError as error:
            next_step = "make room or name another folder"
            message = "the parts cannot be written"
            raise write_error(message, error, folder, needed_bytes=needed_bytes, next_step=next_step) from None
    return SplitSet(folder, cut, tuple((folder / disc, _size_of(folder / disc)) for disc in discs))


def _digest(bundle: Bundle, sums: dict[str, Digest]) -> Digest:
    """What the tarball must be: by ``SHA256SUMS``, or by the headers of the parts that it is in already."""
    return bundle.joined.cut.tarball_digest if bundle.joined else sums[bundle.path.name]


def _beside(folder: Path, sums: dict[str, Digest], tarball: str) -> dict[str, bytes]:
    """The small files that every disc gets, proven."""
    found = {}
    for name, digest in sums.items():
        if name == tarball or (names_parts(sums) and PART_NAME.fullmatch(name)):
            continue
        found[name] = (folder / name).read_bytes()
        if (got := Digest.of(found[name])) != digest:
            where = str(folder / name)
            raise IntegrityError(f"{name} is damaged", where=where, wanted=digest, got=got, next_step="copy it again")
    return found


def _sums_bytes(sums: dict[str, Digest], name: str) -> int:
    """The most that the new ``SHA256SUMS`` and a signature of it take."""
    return 16_384 + 255 * (64 + 2 + len(name) + 16) + sum(len(other) + 67 for other in sums)


def _size_of(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.iterdir() if entry.is_file())


@dataclass(frozen=True)
class _Cutting:
    """The tarball being cut."""

    bundle: Bundle
    cut: PartSet
    advance: Advance

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Bytes of the tarball."""
        data = self.bundle.read_bytes(offset_bytes, length_bytes)
        self.advance(len(data))
        return data


def _write(
    work: _Cutting, folder: Path, beside: dict[str, bytes], key: SigningKey | None, *, is_one: bool
) -> list[str]:
    """Writes everything below ``folder``; the discs' folders in it (``.`` where there is only one)."""
    cut = work.cut
    discs = ["."] if is_one else [f"disc{number}" for number in range(1, cut.discs + 1)]
    for disc in discs:
        (folder / disc).mkdir(exist_ok=True)
    paths = {number: folder / discs[cut.disc_of(number) - 1] / cut.file_name(number) for number in cut.numbers}
    digests, checks = _write_data(work, paths)
    if cut.parity:
        digests |= _write_parity(work, paths, checks)
    sums = {cut.file_name(number): digest for number, digest in digests.items()}
    sums |= {name: Digest.of(content) for name, content in beside.items()}
    for disc in discs:
        for name, content in beside.items():
            (folder / disc / name).write_bytes(content)
        (folder / disc / SUMS_NAME).write_text(sums_text(sums), encoding="ascii")
        sign_folder(folder / disc, key)
        settle(folder / disc, {INSTALL_NAME: 0o755}, work.bundle.index.created_seconds)
    if not is_one:
        settle(folder, dict.fromkeys(discs, 0o755), work.bundle.index.created_seconds)
    return discs


def _write_data(work: _Cutting, paths: dict[int, Path]) -> tuple[dict[int, Digest], list[list[int]]]:
    """The parts of the tarball: their digests, and the checksums of their blocks. The tarball itself is proven."""
    cut, whole = work.cut, hashlib.sha256()
    digests, checks = {}, []
    for number in range(1, cut.data + 1):
        own = hashlib.sha256(cut.header(number))
        crcs = []
        with paths[number].open("xb") as stream:
            stream.write(cut.header(number))
            for block in range(cut.blocks):
                data = work.read(cut.start_bytes(number) + block * BLOCK_BYTES, cut.block_bytes(number, block))
                for digest in (own, whole):
                    digest.update(data)
                crcs.append(zlib.crc32(data))
                stream.write(data)
        digests[number] = Digest.from_hex(own.hexdigest())
        checks.append(crcs)
    if (got := Digest.from_hex(whole.hexdigest())) != cut.tarball_digest:
        raise IntegrityError(
            "the tarball to split is damaged",
            where=str(work.bundle.path),
            wanted=cut.tarball_digest,
            got=got,
            next_step="bundle verify names the damage; copy or build the media set again",
        )
    return digests, checks


def _write_parity(work: _Cutting, paths: dict[int, Path], checks: list[list[int]]) -> dict[int, Digest]:
    """The parity parts: their digests. What is read for them must be what was read for the parts themselves."""
    cut = work.cut
    numbers = range(cut.data + 1, cut.total + 1)
    streams = [paths[number].open("xb") for number in numbers]
    own = [hashlib.sha256() for _ in numbers]
    parity_checks: list[list[int]] = [[] for _ in numbers]
    try:
        for stream, digest, number in zip(streams, own, numbers, strict=True):
            stream.write(cut.header(number))
            digest.update(cut.header(number))
        for block in range(cut.blocks):
            crcs = [0] * cut.total
            for slices in _slices(work, block, crcs):
                for at, data in enumerate(slices):
                    streams[at].write(data)
                    own[at].update(data)
                    crcs[cut.data + at] = zlib.crc32(data, crcs[cut.data + at])
            _demand_same(work, block, crcs, checks)
            for at, found in enumerate(parity_checks):
                found.append(crcs[cut.data + at])
        end = table([check for crcs in (*checks, *parity_checks) for check in crcs])
        for stream, digest in zip(streams, own, strict=True):
            stream.write(end)
            digest.update(end)
    finally:
        for stream in streams:
            stream.close()
    return {number: Digest.from_hex(digest.hexdigest()) for number, digest in zip(numbers, own, strict=True)}


def _slices(work: _Cutting, block: int, crcs: list[int]) -> Iterator[list[bytes]]:
    """The parity of a block of every part, slice by slice; ``crcs`` gets the checksums of what is read."""
    cut = work.cut
    length_bytes = min(BLOCK_BYTES, cut.longest_bytes - block * BLOCK_BYTES)
    for at_bytes in range(0, length_bytes, _SLICE_BYTES):
        size_bytes = min(_SLICE_BYTES, length_bytes - at_bytes)
        data = []
        for number in range(1, cut.data + 1):
            there = max(0, min(size_bytes, cut.block_bytes(number, block) - at_bytes))
            data.append(work.read(cut.start_bytes(number) + block * BLOCK_BYTES + at_bytes, there))
            crcs[number - 1] = zlib.crc32(data[-1], crcs[number - 1])
        yield [made.ljust(size_bytes, b"\0") for made in encoded(data, cut.parity)]


def _demand_same(work: _Cutting, block: int, crcs: list[int], checks: list[list[int]]) -> None:
    for number in range(1, work.cut.data + 1):
        if crcs[number - 1] != checks[number - 1][block]:
            raise IntegrityError(
                "the tarball changed while it was split, or cannot be read the same twice",
                where=str(work.bundle.path),
                wanted=f"the same bytes around {work.cut.start_bytes(number) + block * BLOCK_BYTES}",
                got="others",
                next_step="run it again; if this stays, the disk is failing",
            )
