"""The far side of a delta: the whole media set, byte for byte, from what the site has and what the delta carries.

The tarball is packed anew by the very code that packed it on the builder, so what old blobs are compressed like does
not matter; its digest must be the one that the delta names. It is written under a hidden name and gets its own only
when all of it is proven, so a run that was interrupted is begun again and nothing is half there.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from installer.bundle import diagnose, patch
from installer.bundle.basis import Bases, Basis
from installer.bundle.delta import Delta, Patch, file_member, patch_member, section_member
from installer.bundle.deltaset import DeltaSet
from installer.bundle.digest import Digest
from installer.bundle.errors import InputError, IntegrityError
from installer.bundle.layout import INDEX_NAME, blob_name
from installer.bundle.mediafolder import only_writer, partial_folder, remove_leftovers, replace_folder, settle
from installer.bundle.pack import Packed, SupportsWrite, Verbatim, write_tarball
from installer.bundle.reader import TARBALL_SUFFIX
from installer.bundle.sums import INSTALL_NAME, SUMS_NAME, parse_sums

_MEGA = 1_000_000
_MOST_NAMED = 5
_BESIDE_BYTES = 256 * 1024
"""The folder itself, and what a file system rounds up."""


@dataclass(frozen=True)
class Rebuilt:
    """A finished media set; ``was_there`` if it was before."""

    folder: Path
    size_bytes: int
    was_there: bool


class RebuiltBlobs:
    """Every blob of the new bundle, from the place that the delta says: a source for :func:`write_tarball`."""

    def __init__(self, source: DeltaSet, bases: Bases) -> None:
        self._source = source
        self._bases = bases
        self._carried = {item.digest for item in source.delta.carried}
        self._patches = {item.blob: item for item in source.delta.patches}
        self._sizes = {blob.digest: blob.size_bytes for blob in source.index.blobs}
        self._needs = {item.digest: item.size_bytes for item in source.delta.needs}

    @contextmanager
    def open(self, digest: Digest, /) -> Iterator[_Pieces]:
        """The blob for reading."""
        yield _Pieces(self._parts(digest))

    def _parts(self, digest: Digest) -> Iterator[bytes]:
        if digest in self._carried:
            return self._source.chunks(blob_name(digest))
        if digest in self._patches:
            return iter([self._patched(self._patches[digest])])
        return self._old(digest)

    def _old(self, digest: Digest) -> Iterator[bytes]:
        basis = self._bases.find(digest)
        if basis is None:
            raise IntegrityError("a blob that the delta needs is gone", where=digest, wanted="what --base had before")
        return basis.chunks(digest)

    def _patched(self, item: Patch) -> bytes:
        if self._needs[item.base] > patch.MOST_BYTES:
            wanted = f"at most {patch.MOST_BYTES} bytes to patch from"
            raise IntegrityError("a patch is for more than fits in memory", where=item.base, wanted=wanted)
        old = b"".join(self._old(item.base))
        made = patch.apply(old, self._source.read(patch_member(item.blob)), self._sizes[item.blob])
        if (got := Digest.of(made)) != item.blob:
            where = f"{self._source.path}, {patch_member(item.blob)}"
            raise IntegrityError("a patch makes other bytes", where=where, wanted=item.blob, got=got)
        return made


class _Pieces:
    """A blob in the pieces it comes in."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def read(self, _size: int = -1, /) -> bytes:
        """The next piece; ``b""`` at the verified end."""
        return next(self._parts, b"")


def demand_bases(source: DeltaSet, bases: Bases) -> None:
    """Raises :class:`InputError` naming what the site lacks; only indexes and names are looked at."""
    delta = source.delta
    missing = [item for item in delta.needs if bases.find(item.digest) is None]
    if not missing:
        return
    named = [f"{_of(source, item.digest)}" for item in missing[:_MOST_NAMED]]
    named += [f"and {len(missing) - _MOST_NAMED} more"] if len(missing) > _MOST_NAMED else []
    size_bytes = sum(item.size_bytes for item in missing)
    here = [basis.about for basis in bases.bases] or ["no base; name the old media set with --base DIR"]
    raise InputError(
        "this site has not what the delta is made against",
        where=str(source.folder),
        wanted="\n".join(f"{item.name}, identity {item.identity}" for item in delta.bases) or "the blobs named here",
        got="\n".join(
            [*here, f"missing {len(missing)} of {len(delta.needs)} blobs, {size_bytes / _MEGA:.1f} MB:", *named]
        ),
        next_step="name where those lie with a further --base DIR, or ask for a delta against what is here:\n"
        "./install inventory --out site.json  says to the builder what that is",
    )


def _of(source: DeltaSet, digest: Digest) -> str:
    """What a blob that is needed belongs to."""
    if (holder := diagnose.holder(source.index, digest)) is not None:
        return holder if "sha256:" in holder else f"{holder}, {digest}"
    patched = next((item.blob for item in source.delta.patches if item.base == digest), None)
    holder = diagnose.holder(source.index, patched) if patched else None
    return f"{digest}, from which {holder or 'a blob'} is made"


def rebuild_tarball(
    source: DeltaSet,
    bases: Bases,
    out: SupportsWrite,
    *,
    jobs: int,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Packed:
    """Writes the new tarball to ``out``; ``progress`` gets uncompressed bytes. Whether it is the wanted one, the
    caller compares.
    """
    verbatim = {
        item.first: Verbatim(item.frame_sizes, functools.partial(source.chunks, section_member(number)))
        for number, item in enumerate(source.delta.sections)
    }
    blobs = RebuiltBlobs(source, bases)
    return write_tarball(source.index, blobs, out, jobs=jobs, verbatim=verbatim, progress=progress)


def rebuild(
    source: DeltaSet,
    bases: Bases,
    out: Path,
    *,
    jobs: int,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Rebuilt:
    """Writes ``out/<name of the new bundle>``; :class:`InputError` beforehand for what is missing or no room."""
    demand_bases(source, bases)
    source.demand_zstd()
    folder = out / source.delta.bundle.name
    needed_bytes = rebuilt_bytes(source)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with only_writer(out):
            remove_leftovers(out, folder.name)
            if folder.exists():
                _demand_the_same(source, folder)
                return Rebuilt(folder, needed_bytes, was_there=True)
            demand_room(out, needed_bytes)
            with partial_folder(out, folder.name) as partial:
                _write(source, bases, partial, jobs=jobs, progress=progress)
                replace_folder(folder, partial)
    except OSError as error:
        raise InputError(
            "the media set cannot be written",
            where=str(folder),
            wanted=f"room for {needed_bytes / _MEGA:.1f} MB",
            got=f"{error.strerror or error}",
            next_step="make room, or name another folder with --out DIR; nothing is left of this one",
        ) from None
    return Rebuilt(folder, needed_bytes, was_there=False)


def rebuilt_bytes(source: DeltaSet) -> int:
    """What the new media set takes."""
    beside = sum((source.folder / name).stat().st_size for name in (INSTALL_NAME, INDEX_NAME))
    return source.delta.tarball.size_bytes + sum(item.content.size_bytes for item in source.delta.files) + beside


def demand_room(out: Path, needed_bytes: int) -> None:
    """Raises :class:`InputError` unless the file system of ``out`` has room for as much."""
    state = os.statvfs(out)
    free_bytes = state.f_bavail * state.f_frsize
    if free_bytes < needed_bytes + _BESIDE_BYTES:
        raise InputError(
            "not enough room",
            where=f"--out {out}",
            wanted=f"{(needed_bytes + _BESIDE_BYTES) / _MEGA:.1f} MB free, which the whole media set takes",
            got=f"{free_bytes / _MEGA:.1f} MB free",
            next_step="make room, or name another place with --out DIR",
        )


def _write(source: DeltaSet, bases: Bases, folder: Path, *, jobs: int, progress: Callable[[int], None]) -> None:
    """All of the media set, proven against the sums that it brings."""
    delta = source.delta
    for item in delta.files:
        (folder / item.name).write_bytes(source.read(file_member(item.name)))
    shutil.copyfile(source.folder / INSTALL_NAME, folder / INSTALL_NAME)
    (folder / INDEX_NAME).write_bytes(source.index.to_bytes())
    tarball = folder / (delta.bundle.name + TARBALL_SUFFIX)
    with tarball.open("xb") as stream:
        packed = rebuild_tarball(source, bases, stream, jobs=jobs, progress=progress)
    demand_wanted(delta, packed, str(source.folder), tuple(bases.bases))
    _demand_sums(folder, tarball.name, packed.digest)
    settle(folder, {INSTALL_NAME: 0o755}, source.index.created_seconds)


def demand_wanted(delta: Delta, packed: Packed, where: str, bases: tuple[Basis, ...] = ()) -> None:
    """Raises :class:`IntegrityError` where the tarball that came out is another one."""
    if (packed.digest, packed.size_bytes) != (delta.tarball.digest, delta.tarball.size_bytes):
        raise IntegrityError(
            "the rebuilt tarball is not the builder's, although each of its blobs is whole",
            where="\n".join([where, *(basis.about for basis in bases)]),
            wanted=f"{delta.tarball.digest}, {delta.tarball.size_bytes} bytes",
            got=f"{packed.digest}, {packed.size_bytes} bytes",
            next_step="carry the whole media set instead, and report this",
        )


def _demand_sums(folder: Path, tarball: str, digest: Digest) -> None:
    """Every file that the new SHA256SUMS lists is there and has its digest."""
    path = folder / SUMS_NAME
    for name, wanted in parse_sums(path.read_text(encoding="ascii", errors="replace"), str(path)).items():
        if not (folder / name).is_file():
            raise IntegrityError("the delta does not carry all of the new media set", where=name, wanted=wanted)
        got = digest if name == tarball else _digest(folder / name)
        if got != wanted:
            message, next_step = f"{name} is damaged", "copy the delta again; if this stays, make it again"
            raise IntegrityError(message, where=f"{name} of the delta", wanted=wanted, got=got, next_step=next_step)


def _digest(path: Path) -> Digest:
    with path.open("rb") as stream:
        return Digest.from_hex(hashlib.file_digest(stream, "sha256").hexdigest())


def _demand_the_same(source: DeltaSet, folder: Path) -> None:
    """What bears the name already must be this very media set, every byte of it; nothing of it is touched."""
    delta = source.delta
    wanted = {item.name: item.content.digest for item in delta.files}
    wanted |= {INDEX_NAME: delta.bundle.identity, delta.bundle.name + TARBALL_SUFFIX: delta.tarball.digest}
    wanted |= {INSTALL_NAME: _digest(source.folder / INSTALL_NAME)}
    for name, digest in sorted(wanted.items()):
        path = folder / name
        if not path.is_file() or (got := _digest(path)) != digest:
            raise InputError(
                "the folder to write is there already, with other content",
                where=str(path),
                wanted=f"nothing, or {delta.bundle.name} as the delta makes it: {digest}",
                got=got if path.is_file() else "no such file",
                next_step="move it away, or name another place with --out DIR",
            )
