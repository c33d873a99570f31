"""Makes a delta: what a site lacks of a new media set, by what an old one or the site's inventory says that it has.

Blobs that the site has are left out; programs and, of dense bundles, layers are patches against the old ones; the rest
is carried. A delta gets its name only when the new tarball was made of it and of the old bytes here, byte for byte.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bundler.deltapairs import pairs
from bundler.errors import InputError
from bundler.installlook import demand_rebuilds
from bundler.patching import patch_bytes
from bundler.progress import Progress
from bundler.room import Need, demand_room, write_error
from bundler.signing import sign_folder
from installer.bundle import mediatypes
from installer.bundle.basis import Bases, MediaBasis
from installer.bundle.delta import (
    DELTA_NAME,
    DELTA_SUFFIX,
    BundleName,
    CarriedFile,
    CarriedSection,
    Delta,
    Patch,
    Sized,
)
from installer.bundle.deltaset import open_delta
from installer.bundle.dense import ZSTD
from installer.bundle.digest import Digest
from installer.bundle.inventory import Inventory, Judgement, judge
from installer.bundle.layout import INDEX_NAME, Section
from installer.bundle.mediafolder import only_writer, partial_folder, remove_leftovers, replace_folder, settle
from installer.bundle.pack import Packed, Packing, VerifiedReader, write_layout
from installer.bundle.patch import MOST_BYTES
from installer.bundle.reader import Bundle
from installer.bundle.rebuild import demand_wanted, rebuild_tarball
from installer.bundle.sums import INSTALL_NAME, SUMS_NAME, read_sums, signature_names, sums_text

if TYPE_CHECKING:
    from bundler.signkey import SigningKey

_WORTH = 0.9
"""A patch that takes more of what carrying would take is not made use of."""


@dataclass(frozen=True)
class Made:
    """A finished delta: its folder and size, the whole media set's, and what is in it. ``against`` is what the site
    may object to.
    """

    folder: Path
    delta: Delta
    size_bytes: int
    whole_bytes: int
    against: tuple[Judgement, ...]


class _Known(Protocol):
    """What a site has."""

    def holds(self, digest: Digest, /) -> bool:
        """Whether it has the blob."""


@dataclass(frozen=True)
class OldBase:
    """What the delta is against: the ``bundle`` at hand, or what an inventory ``site`` lists (with neither bytes nor
    patches, unless a media set that it lists is at hand, too).
    """

    bundle: Bundle | None
    site: Inventory | None
    name: str

    @property
    def held(self) -> set[Digest]:
        """Every blob that the site has."""
        if self.site is not None:
            return {item.digest for item in self.site.blobs}
        return {blob.digest for blob in self.bundle.index.blobs} if self.bundle else set()

    @property
    def names(self) -> tuple[BundleName, ...]:
        """The bundles it was made against."""
        if self.site is not None:
            return self.site.media
        return (BundleName(self.bundle.index.name, self.bundle.identity),) if self.bundle else ()


@dataclass(frozen=True)
class _Parts:
    """What is decided about a delta before it is written; ``patches`` are files under their digests."""

    delta: Delta
    patches: Path


def make_delta(
    old: OldBase, new: Bundle, out: Path, *, key: SigningKey | None = None, jobs: int, progress: Progress
) -> Made:
    """Writes ``out/<new>-from-<old>``, signed with ``key``. Another delta of that name is replaced at the end."""
    folder = _demand_whole(new)
    against = tuple(judge(old.site, new.index, new.size_bytes)) if old.site else ()
    if certain := [item.what for item in against if item.is_certain]:
        raise InputError(
            "that site cannot install this bundle",
            where=old.name,
            wanted="a machine that the bundle is for",
            got="\n".join(certain),
            next_step="build a bundle for it, with --arch",
        )
    name = delta_name(old, new)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with only_writer(out):
            remove_leftovers(out, name)
            demand_room([Need("--out", out, new.size_bytes + (folder / INSTALL_NAME).stat().st_size)])
            with partial_folder(out, name) as partial:
                patches = partial / "patches"
                patches.mkdir()
                parts = _Parts(_decided(old, new, folder, patches, progress), patches)
                parts = _proven(parts, old, new, partial, jobs=jobs, progress=progress)
                shutil.rmtree(patches)
                sign_folder(partial, key)
                settle(partial, {INSTALL_NAME: 0o755}, new.index.created_seconds)
                replace_folder(out / name, partial)
    except OSError as error:
        next_step = "make room or name another folder with --out DIR"
        raise write_error("the delta cannot be written", error, out, needed_bytes=None, next_step=next_step) from None
    size_bytes = sum(entry.stat().st_size for entry in (out / name).iterdir())
    whole_bytes = sum(entry.stat().st_size for entry in folder.iterdir())
    return Made(out / name, parts.delta, size_bytes, whole_bytes, against)


def delta_name(old: OldBase, new: Bundle) -> str:
    """``k8s-v1.30.14-linux-amd64-from-k8s-v1.30.13-linux-amd64``; an identity where both have one name."""
    of = old.name
    if of == new.index.name and old.bundle is not None:
        of = old.bundle.identity.hex[:12]
    return f"{new.index.name}-from-{of}"


def _demand_whole(new: Bundle) -> Path:
    """The new media set's folder, which must have all that a node needs."""
    sums = read_sums(new.folder) if new.folder else {}
    if new.folder is None or {INSTALL_NAME, INDEX_NAME, new.path.name} - set(sums):
        raise InputError(
            "the new one is not a whole media set",
            where=str(new.path),
            wanted=f"a folder with install, the tarball in one file, and {SUMS_NAME}",
            got="a tarball alone" if new.folder is None else ", ".join(sorted(sums)),
            next_step="name the folder that bundle build wrote",
        )
    demand_rebuilds(new.folder / INSTALL_NAME, new.index.name)
    return new.folder


def _decided(old: OldBase, new: Bundle, folder: Path, patches: Path, progress: Progress) -> Delta:
    """The delta's document; patches are written on the way, as their sizes are in it."""
    held, descriptors = old.held, new.index.descriptors()
    lacking = [blob for blob in new.index.blobs if blob.digest not in held]
    made = list(_patches(old, new, {blob.digest for blob in lacking}, patches, progress)) if old.bundle else []
    patched = {item.blob for item in made}
    needed = {blob.digest: blob.size_bytes for blob in new.index.blobs if blob.digest in held}
    if old.bundle is not None:
        sizes = old.bundle.index.descriptors()
        needed |= {item.base: sizes[item.base].size_bytes for item in made}
    sums = read_sums(folder)
    return Delta(
        name=delta_name(old, new),
        created_seconds=new.index.created_seconds,
        zstd=ZSTD,
        bundle=BundleName(new.index.name, new.identity),
        tarball=Sized(sums[new.path.name], new.size_bytes),
        files=tuple(_files(folder, sums, new.path.name)),
        bases=old.names,
        needs=tuple(Sized(digest, needed[digest]) for digest in sorted(needed)),
        carried=tuple(
            Sized(blob.digest, descriptors[blob.digest].size_bytes) for blob in lacking if blob.digest not in patched
        ),
        patches=tuple(made),
        sections=(),
    )


def _files(folder: Path, sums: Mapping[str, Digest], tarball: str) -> Iterator[CarriedFile]:
    """The sums, the signatures, and whatever else the sums list beside what stands in the delta's folder."""
    for name in sorted({SUMS_NAME, *signature_names(folder), *(set(sums) - {INSTALL_NAME, INDEX_NAME, tarball})}):
        data = (folder / name).read_bytes()
        yield CarriedFile(name, Sized(Digest.of(data), len(data)))


def _patches(old: OldBase, new: Bundle, lacking: set[Digest], patches: Path, progress: Progress) -> Iterator[Patch]:
    """A patch for each blob that has an older one, where that is worth it."""
    if old.bundle is None:
        return
    found = [
        (base, blob)
        for base, blob in pairs(old.bundle.index, new.index)
        if blob.digest in lacking and max(base.size_bytes, blob.size_bytes) <= MOST_BYTES and base.digest in old.held
    ]
    with progress.task("patch", sum(blob.size_bytes for _, blob in found)) as task:
        for base, blob in found:
            data = patch_bytes(b"".join(old.bundle.chunks(base.digest)), b"".join(new.chunks(blob.digest)))
            task.advance(blob.size_bytes)
            if len(data) < _WORTH * _packed_bytes(new, blob.digest):
                digest = Digest.of(data)
                (patches / digest.hex).write_bytes(data)
                yield Patch(blob.digest, base.digest, Sized(digest, len(data)))


def _packed_bytes(new: Bundle, digest: Digest) -> int:
    """What the blob takes in the new tarball, by its share of the frames it is in."""
    section = new.layout.section_of(new.member(digest))
    packed_bytes = sum(
        frame.compressed_bytes
        for frame in new.frames
        if frame.overlaps(section.members[0].offset_bytes, section.stored_bytes)
    )
    return packed_bytes * new.member(digest).size_bytes // max(1, section.stored_bytes)


def _proven(parts: _Parts, old: OldBase, new: Bundle, folder: Path, *, jobs: int, progress: Progress) -> _Parts:
    """Writes the delta and makes the new tarball of it; what does not come out as it was is carried as it is."""
    parts, packed = _tried(parts, old, new, folder, jobs=jobs, progress=progress)
    if packed.digest != parts.delta.tarball.digest:
        progress.say("note      compressed differently by this builder: such parts are carried as they are")
        parts = replace(parts, delta=_with_sections(parts.delta, new, jobs))
        parts, packed = _tried(parts, old, new, folder, jobs=jobs, progress=progress)
    demand_wanted(parts.delta, packed, str(new.path))
    return parts


def _tried(
    parts: _Parts, old: OldBase, new: Bundle, folder: Path, *, jobs: int, progress: Progress
) -> tuple[_Parts, Packed]:
    _write(parts, new, folder, jobs=jobs)
    # With no old bytes here, the new ones stand in for what is unchanged: they have the same digests.
    bases = Bases((MediaBasis(old.bundle or new), *((MediaBasis(new),) if old.site else ())))
    with open_delta(folder) as source, progress.task("prove", new.layout.size_bytes) as task:
        packed = rebuild_tarball(source, bases, _Nowhere(), jobs=jobs, progress=task.advance)
    return parts, packed


class _Nowhere:
    """Takes bytes that are only hashed."""

    def write(self, _data: bytes, /) -> None:
        """Nothing is kept."""


def _with_sections(delta: Delta, new: Bundle, jobs: int) -> Delta:
    """The delta with every section that is compressed to other bytes here carried as it is."""
    sections = tuple(_unlike(new, jobs))
    within = {
        member.digest
        for section in new.layout.sections
        for member in section.members
        if section.members[0].name in {item.first for item in sections}
    }
    patches = tuple(item for item in delta.patches if item.blob not in within)
    bases, listed = {item.base for item in patches}, set(new.index.descriptors())
    return replace(
        delta,
        sections=sections,
        patches=patches,
        carried=tuple(item for item in delta.carried if item.digest not in within),
        needs=tuple(item for item in delta.needs if item.digest in bases or item.digest in listed - within),
    )


def _unlike(new: Bundle, jobs: int) -> Iterator[CarriedSection]:
    stored = {blob.digest for blob in new.index.blobs if mediatypes.is_compressed(blob.media_type)}
    packing, first = Packing(new.layout, _NewBlobs(new), stored, jobs=jobs), 0
    for section in new.layout.sections:
        frames = new.frames[first : first + section.frames]
        first += section.frames
        alike = True
        for frame, parts in zip(frames, packing.frames([section]), strict=True):
            alike = b"".join(data for data, _ in parts) == new.read_frame(frame) and alike
        if not alike:
            sizes = tuple(frame.compressed_bytes for frame in frames)
            digest = hashlib.sha256()
            for part in _section_parts(new, section):
                digest.update(part)
            yield CarriedSection(section.members[0].name, sizes, Digest.from_hex(digest.hexdigest()))


def _section_parts(new: Bundle, section: Section) -> Iterator[bytes]:
    """The frames of a section as the new tarball has them."""
    for frame in new.frames:
        if frame.overlaps(section.members[0].offset_bytes, section.stored_bytes):
            yield new.read_frame(frame)


class _NewBlobs:
    """The new bundle as a source of blobs."""

    def __init__(self, new: Bundle) -> None:
        self._new = new

    @contextmanager
    def open(self, digest: Digest, /) -> Iterator[VerifiedReader]:
        """The blob for reading."""
        yield _Reader(self._new.chunks(digest))


class _Reader:
    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def read(self, _size: int = -1, /) -> bytes:
        """The next piece."""
        return next(self._parts, b"")


class _Contents:
    """What the delta's own tarball is written from: the new media set's files and blobs, and the patches."""

    def __init__(self, parts: _Parts, new: Bundle, folder: Path) -> None:
        self._new = new
        self._carried = {item.digest for item in parts.delta.carried}
        self._files = {item.content.digest: folder / item.name for item in parts.delta.files}
        self._files |= {item.content.digest: parts.patches / item.content.digest.hex for item in parts.delta.patches}
        first = {section.members[0].name: section for section in new.layout.sections}
        self._sections = {item.digest: first[item.first] for item in parts.delta.sections}

    @contextmanager
    def open(self, digest: Digest, /) -> Iterator[VerifiedReader]:
        """The content for reading."""
        if digest in self._carried:
            yield _Reader(self._new.chunks(digest))
        elif digest in self._sections:
            yield _Reader(_section_parts(self._new, self._sections[digest]))
        else:
            with self._files[digest].open("rb") as stream:
                yield stream


def _write(parts: _Parts, new: Bundle, folder: Path, *, jobs: int) -> None:
    """The delta's folder, all but its name."""
    delta, source = parts.delta, new.path.parent
    stored = {item.digest for item in delta.sections} | {item.content.digest for item in delta.patches}
    stored |= {blob.digest for blob in new.index.blobs if mediatypes.is_compressed(blob.media_type)}
    tarball = folder / (delta.name + DELTA_SUFFIX)
    with tarball.open("wb") as stream:
        packed = write_layout(delta.layout(), _Contents(parts, new, source), stream, stored=stored, jobs=jobs)
    shutil.copyfile(source / INSTALL_NAME, folder / INSTALL_NAME)
    (folder / INDEX_NAME).write_bytes(new.index.to_bytes())
    (folder / DELTA_NAME).write_bytes(delta.to_bytes())
    listed = read_sums(source)
    sums = {
        tarball.name: packed.digest,
        INSTALL_NAME: listed[INSTALL_NAME],
        INDEX_NAME: new.identity,
        DELTA_NAME: Digest.of(delta.to_bytes()),
    }
    (folder / SUMS_NAME).write_text(sums_text(sums), encoding="ascii")
