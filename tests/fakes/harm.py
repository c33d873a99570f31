"""Harm done to a media set on disk, and taken back: the set itself is written once."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard

from installer.bundle import layout, seekable
from installer.bundle.digest import Digest
from installer.bundle.index import BundleIndex
from installer.bundle.layout import END, INDEX_NAME, Layout, padding, piece_sizes, tar_header
from installer.bundle.reader import Bundle, open_media_set
from installer.bundle.sums import SUMS_NAME, sums_text
from installer.errors import FormatError, OperatorError

ANSWERS = {
    "damaged": (
        r"the tarball is damaged|a member of the tarball is damaged|the seek table at the end of the tarball is damaged"
        r"|[A-Za-z0-9._-]+ is damaged|the tarball is not the one that SHA256SUMS lists, although .*"
    ),
    "cut short": r"the tarball is cut short",
    "longer": r"something was added to the end of the tarball",
    "missing": r"the media set is not complete",
    "another bundle": r"the tarball is of another bundle than the one that SHA256SUMS is of",
    "renamed": r"the tarball has another name than it was built with",
    "other members": (
        r"the tarball does not have the members that bundle\.json lists"
        r"|a tar header is not the one the index asks for"
    ),
    "wrong platform": r"the bundle is for another platform",
    "newer builder": r"(the bundle was )?made by a newer builder",
    "not a bundle": r"not a bundle|not a media set|this needs the medium, and no media set is there",
}
"""Each answer an operator can get, and its words. No words belong to two answers."""


def answer_of(error: OperatorError) -> str:
    """Which answer ``error`` is; an error of other words is a failure of the test."""
    found = [answer for answer, words in ANSWERS.items() if re.fullmatch(words, error.message)]
    assert len(found) == 1, f"{error.message!r} is {found or 'no answer'}"
    return found[0]


@dataclass(frozen=True)
class Spot:
    """One bit of one file."""

    name: str
    offset_bytes: int
    bit: int


@contextmanager
def flipped(folder: Path, spot: Spot) -> Iterator[None]:
    """The media set with one bit flipped."""
    path = folder / spot.name
    handle = os.open(path, os.O_RDWR)
    try:
        was = os.pread(handle, 1, spot.offset_bytes)
        os.pwrite(handle, bytes([was[0] ^ 1 << spot.bit]), spot.offset_bytes)
        try:
            yield
        finally:
            os.pwrite(handle, was, spot.offset_bytes)
    finally:
        os.close(handle)


@contextmanager
def changed(folder: Path, files: Mapping[str, bytes | None]) -> Iterator[None]:
    """The media set with these contents; ``None`` is a file that is not there."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def put(contents: Mapping[str, bytes | None]) -> None:
        for name, content in contents.items():
            if content is None:
                (folder / name).unlink(missing_ok=True)
            else:
                (folder / name).write_bytes(content)

    put(files)
    try:
        yield
    finally:
        put({name: before.get(name) for name in files})


def contents_of(bundle: Bundle) -> list[tuple[str, bytes]]:
    """Every member's name and content, in order."""
    documents = dict(bundle.layout.documents)
    found = []
    for member in bundle.layout.members:
        content = documents.get(member.name)
        found.append((member.name, b"".join(bundle.chunks(member.digest)) if content is None else content))
    return found


def tarball_of(members: list[tuple[str, bytes]], mtime_seconds: int) -> bytes:
    """A tarball of these members, in the frames that ``bundle.json`` among them asks for, else in small ones."""
    stored = [
        tar_header(name, len(content), mtime_seconds) + content + padding(len(content)) for name, content in members
    ]
    sizes = [size for part in stored for size in piece_sizes(len(part), layout.FRAME_BYTES)] + [len(END)]
    with contextlib.suppress(FormatError):
        wanted = Layout.of(BundleIndex.from_bytes(members[0][1], where=INDEX_NAME))
        sizes = list(wanted.frame_sizes()) if wanted.size_bytes == sum(sizes) else sizes
    stream = io.BytesIO(b"".join([*stored, END]))
    pieces = [stream.read(size) for size in sizes]
    frames = [zstandard.ZstdCompressor(write_checksum=True).compress(piece) for piece in pieces]
    return b"".join(frames) + seekable.table_bytes(
        [(len(frame), len(piece)) for frame, piece in zip(frames, pieces, strict=True)]
    )


def remade(folder: Path, members: list[tuple[str, bytes]]) -> dict[str, bytes | None]:
    """The media set's files with another tarball of these members; ``SHA256SUMS`` fits it, as a builder's would."""
    with open_media_set(folder) as bundle:
        name, mtime_seconds = bundle.path.name, bundle.index.created_seconds
    tarball = tarball_of(members, mtime_seconds)
    sums = {
        path.name: Digest.of(tarball if path.name == name else path.read_bytes())
        for path in folder.iterdir()
        if path.name != SUMS_NAME
    }
    sums[INDEX_NAME] = Digest.of(members[0][1])
    return {name: tarball, INDEX_NAME: members[0][1], SUMS_NAME: sums_text(sums).encode()}
