"""Copies a media set to a folder: proven file by file, gone on with after an interruption, from one disc after another.

The copy is made in a hidden folder beside its name and gets the name when every file in it has been read back and is
the one that ``SHA256SUMS`` lists. What is there already is never copied again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from installer.bundle.digest import Digest
from installer.bundle.durable import set_mode, sync_folder
from installer.bundle.errors import InputError, IntegrityError, OperatorError
from installer.bundle.findparts import PARTIAL, PartsHere, digest_of, find_parts, names_parts
from installer.bundle.repair import repair
from installer.bundle.sums import INSTALL_NAME, SUMS_NAME, incomplete, read_sums

_CHUNK_BYTES = 1024 * 1024
_LEAST_READ_BYTES = 32 * 1024
"""What a DVD corrects at once: of a chunk that cannot be read, as much as one of these is given up."""
_DAMAGED = ".damaged"

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Copied:
    """A finished copy: ``copied`` bytes now, ``kept`` bytes were there from earlier runs; ``repaired`` names parts."""

    folder: Path
    copied_bytes: int
    kept_bytes: int
    repaired: tuple[str, ...]


def copy_media_set(
    folder: Path,
    destination: Path,
    further: Sequence[Path] = (),
    progress: Callable[[int], Advance] = lambda _total: _silent,
) -> Copied:
    """Copies the media set in ``folder`` (and the discs of it in ``further`` and beside it) to ``destination``.

    ``progress`` is told how many bytes there are to copy or to prove, and gives what is called as they are.
    :class:`IntegrityError` says which disc is wanted next, or what is damaged; the same command goes on from there.
    """
    if not folder.is_dir():
        raise InputError("no media set is there", where=str(folder), wanted="its folder", got="no folder")
    sums = read_sums(folder)
    if destination.exists():
        return _there_already(destination, folder, sums, progress)
    sources, here = _sources(folder, sums, further)
    work = destination.parent / f".{destination.name}.copying"
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _begun(work, folder) as fresh:
            return _Copying(fresh, sums, sources, here, destination).run(progress)
    except OSError as error:
        raise OperatorError(
            "the media set cannot be copied",
            where=str(error.filename or work),
            wanted="a folder that can be written, and room",
            got=error.strerror or str(error),
            next_step="mend that, and run the same command again: it goes on from here",
        ) from None


def _silent(_size_bytes: int) -> None:
    pass


def _there_already(
    destination: Path, folder: Path, sums: Mapping[str, Digest], progress: Callable[[int], Advance]
) -> Copied:
    """A destination that is there is this very set, every byte of it, or the copy is refused."""
    own, other = folder / SUMS_NAME, destination / SUMS_NAME
    if not other.is_file() or other.read_bytes() != own.read_bytes():
        raise InputError(
            "something else is there already",
            where=str(destination),
            wanted="no such folder, or a copy of this media set",
            got="another media set" if other.is_file() else "a folder or file without SHA256SUMS",
            next_step="name another folder; nothing is overwritten",
        )
    advance = progress(sum(_size(destination / name) for name in sums))
    bad = [name for name, digest in sums.items() if not _is_whole(destination / name, digest, advance)]
    if bad:
        raise IntegrityError(
            "the copy that is there is damaged",
            where=str(destination),
            wanted="every file that SHA256SUMS lists",
            got=f"all but {', '.join(bad)}",
            next_step=f"./install repair {destination}, or move it away and copy again",
        )
    return Copied(destination, 0, sum(_size(destination / name) for name in sums), ())


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _is_whole(path: Path, digest: Digest, advance: Advance) -> bool:
    try:
        found = digest_of(path)
    except OSError:
        return False
    advance(_size(path))
    return found == digest


def _sources(
    folder: Path, sums: Mapping[str, Digest], further: Sequence[Path]
) -> tuple[dict[str, Path], PartsHere | None]:
    """Where each file is to be had from, and the parts if it is a split set."""
    here = find_parts(folder, sums, further) if names_parts(sums) else None
    found = {name: folder / name for name in sums if (folder / name).is_file()}
    if here is not None:
        found |= {here.set.file_name(number): path for number, path in here.paths.items()}
    return found, here


@contextlib.contextmanager
def _begun(work: Path, folder: Path) -> Iterator[Path]:
    """The hidden folder of this copy, new or from an earlier run, for one writer alone."""
    work.mkdir(exist_ok=True)
    handle = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another copy is running", where=str(work), wanted="one at a time", got="two") from None
        own, begun = (folder / SUMS_NAME).read_bytes(), work / SUMS_NAME
        if begun.is_file() and begun.read_bytes() not in (own, b""):
            raise InputError(
                "a copy of another media set was begun there",
                where=str(work),
                wanted="a copy of this one",
                got="another SHA256SUMS",
                next_step="finish that one, or remove this folder, or name another one",
            )
        for source in sorted(folder.glob(f"{SUMS_NAME}*")):
            fresh = work / f"{source.name}{PARTIAL}"
            fresh.write_bytes(source.read_bytes())
            fresh.replace(work / source.name)
        yield work
    finally:
        os.close(handle)


class _Copying:
    """One run: copies what ``sources`` have and the folder ``work`` lacks."""

    def __init__(
        self,
        work: Path,
        sums: Mapping[str, Digest],
        sources: Mapping[str, Path],
        here: PartsHere | None,
        destination: Path,
    ) -> None:
        self._work, self._sums, self._sources, self._here = work, sums, sources, here
        self._destination = destination
        self._copied_bytes = self._kept_bytes = 0

    def run(self, progress: Callable[[int], Advance]) -> Copied:
        """Copies, repairs what parity can, and gives the copy its name."""
        there = [name for name in self._sums if (self._work / name).is_file()]
        to_do = [name for name in self._sums if name not in there and name in self._sources]
        self._demand_room(to_do)
        advance = progress(
            sum(_size(self._work / name) for name in there) + sum(_size(self._sources[name]) for name in to_do)
        )
        for name in there:
            if _is_whole(self._work / name, self._sums[name], advance):
                self._kept_bytes += _size(self._work / name)
            else:
                (self._work / name).rename(self._work / f"{name}{_DAMAGED}")
                to_do += [name] if name in self._sources else []
        for name in to_do:
            self._copy(name, advance)
        repaired = self._repaired()
        missing = [name for name in self._sums if not (self._work / name).is_file()]
        if missing:
            raise self._unfinished(missing)
        self._name()
        return Copied(self._destination, self._copied_bytes, self._kept_bytes, repaired)

    def _demand_room(self, names: Sequence[str]) -> None:
        begun_bytes = sum(_size(self._work / f"{name}{PARTIAL}") for name in names)
        needed_bytes = sum(_size(self._sources[name]) for name in names) - begun_bytes
        free_bytes = shutil.disk_usage(self._work).free
        if needed_bytes > free_bytes:
            raise InputError(
                "not enough room for the copy",
                where=str(self._work.parent),
                wanted=f"{needed_bytes} bytes",
                got=f"{free_bytes} bytes free",
                next_step="make room, or name a folder on another disk",
            )

    def _copy(self, name: str, advance: Advance) -> None:
        """Copies one file, going on with a partial one whose bytes agree; what is not whole then is set aside."""
        source, partial = self._sources[name], self._work / f"{name}{PARTIAL}"
        handle = os.open(partial, os.O_RDWR | os.O_CREAT, 0o644)
        with source.open("rb") as original, os.fdopen(handle, "r+b", buffering=0) as copy:
            size_bytes = _size(source)
            at_bytes = _agreeing(original, copy, size_bytes, advance)
            self._kept_bytes += at_bytes
            copy.truncate(at_bytes)
            copy.seek(at_bytes)
            for data in _rest(original, at_bytes, size_bytes):
                _write(copy, data)
                self._copied_bytes += len(data)
                advance(len(data))
            os.fsync(copy.fileno())
            with contextlib.suppress(OSError):  # what is read back comes from the disk and not from memory
                os.posix_fadvise(copy.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        is_whole = digest_of(partial) == self._sums[name]
        kept = self._work / (name if is_whole else f"{name}{_DAMAGED}")
        partial.replace(kept)
        if is_whole:
            set_mode(kept, 0o755 if name == INSTALL_NAME else 0o644)
            (self._work / f"{name}{_DAMAGED}").unlink(missing_ok=True)
        sync_folder(self._work)

    def _repaired(self) -> tuple[str, ...]:
        """What of the copy parity made whole: only where every part was copied, or is damaged."""
        here = self._here
        if here is None or not here.set.parity:
            return ()
        names = [here.set.file_name(number) for number in here.set.numbers]
        damaged = [name for name in names if (self._work / f"{name}{_DAMAGED}").is_file()]
        if not damaged or any(not (self._work / name).is_file() and name not in damaged for name in names):
            return ()
        with contextlib.suppress(IntegrityError):
            found = repair(self._work, (), self._work)
            return tuple(here.set.file_name(number) for number in found.paths)
        return ()

    def _unfinished(self, missing: list[str]) -> IntegrityError:
        """The error for a copy that is not complete: which disc is wanted next, or what is damaged."""
        damaged = [name for name in missing if (self._work / f"{name}{_DAMAGED}").is_file()]
        absent = [name for name in missing if name not in damaged]
        if self._here is None or not absent:
            return self._damaged(damaged) if damaged else incomplete(self._work, missing)
        cut = self._here.set
        discs = sorted({cut.disc_of(number) for number in cut.numbers if cut.file_name(number) in absent})
        got = [f"{cut.total - len(missing)} of {cut.total} parts, all of them whole"]
        if damaged:
            hope = "is repaired at the end" if len(damaged) <= cut.parity else "must be copied again"
            got.append(f"damaged: {', '.join(damaged)}; {hope}")
        next_step = f"./install copy {self._destination}"
        if cut.discs > 1 and discs:
            next_step = f"mount disc {discs[0]} and run there:  {next_step}"
        if len(missing) <= cut.parity:
            next_step += f"\nor, if it is lost:  ./install repair {self._work}\nand the same command again"
        return IntegrityError(
            "the copy is not complete yet",
            where=str(self._work),
            wanted=f"disc {', '.join(map(str, discs))} of {cut.discs}" if cut.discs > 1 else ", ".join(absent),
            got="\n".join(got),
            next_step=next_step,
        )

    def _damaged(self, names: list[str]) -> IntegrityError:
        return IntegrityError(
            f"{', '.join(names)} cannot be copied whole",
            where="\n".join(str(self._sources.get(name, self._work / name)) for name in names),
            wanted="bytes that have the listed digests",
            got="others, or bytes that cannot be read",
            next_step="clean the disc or take another copy of it,\nand run the same command again;\n"
            f"what is whole is kept in {self._work}",
        )

    def _name(self) -> None:
        """The copy is whole and on the disk: it gets its name."""
        for path in self._work.iterdir():
            if path.name not in self._sums and not path.name.startswith(SUMS_NAME):
                path.unlink()
        set_mode(self._work, 0o755)
        sync_folder(self._work)
        self._work.rename(self._destination)
        sync_folder(self._destination.parent)


def _agreeing(original: BinaryIO, copy: BinaryIO, size_bytes: int, advance: Advance) -> int:
    """How many bytes at the beginning of ``copy`` are those of ``original``, in whole chunks."""
    at_bytes = 0
    while at_bytes < size_bytes:
        begun = os.pread(copy.fileno(), _CHUNK_BYTES, at_bytes)
        if not begun:
            break
        try:
            wanted = os.pread(original.fileno(), len(begun), at_bytes)
        except OSError:
            break
        if begun != wanted:
            break
        at_bytes += len(begun)
        advance(len(begun))
    return at_bytes


def _rest(original: BinaryIO, at_bytes: int, size_bytes: int) -> Iterator[bytes]:
    """The bytes from ``at_bytes`` on; zeros for what cannot be read."""
    while at_bytes < size_bytes:
        length_bytes = min(_CHUNK_BYTES, size_bytes - at_bytes)
        data = _read(original, at_bytes, length_bytes)
        if not data:
            return
        yield data
        at_bytes += len(data)


def _read(original: BinaryIO, at_bytes: int, length_bytes: int) -> bytes:
    try:
        return os.pread(original.fileno(), length_bytes, at_bytes)
    except OSError:
        pass
    found = b""
    for start in range(at_bytes, at_bytes + length_bytes, _LEAST_READ_BYTES):
        size_bytes = min(_LEAST_READ_BYTES, at_bytes + length_bytes - start)
        try:
            found += os.pread(original.fileno(), size_bytes, start).ljust(size_bytes, b"\0")
        except OSError:
            found += bytes(size_bytes)
    return found


def _write(copy: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[copy.write(left) :]
