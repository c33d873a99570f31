"""From a lock and a store to the media set: a folder with ``install``, the tarball, its index and ``SHA256SUMS``.

Everything is written into a hidden folder beside the final one, synced, and renamed: what bears the final name is
finished. The lock is written beside it. Nothing here opens a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bundler import sbom_cyclonedx, sbom_spdx
from bundler.contents import Contents
from bundler.dense_layers import DenseLayers, PlainLayers
from bundler.errors import OperatorError
from bundler.kept import KeptRecords
from bundler.lockfile import Lock
from bundler.measure import UnpackedSizes
from bundler.records import write_whole
from bundler.room import Need, demand_room, write_error
from bundler.signing import SIGNERS_SUFFIX, settle_signatures, signatures_of
from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import BundleIndex
from installer.bundle.layout import INDEX_NAME
from installer.bundle.mediafolder import (
    only_writer,
    partial_folder,
    partial_prefix,
    remove_leftovers,
    replace_folder,
    settle,
)
from installer.bundle.pack import BlobSource, write_tarball
from installer.bundle.reader import TARBALL_SUFFIX, open_media_set
from installer.bundle.regularfile import read_regular
from installer.bundle.signatures import Signed
from installer.bundle.signer import signers_text
from installer.bundle.sums import INSTALL_NAME, SIGNATURE_NAME, SUMS_NAME, is_signature, read_sums, sums_text
from installer.bundle.verify import verify

if TYPE_CHECKING:
    from bundler.signkey import SigningKey

MINIMUM_INSTALLER = "0.1.0"
"""The oldest installer that reads what is written here; raised when the format or its meaning changes."""
LOCK_SUFFIX = ".lock.json"

_AROUND_BLOB_BYTES = 8192
"""A member's header and padding, its place in the index and in the lock, and what zstd adds where nothing shrinks."""
_BESIDE_BYTES = 256 * 1024
"""The rest of a media set: its documents, sums, and the folders."""

Kept = Literal["", "untouched", "read"]
"""Whether a media set was there already, and by which proof: nobody has written to the tarball since its bytes were
last proven, or every byte was read."""


@dataclass(frozen=True)
class MediaSet:
    """A finished media set; ``kept`` is ``""`` where it was written just now, and ``signed`` says by whom."""

    folder: Path
    tarball: Path
    lock: Path
    identity: Digest
    size_bytes: int
    kept: Kept
    signed: tuple[Signed, ...] = ()


def index_of(
    lock: Lock,
    blobs: BlobSource,
    sizes: UnpackedSizes,
    *,
    jobs: int,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> BundleIndex:
    """``bundle.json`` for a lock. Members: files and charts, then image documents, then layers, each by digest.

    Where the lock wants them dense, layers are read through first; ``progress`` gets their bytes.
    """
    files = {item.blob for item in lock.files} | {addon.chart for addon in lock.addons}

    def order(blob: Descriptor) -> tuple[int, str]:
        if blob.digest in files:
            return 0, blob.digest
        kinds = (mediatypes.INDEXES, mediatypes.MANIFESTS, {mediatypes.OCI_CONFIG, mediatypes.DOCKER_CONFIG})
        rank = next((number for number, kind in enumerate(kinds, start=1) if blob.media_type in kind), 4)
        return rank, blob.digest

    index = BundleIndex(
        name=lock.name,
        kubernetes=lock.kubernetes,
        platforms=lock.platforms,
        cni=lock.cni,
        created_seconds=lock.created_seconds,
        minimum_installer=MINIMUM_INSTALLER,
        pause=lock.pause,
        blobs=tuple(sorted(lock.blobs, key=order)),
        files=lock.files,
        images=lock.images,
        addons=lock.addons,
    )
    if lock.layers == "dense":
        index = DenseLayers(sizes.folder).densified(index, blobs, jobs=jobs, progress=progress)
    return replace(index, blobs=sizes.measured(index.blobs, blobs, jobs=jobs))


def assemble(
    lock: Lock,
    blobs: BlobSource,
    install: bytes,
    out: Path,
    *,
    sizes: UnpackedSizes,
    records: KeptRecords | None = None,
    key: SigningKey | None = None,
    jobs: int,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> MediaSet:
    """Writes ``out/<name>/`` and ``out/<name>.lock.json``; ``install`` is the finished launcher's bytes.

    A media set of that name that is already the wanted one is proven and kept; another one is replaced at the end.
    With ``records`` the bytes of a tarball that nobody has touched since they were proven are not read again.
    It is signed with ``key``, one that is kept anew if need be; without a key it is not signed. ``progress`` gets the
    uncompressed bytes done since its last call.
    """
    index = index_of(lock, blobs, sizes, jobs=jobs)
    return write_media_set(lock, index, blobs, install, out, records=records, key=key, jobs=jobs, progress=progress)


def write_media_set(
    lock: Lock,
    index: BundleIndex,
    blobs: BlobSource,
    install: bytes,
    out: Path,
    *,
    records: KeptRecords | None = None,
    key: SigningKey | None = None,
    jobs: int,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> MediaSet:
    """:func:`assemble` for the ``index`` that :func:`index_of` gave."""
    if index.layers:
        blobs = PlainLayers(index, lock.blobs, blobs)
    folder = out / lock.name
    try:
        out.mkdir(parents=True, exist_ok=True)
        with only_writer(out):
            remove_leftovers(out, lock.name)
            lock_path = _write_lock(lock, out)
            beside = _beside(lock, index, install)
            _write_signer(lock, out, key)
            if kept := _proven(folder, index, beside, records):
                hidden = out / f"{partial_prefix(lock.name)}signature"
                settle_signatures(folder, key, partial=hidden, mtime_seconds=index.created_seconds)
                return _media_set(folder, lock_path, index, kept)
            demand_room([output_need(lock, out, len(install))])
            with partial_folder(out, lock.name) as partial:
                digest = _write_folder(partial, index, blobs, beside, key, jobs=jobs, progress=progress)
                replace_folder(folder, partial)
            media_set = _media_set(folder, lock_path, index, "")
            if records is not None:
                records.keep(media_set.tarball, digest, media_set.tarball.stat())
            return media_set
    except OSError as error:
        next_step = "make room or name another folder with --out DIR; what was fetched stays in the store"
        needed_bytes = output_need(lock, out, len(install)).size_bytes
        message = "the media set cannot be written"
        raise write_error(message, error, folder, needed_bytes=needed_bytes, next_step=next_step) from None


def output_need(lock: Lock, out: Path, install_bytes: int) -> Need:
    """The most that a media set takes: nothing in it grows by being packed, but tar and zstd add a little to each."""
    packed_bytes = sum(blob.size_bytes + _AROUND_BLOB_BYTES for blob in lock.blobs)
    return Need("--out", out, packed_bytes + install_bytes + _BESIDE_BYTES)


def _beside(lock: Lock, index: BundleIndex, install: bytes) -> dict[str, bytes]:
    """What a media set has beside its tarball, by name."""
    contents = Contents.of_build(lock, index)
    return {
        INSTALL_NAME: install,
        INDEX_NAME: index.to_bytes(),
        sbom_spdx.NAME: sbom_spdx.spdx_bytes(contents),
        sbom_cyclonedx.NAME: sbom_cyclonedx.cyclonedx_bytes(contents),
    }


def _media_set(folder: Path, lock_path: Path, index: BundleIndex, kept: Kept) -> MediaSet:
    size_bytes = sum(entry.stat().st_size for entry in folder.iterdir())
    tarball = folder / (index.name + TARBALL_SUFFIX)
    return MediaSet(folder, tarball, lock_path, Digest.of(index.to_bytes()), size_bytes, kept, signatures_of(folder))


def _write_lock(lock: Lock, out: Path) -> Path:
    path = out / (lock.name + LOCK_SUFFIX)
    write_whole(path, lock.to_bytes(), partial=out / f"{partial_prefix(lock.name)}lock")
    return path


def _write_signer(lock: Lock, out: Path, key: SigningKey | None) -> None:
    """What a site must know to check the signature, beside the media set as the lock is: it does not travel with it."""
    path = out / (lock.name + SIGNERS_SUFFIX)
    if key is None:
        path.unlink(missing_ok=True)
    else:
        partial = out / f"{partial_prefix(lock.name)}signers"
        write_whole(path, signers_text([key.signer]).encode("ascii"), partial=partial)


def _proven(folder: Path, index: BundleIndex, beside: Mapping[str, bytes], records: KeptRecords | None) -> Kept:
    """How the media set in ``folder`` is proven to be whole and the wanted one, byte for byte; ``""`` if it is not."""
    tarball = folder / (index.name + TARBALL_SUFFIX)
    try:
        if any(read_regular(folder / name) != content for name, content in beside.items()):
            return ""
        state = tarball.stat()  # before it is opened: what comes in its place afterwards does not look like this
        with open_media_set(folder) as bundle:
            if bundle.path != tarball or bundle.identity != Digest.of(index.to_bytes()):
                return ""
            digest = _digest_listed(folder, tarball.name, beside)
            if records is not None and digest is not None and records.holds(tarball, digest):
                return "untouched"
            if verify(bundle).unexpected:
                return ""
            if records is not None and digest is not None:
                records.keep(tarball, digest, state)
            return "read"
    except (OSError, OperatorError):
        return ""


def _digest_listed(folder: Path, tarball: str, beside: Mapping[str, bytes]) -> Digest | None:
    """The tarball's digest by ``SHA256SUMS``, if the folder holds and lists what a build writes, and nothing else."""
    sums = read_sums(folder)
    names = {entry.name for entry in folder.iterdir() if not is_signature(entry.name)}
    listed = {name: digest for name, digest in sums.items() if name != tarball}
    wanted = {name: Digest.of(content) for name, content in beside.items()}
    if names != {tarball, SUMS_NAME, *beside} or listed != wanted:
        return None
    return sums.get(tarball)


def _write_folder(
    folder: Path,
    index: BundleIndex,
    blobs: BlobSource,
    beside: Mapping[str, bytes],
    key: SigningKey | None,
    *,
    jobs: int,
    progress: Callable[[int], None],
) -> Digest:
    """Writes all of a media set; returns the tarball's digest."""
    tarball = index.name + TARBALL_SUFFIX
    with (folder / tarball).open("xb") as stream:
        packed = write_tarball(index, blobs, stream, jobs=jobs, progress=progress)
    for name, content in beside.items():
        (folder / name).write_bytes(content)
    sums = {tarball: packed.digest} | {name: Digest.of(content) for name, content in beside.items()}
    text = sums_text(sums).encode("ascii")
    (folder / SUMS_NAME).write_bytes(text)
    if key is not None:
        (folder / SIGNATURE_NAME).write_bytes(key.signature_of(text))
    settle(folder, {INSTALL_NAME: 0o755}, index.created_seconds)
    return packed.digest
