"""A tar read once from beginning to end, by somebody who trusts nothing in it.

Constant memory whatever the archive says: names and attributes that are held in members of their own are bounded,
nothing is remembered of a member that is past, and sparse members, whose few bytes can stand for a full disk, are
refused. Links and devices are only named as such; what is done with a member is for the caller to say.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from installer.bundle.layout import BLOCK_BYTES, padding

MOST_ATTRIBUTES_BYTES = 64 * 1024
"""The largest long name, or block of pax attributes; real ones have a few hundred bytes."""
_CHUNK_BYTES = 1024 * 1024
_MOST_DIGITS = 18
_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_LINKS = frozenset({tarfile.SYMTYPE, tarfile.LNKTYPE})
_WITHOUT_CONTENT = _LINKS | {tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE}
_PAX = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_ATTRIBUTES = _PAX | {tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}

Kind = Literal["file", "folder", "link", "special file"]


@dataclass(frozen=True)
class Entry:
    """A member: its name as the archive has it, what it is, and the size of its content."""

    name: str
    kind: Kind
    size_bytes: int


def entries(read: Callable[[int], bytes]) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Every member with its content, which can be read until the next member is asked for.

    ``read`` gives at most so many bytes, none at the end. :class:`tarfile.ReadError` for what is no tar.
    """
    told: dict[str, bytes] = {}
    while block := _up_to(read, BLOCK_BYTES):
        if not any(block):
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise tarfile.ReadError(f"a header that is none ({error})") from None
        if header.type in _ATTRIBUTES:
            told |= _attributes(header, read)
            continue
        entry = _entry(header, told)
        told = {}
        content = _content(read, entry.size_bytes)
        yield entry, content
        for _ in content:
            pass


def _entry(header: tarfile.TarInfo, told: dict[str, bytes]) -> Entry:
    name = told["path"].decode("utf-8", "surrogateescape") if "path" in told else header.name
    size_bytes = _number(told["size"]) if "size" in told else header.size
    if header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in told):
        raise tarfile.ReadError(f"the sparse member {name}")
    if size_bytes < 0:
        raise tarfile.ReadError(f"{size_bytes} bytes of {name}")
    return Entry(name, _kind(header.type), 0 if header.type in _WITHOUT_CONTENT else size_bytes)


def _kind(kind: bytes) -> Kind:
    if kind in _FILES:
        return "file"
    if kind in _LINKS:
        return "link"
    return "folder" if kind == tarfile.DIRTYPE else "special file"


def _attributes(header: tarfile.TarInfo, read: Callable[[int], bytes]) -> dict[str, bytes]:
    """What a member that only describes the next one says of it."""
    if not 0 <= header.size <= MOST_ATTRIBUTES_BYTES:
        raise tarfile.ReadError(f"{header.size} bytes of attributes, wanted at most {MOST_ATTRIBUTES_BYTES}")
    data = b"".join(_content(read, header.size))
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.partition(b"\0")[0]}
    return _pax_records(data) if header.type in _PAX else {}


def _pax_records(data: bytes) -> dict[str, bytes]:
    """``25 path=some/where\\n`` and so on: the length of the record, a space, the key and the value."""
    records = {}
    while data:
        digits = data.partition(b" ")[0]
        length_bytes = _number(digits)
        key, equals, value = data[len(digits) + 1 : length_bytes].partition(b"=")
        if not equals or not value.endswith(b"\n") or length_bytes > len(data):
            raise tarfile.ReadError("pax attributes that are none")
        records[key.decode("ascii", "backslashreplace")] = value[:-1]
        data = data[length_bytes:]
    return records


def _number(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise tarfile.ReadError("pax attributes with a number that is none")
    return int(digits)


def _content(read: Callable[[int], bytes], size_bytes: int) -> Iterator[bytes]:
    """``size_bytes``, and the zeros after them."""
    left_bytes = size_bytes
    while left_bytes:
        data = read(min(left_bytes, _CHUNK_BYTES))
        if not data:
            raise tarfile.ReadError("unexpected end of data")
        left_bytes -= len(data)
        yield data
    if len(_up_to(read, len(padding(size_bytes)))) != len(padding(size_bytes)):
        raise tarfile.ReadError("unexpected end of data")


def _up_to(read: Callable[[int], bytes], length_bytes: int) -> bytes:
    parts = b""
    while len(parts) < length_bytes and (data := read(length_bytes - len(parts))):
        parts += data
    return parts
