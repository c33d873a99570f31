"""What is wrong with a damaged tarball, said so that an operator knows which part and what to do."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO

import zstandard

from installer.bundle import seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, IntegrityError, OperatorError
from installer.bundle.index import MAXIMUM_BYTES, BundledImage, BundleIndex
from installer.bundle.layout import BLOCK_BYTES, INDEX_NAME, Layout, Member, tar_header
from installer.bundle.seekable import FOOTER_MAGIC, FRAME_HEADER_BYTES, FRAME_MAGIC, TABLE_MAGIC, Frame

COPY_AGAIN = "copy the media set again; if this stays, build it again"
_TAIL_BYTES = 1024 * 1024


def holder(index: BundleIndex, digest: Digest) -> str | None:
    """What a blob belongs to: ``inside image registry.k8s.io/pause:3.9, layer sha256:…``."""
    for item in index.files:
        if item.blob == digest:
            return f"file {item.component} {item.version} for {item.platform}"
    for image in index.images:
        if digest in index.held(image):
            return f"inside image {image.reference}, {_part(image, digest)} {digest}"
    return None


def _part(image: BundledImage, digest: Digest) -> str:
    for platform in image.platforms.values():
        if digest == platform.config:
            return "config"
        if digest == platform.manifest:
            return "manifest"
        if digest in platform.indexes:
            return "index"
    return "index" if digest == image.blob else "layer"


def place(index: BundleIndex, path: Path, member: Member) -> str:
    """Where a member is: the tarball, the member's name, and what it belongs to."""
    inside = holder(index, member.digest)
    return f"{path}, {member.name}" + (f"\n{inside}" if inside else "")


def damaged_frame(error: IntegrityError, frame: Frame, where: str, wanted: str | None = None) -> IntegrityError:
    """The error for a frame that cannot be decompressed: which bytes of the file, and what they belong to."""
    first, *rest = where.splitlines()
    last_byte = frame.offset_bytes + frame.compressed_bytes - 1
    return IntegrityError(
        "the tarball is damaged",
        where="\n".join((f"{first}, bytes {frame.offset_bytes} to {last_byte}", *rest)),
        wanted=wanted or error.wanted,
        got=error.got,
        next_step=COPY_AGAIN,
    )


def index_size(header: bytes, where: str) -> int:
    """The size of ``bundle.json`` by its tar header, which must be exactly the one this format writes."""
    field, mtime = header[124:135], header[136:147]
    size_bytes = int(field, 8) if _is_octal(field) else 0
    mtime_seconds = int(mtime, 8) if _is_octal(mtime) else 0
    if header != tar_header(INDEX_NAME, size_bytes, mtime_seconds) or not 0 < size_bytes <= MAXIMUM_BYTES:
        raise FormatError(
            "not a bundle",
            where=where,
            wanted=f"{INDEX_NAME} of at most {MAXIMUM_BYTES} bytes as the first member",
            got=repr(header[:100].rstrip(b"\0"))[1:],
            next_step="name a media set that this tool built",
        )
    return size_bytes


def _is_octal(field: bytes) -> bool:
    return len(field) == 11 and all(byte in b"01234567" for byte in field)


def better(error: IntegrityError, stream: BinaryIO, size_bytes: int, where: str) -> OperatorError:
    """A plainer error for a file whose seek table cannot be used: foreign, cut short, longer, or damaged there."""
    head = seekable.read_at(stream, 0, min(size_bytes, len(FRAME_MAGIC)), where)
    if not FRAME_MAGIC.startswith(head):
        return FormatError(
            "not a bundle",
            where=where,
            wanted="a .tar.zst that this tool built",
            got=f"{size_bytes} bytes that are not zstd",
            next_step="name the media set's folder, or its .tar.zst",
        )
    tail_bytes = min(size_bytes, _TAIL_BYTES)
    tail = seekable.read_at(stream, size_bytes - tail_bytes, tail_bytes, where)
    added = len(tail) - (tail.rfind(FOOTER_MAGIC) + len(FOOTER_MAGIC))
    if FOOTER_MAGIC in tail and added:
        return IntegrityError(
            "something was added to the end of the tarball",
            where=where,
            wanted=f"{size_bytes - added} bytes",
            got=f"{size_bytes} bytes",
            next_step=COPY_AGAIN,
        )
    if FOOTER_MAGIC in tail or _table_where_it_belongs(tail, stream):
        return error
    return IntegrityError(
        "the tarball is cut short",
        where=where,
        wanted="a seek table at its end",
        got=f"{size_bytes} bytes and no end",
        next_step="copy it again, and check that the medium had room (FAT holds at most 4 GiB in a file)",
    )


def demand_table(stream: BinaryIO, frames: tuple[Frame, ...], layout: Layout, where: str) -> None:
    """Raises :class:`FormatError` where it is the seek table that has a frame's size wrong, and not the frame."""
    if len(frames) != layout.frames:
        return
    for frame, wanted_bytes in zip(frames, layout.frame_sizes(), strict=True):
        if frame.length_bytes == wanted_bytes:
            continue
        head = seekable.read_at(stream, frame.offset_bytes, min(frame.compressed_bytes, FRAME_HEADER_BYTES), where)
        with contextlib.suppress(zstandard.ZstdError):
            if zstandard.get_frame_parameters(head).content_size == wanted_bytes:
                raise seekable.damaged_table(where, f"a frame of {wanted_bytes} bytes", f"{frame.length_bytes} bytes")
        return


def _table_where_it_belongs(tail: bytes, stream: BinaryIO) -> bool:
    """Whether a seek table of the size that ``bundle.json`` asks for begins where it should."""
    try:
        frames = Layout.of(_index_from_head(stream)).frames
    except (OperatorError, zstandard.ZstdError):
        return False
    length_bytes = seekable.table_size_bytes(frames)
    return len(tail) >= length_bytes and tail[-length_bytes:].startswith(TABLE_MAGIC)


def _index_from_head(stream: BinaryIO) -> BundleIndex:
    """``bundle.json`` read from the beginning of the file, without a seek table."""
    stream.seek(0)
    with zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True, closefd=False) as reader:
        size_bytes = index_size(_read_fully(reader, BLOCK_BYTES), INDEX_NAME)
        return BundleIndex.from_bytes(_read_fully(reader, size_bytes), where=INDEX_NAME)


def _read_fully(reader: zstandard.ZstdDecompressionReader, length_bytes: int) -> bytes:
    content = b""
    while len(content) < length_bytes and (part := reader.read(length_bytes - len(content))):
        content += part
    return content
