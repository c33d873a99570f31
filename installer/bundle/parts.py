"""A tarball in parts: how it is cut (:class:`PartSet`), and the header by which each part says what it is.

A part is a header of 8 KiB, a zstd skippable frame, and then its bytes of the tarball. A parity part has blocks of the
erasure code (:mod:`galois`) instead, and behind them, in another skippable frame, a checksum of every block of every
part. A block is 1 MiB of each part at the same place; the last ones are shorter.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, IntegrityError, OperatorError
from installer.bundle.galois import MOST_BLOCKS
from installer.bundle.index import demand_schema
from installer.bundle.strict import Fields, Problems

HEADER_BYTES = 8192
BLOCK_BYTES = 1024 * 1024
MOST_PART_BYTES = 4 * 1024**3 - 1
"""No part is longer: what a file on FAT32 may have, and on ISO 9660 in one extent."""
PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.tar\.zst\.p?[0-9]{3}")
"""Names of parts: letters, digits, dots, hyphens and underscores, at most 64, so that Joliet holds them as well."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,50}")
_SCHEMA = 1
_TAG = b"airgap-bundle part\n"
HEADER_START = struct.pack("<II", 0x184D2A5A, HEADER_BYTES - 8) + _TAG
_TABLE_MAGIC = 0x184D2A5B
_CHECK_BYTES = 4
_COPY_AGAIN = "copy the part again"


@dataclass(frozen=True)
class PartSet:
    """How the tarball ``name`` of the bundle ``identity`` is cut: where in it each part begins, ``parity`` further
    parts, and how many parts were put ``on_disc``. Parts are numbered from 1, parity parts after the others.

    ``tarball_bytes`` and ``tarball_digest`` are those of the parts joined.
    """

    name: str
    identity: Digest
    tarball_bytes: int
    tarball_digest: Digest
    starts: tuple[int, ...]
    parity: int
    on_disc: int

    def __post_init__(self) -> None:
        ends = (*self.starts, self.tarball_bytes)
        lengths = [end - start for start, end in itertools.pairwise(ends)]
        right = (
            _NAME.fullmatch(self.name)
            and self.starts[:1] == (0,)
            and all(0 < length <= MOST_PART_BYTES - HEADER_BYTES for length in lengths)
            and self.parity >= 0
            and self.total <= MOST_BLOCKS
            and self.on_disc > 0
        )
        if not right:
            wanted = f"a name, 1 to {MOST_BLOCKS} parts that follow each other, and how many are on a disc"
            raise FormatError("not a way to cut a tarball", wanted=wanted, got=f"{self.total} parts")

    @property
    def data(self) -> int:
        """How many parts hold the tarball."""
        return len(self.starts)

    @property
    def total(self) -> int:
        """How many parts there are, parity included."""
        return self.data + self.parity

    @property
    def numbers(self) -> range:
        """The number of each part."""
        return range(1, self.total + 1)

    @property
    def discs(self) -> int:
        """How many discs they were put on."""
        return self.disc_of(self.total)

    @property
    def longest_bytes(self) -> int:
        """What the longest part has of the tarball, and each parity part of the code."""
        return max(self.length_bytes(number) for number in range(1, self.data + 1))

    @property
    def blocks(self) -> int:
        """How many blocks the longest part has."""
        return -(-self.longest_bytes // BLOCK_BYTES)

    def disc_of(self, number: int) -> int:
        """The disc that a part was put on, from 1."""
        return (number - 1) // self.on_disc + 1

    def is_parity(self, number: int) -> bool:
        """Whether the part holds blocks of the code."""
        return number > self.data

    def start_bytes(self, number: int) -> int:
        """Where in the tarball a part begins."""
        return self.starts[number - 1]

    def length_bytes(self, number: int) -> int:
        """How much a part has behind its header, without a table of blocks."""
        if self.is_parity(number):
            return self.longest_bytes
        return (*self.starts, self.tarball_bytes)[number] - self.starts[number - 1]

    def block_bytes(self, number: int, block: int) -> int:
        """How much of a block (from 0) a part has; nothing where it has ended before."""
        return max(0, min(BLOCK_BYTES, self.length_bytes(number) - block * BLOCK_BYTES))

    def file_bytes(self, number: int) -> int:
        """How long a part's file is."""
        table = table_bytes(self.blocks * self.total) if self.is_parity(number) else 0
        return HEADER_BYTES + self.length_bytes(number) + table

    def file_name(self, number: int) -> str:
        """The name of a part's file."""
        suffix = f"p{number - self.data:03}" if self.is_parity(number) else f"{number:03}"
        return f"{self.name}.tar.zst.{suffix}"

    def words(self, number: int) -> str:
        """``part 3 of 5``, ``parity part 1 of 2``."""
        if self.is_parity(number):
            return f"parity part {number - self.data} of {self.parity}"
        return f"part {number} of {self.data}"

    def header(self, number: int) -> bytes:
        """The first bytes of a part's file."""
        document = {
            "schema": _SCHEMA,
            "name": self.name,
            "identity": self.identity,
            "tarball_bytes": self.tarball_bytes,
            "tarball_digest": self.tarball_digest,
            "starts": list(self.starts),
            "parity": self.parity,
            "on_disc": self.on_disc,
            "number": number,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
        content = HEADER_START + text + hashlib.sha256(text).hexdigest().encode("ascii") + b"\n"
        return content.ljust(HEADER_BYTES, b"\0")


def is_part(head: bytes) -> bool:
    """Whether a file that begins with ``head`` says that it is a part."""
    return head.startswith(HEADER_START)


def parse_header(data: bytes, where: str) -> tuple[PartSet, int]:
    """The set a part is of and its number, from its first :data:`HEADER_BYTES`; :class:`FormatError` if damaged."""
    if not is_part(data):
        raise FormatError("not a part of a bundle", where=where, wanted=_TAG.decode().strip(), got=repr(data[8:27]))
    text, _, rest = data[len(HEADER_START) :].partition(b"\n")
    if rest[:65] != hashlib.sha256(text + b"\n").hexdigest().encode("ascii") + b"\n":
        raise _damaged(where, "a header with its own checksum", "another checksum")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(where, "a header in JSON", repr(text[:60])) from None
    found = _read(document, where)
    if found[0].header(found[1]) != data:
        raise _damaged(where, "a header in its one encoding", "another")
    return found


def _read(document: Any, where: str) -> tuple[PartSet, int]:
    demand_schema(document, _SCHEMA, where)
    problems = Problems()
    fields = Fields(document, problems)
    fields.integer("schema")
    name, identity = fields.text("name"), fields.parsed("identity", Digest)
    tarball_bytes, tarball_digest = fields.integer("tarball_bytes"), fields.parsed("tarball_digest", Digest)
    starts, parity, on_disc = fields.raw("starts"), fields.integer("parity"), fields.integer("on_disc")
    number = fields.integer("number", least=1, most=MOST_BLOCKS)
    if not isinstance(starts, list) or not all(type(start) is int for start in starts):
        fields.note("starts", "wanted a list of whole numbers")
    fields.finish()
    problems.check("the header of a part is damaged", FormatError, where=where, next_step=_COPY_AGAIN)
    try:
        found = PartSet(name, identity, tarball_bytes, tarball_digest, tuple(starts), parity, on_disc)
    except OperatorError as error:
        raise _damaged(where, error.wanted or "", error.got or "") from None
    if number > found.total:
        raise _damaged(where, f"a number up to {found.total}", str(number))
    return found, number


def _damaged(where: str, wanted: str, got: str) -> FormatError:
    return FormatError("the header of a part is damaged", where=where, wanted=wanted, got=got, next_step=_COPY_AGAIN)


def table_bytes(checks: int) -> int:
    """How long the table of so many blocks is."""
    return 8 + _CHECK_BYTES * checks + hashlib.sha256().digest_size


def table(checks: Sequence[int]) -> bytes:
    """The table behind a parity part: CRC-32 of each block, part by part, and the table's own SHA-256.

    It only says where damage is. What is whole, ``SHA256SUMS`` says.
    """
    content = struct.pack(f"<{len(checks)}I", *checks)
    return struct.pack("<II", _TABLE_MAGIC, len(content) + 32) + content + hashlib.sha256(content).digest()


def parse_table(data: bytes, checks: int, where: str) -> tuple[int, ...]:
    """The checksums in a table; :class:`IntegrityError` unless it is whole and has so many."""
    content = data[8:-32]
    if len(data) != table_bytes(checks) or data[-32:] != hashlib.sha256(content).digest():
        raise IntegrityError("the table of blocks is damaged", where=where, wanted=f"{checks} checksums, and their own")
    return struct.unpack(f"<{checks}I", content)
