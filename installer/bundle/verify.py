"""Verifies a whole media set in one pass over its bytes: sums, index, and each member as it is read.

The tarball's own SHA-256 is taken from the same read that feeds the members, so a slow medium is read once. A damaged
member is named as soon as it is found; what only the sums can see (a rewritten seek table) is found at the end.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from installer.bundle import diagnose, seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import IntegrityError
from installer.bundle.layout import END, Member, piece_sizes
from installer.bundle.ordered import SideDigest, ordered_map
from installer.bundle.reader import Bundle
from installer.bundle.seekable import Frame
from installer.bundle.sums import SIGNATURE_NAME, SUMS_NAME, read_sums

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Verified:
    """What was proven. ``summed`` are the files whose sums hold (none for a tarball alone); ``unexpected`` are names
    in the folder that ``SHA256SUMS`` does not have: nothing reads them, and an operator may want to know.
    """

    identity: Digest
    size_bytes: int
    members: int
    summed: tuple[str, ...]
    unexpected: tuple[str, ...]


@dataclass(frozen=True)
class _Piece:
    """A frame on its way through the threads: whose it is, and its bytes in the file."""

    member: Member | None
    frame: Frame
    data: bytes


def verify(bundle: Bundle, *, jobs: int = 4, progress: Callable[[int], None] = lambda _bytes: None) -> Verified:
    """Reads everything; :class:`IntegrityError` names the first thing that is missing or damaged.

    ``progress`` is called with the number of bytes read since its last call.
    """
    sums = read_sums(bundle.folder) if bundle.folder else {}
    unexpected = _compare_names(bundle.folder, sums, bundle.path.name) if bundle.folder else ()
    for name, digest in sums.items():
        if bundle.folder and name != bundle.path.name:
            _verify_file(bundle.folder / name, digest, progress)
    got = _verify_tarball(bundle, jobs, progress)
    wanted = sums.get(bundle.path.name, got)
    if got != wanted:
        raise IntegrityError(
            "the tarball is not the one that SHA256SUMS lists, although each of its members is whole",
            where=str(bundle.path),
            wanted=wanted,
            got=got,
            next_step=diagnose.COPY_AGAIN,
        )
    return Verified(bundle.identity, bundle.size_bytes, len(bundle.layout.members), tuple(sorted(sums)), unexpected)


def _compare_names(folder: Path, sums: dict[str, Digest], tarball: str) -> tuple[str, ...]:
    there = {entry.name for entry in folder.iterdir()}
    missing = sorted(set(sums) - there)
    if missing:
        raise IntegrityError(
            "the media set is not complete",
            where=str(folder),
            wanted=", ".join(sorted(sums)),
            got=f"all but {', '.join(missing)}",
            next_step="copy the missing files again",
        )
    if tarball not in sums:
        raise IntegrityError(
            f"{SUMS_NAME} does not list the tarball",
            where=str(folder / SUMS_NAME),
            wanted=tarball,
            got=", ".join(sorted(sums)),
            next_step=diagnose.COPY_AGAIN,
        )
    return tuple(sorted(there - set(sums) - {SUMS_NAME, SIGNATURE_NAME}))


def _verify_file(path: Path, wanted: Digest, progress: Callable[[int], None]) -> None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while data := stream.read(_CHUNK_BYTES):
                digest.update(data)
                progress(len(data))
    except OSError as error:
        raise IntegrityError(
            "a file of the media set cannot be read", where=str(path), wanted=wanted, got=error.strerror or str(error)
        ) from None
    got = f"sha256:{digest.hexdigest()}"
    if got != wanted:
        raise IntegrityError(
            f"{path.name} is damaged", where=str(path), wanted=wanted, got=got, next_step="copy this file again"
        )


def _verify_tarball(bundle: Bundle, jobs: int, progress: Callable[[int], None]) -> Digest:
    """Every header, content and padding byte; returns the digest of the file."""
    with SideDigest() as whole:

        def passing(data: bytes) -> bytes:
            whole.update(data)
            progress(len(data))
            return data

        pieces = (_Piece(member, frame, passing(bundle.read_frame(frame))) for member, frame in _owners(bundle))
        with contextlib.closing(ordered_map(functools.partial(_content, bundle), pieces, jobs=jobs)) as contents:
            for member in bundle.layout.members:
                _verify_member(bundle, member, contents)
            end = b"".join(contents)
        if end != END:
            raise IntegrityError(
                "the tarball does not end as it should",
                where=str(bundle.path),
                wanted="two blocks of zeros",
                next_step=diagnose.COPY_AGAIN,
            )
        passing(bundle.read_tail())
        return whole.digest()


def _content(bundle: Bundle, piece: _Piece) -> bytes:
    """A piece decompressed; what it belongs to is looked up only when it is damaged."""
    try:
        return seekable.decompress(piece.data, piece.frame.length_bytes)
    except IntegrityError as error:
        where = diagnose.place(bundle.index, bundle.path, piece.member) if piece.member else str(bundle.path)
        wanted = piece.member.digest if piece.member else None
        raise diagnose.damaged_frame(error, piece.frame, where, wanted) from None


def _owners(bundle: Bundle) -> Iterator[tuple[Member | None, Frame]]:
    """Each frame with the member it is a piece of; the last one, the end of the archive, belongs to none."""
    frames = iter(bundle.frames)
    for member in bundle.layout.members:
        for _ in piece_sizes(member.stored_bytes):
            yield member, next(frames)
    yield None, next(frames)


def _verify_member(bundle: Bundle, member: Member, contents: Iterator[bytes]) -> None:
    """Takes the member's pieces from ``contents`` and demands its exact header, content and padding."""
    digest = hashlib.sha256()
    header = bytearray()
    padding = bytearray()
    left_bytes = member.size_bytes
    for _ in piece_sizes(member.stored_bytes):
        piece = memoryview(next(contents))
        taken = len(member.header) - len(header)
        header += piece[:taken]
        body = piece[taken : taken + left_bytes]
        digest.update(body)
        left_bytes -= len(body)
        padding += piece[taken + len(body) :]
    got = f"sha256:{digest.hexdigest()}"
    if got != member.digest or header != member.header or padding != member.padding:
        bytes_differ = got != member.digest
        raise IntegrityError(
            "a member of the tarball is damaged" if bytes_differ else "a tar header is not the one the index asks for",
            where=diagnose.place(bundle.index, bundle.path, member),
            wanted=member.digest if bytes_differ else f"header {Digest.of(member.header + member.padding).short}",
            got=got if bytes_differ else f"header {Digest.of(bytes(header + padding)).short}",
            next_step=diagnose.COPY_AGAIN,
        )
