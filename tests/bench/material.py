"""The bytes that the generated images are made of: Go programs, Debian's files, and what is compressed already.

There are 120 MB of Go programs in the pinned toolchain and the largest set unpacks to a hundred times that. More of it
is made by giving every byte value another one: such a copy has nothing in common with its original, and every
compressor makes of it what it makes of the original, to the byte. Where only a few values are changed, a copy is like
its original with a difference every hundred bytes or so: that is how programs of one release resemble each other, as
they share their libraries and differ in the addresses.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.debian import unpacked
from tests.lab.toolchain import go

SEGMENT_BYTES = 4 << 20
"""A program is made of so long segments, shared with others of its release or its own."""
SHARED_EVERY = 4
"""One segment in so many is shared."""
_FEW_CHANGED = (0x18, 0x90, 0x31, 0xC0, 0x4D, 0x30, 0x80, 0x12)
"""Byte values that each make up 0.3 to 0.4 % of a Go program."""
BASE_PACKAGES = (
    *("apt", "base-files", "bash", "coreutils", "dash", "debconf", "debianutils", "diffutils", "dpkg", "findutils"),
    *("grep", "gzip", "libapt-pkg6.0", "libc-bin", "libc6", "libgcrypt20", "libgnutls30", "libp11-kit0", "libstdc++6"),
    *("libsystemd0", "libunistring2", "libzstd1", "login", "mawk", "mount", "ncurses-bin", "passwd", "perl-base"),
    *("sed", "tar", "tzdata", "util-linux"),
)
TOOL_PACKAGES = (
    *("ca-certificates", "git", "iproute2", "ipset", "iptables", "kmod", "libpcre2-8-0", "libperl5.36"),
    *("libpython3.11-minimal", "libpython3.11-stdlib", "libssl3", "nftables", "openssl", "perl-modules-5.36"),
    *("python3.11-minimal", "socat"),
)
_LEFT_OUT = ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info")


@dataclass(frozen=True)
class Segment:
    """A piece of a program: where it is in the raw material, and what each byte value becomes."""

    offset_bytes: int
    length_bytes: int
    table: bytes


def table_of(name: str) -> bytes:
    """Another value for each byte value, by ``name``."""
    values = list(range(256))
    random.Random(name).shuffle(values)  # noqa: S311
    return bytes(values)


def near(table: bytes, number: int) -> bytes:
    """``table`` with two of its rarer values exchanged, a different two for each ``number``."""
    changed = bytearray(table)
    first = _FEW_CHANGED[number % len(_FEW_CHANGED)]
    second = _FEW_CHANGED[(number // len(_FEW_CHANGED) + number + 1) % len(_FEW_CHANGED)]
    changed[first], changed[second] = changed[second], changed[first]
    return bytes(changed)


def program_segments(release: str, number: int, size_bytes: int, pool_bytes: int) -> Iterator[Segment]:
    """The pieces of a release's program ``number``: its own, and between them those that all programs share."""
    shared_table = near(table_of(release), number)
    for position, start in enumerate(range(0, size_bytes, SEGMENT_BYTES)):
        length = min(SEGMENT_BYTES, size_bytes - start)
        if position % SHARED_EVERY == 0:
            offset, table = start, shared_table
        else:
            offset = (number * 7 + position) * SEGMENT_BYTES
            table = table_of(f"{release} {number} {position}")
        yield Segment(offset % (pool_bytes - length), length, table)


class GoPool:
    """The toolchain's own programs, one after the other."""

    def __init__(self, programs: Sequence[Path]) -> None:
        self._data = b"".join(path.read_bytes() for path in programs)

    @property
    def size_bytes(self) -> int:
        """How much there is."""
        return len(self._data)

    def program(self, release: str, number: int, size_bytes: int) -> Iterator[bytes]:
        """A program of that size, piece by piece."""
        for segment in program_segments(release, number, size_bytes, self.size_bytes):
            raw = self._data[segment.offset_bytes : segment.offset_bytes + segment.length_bytes]
            yield raw.translate(segment.table)


def go_programs() -> list[Path]:
    """The executables of the pinned Go toolchain."""
    root = Path(go()).parents[1]
    return sorted([*(root / "bin").iterdir(), *(root / "pkg" / "tool" / "linux_amd64").iterdir()])


def debian_files(packages: Sequence[str], release: str) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Path, size and contents of every file of the packages, the contents as another release would have them."""
    root, table = unpacked(packages), table_of(f"{release} Debian")
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_symlink() or not path.is_file() or any(name.is_relative_to(folder) for folder in _LEFT_OUT):
            continue
        yield str(name), path.stat().st_size, iter((path.read_bytes().translate(table),))


def compressed_already(name: str, size_bytes: int) -> Iterator[bytes]:
    """Bytes that no compressor makes smaller."""
    source = random.Random(name)  # noqa: S311
    for start in range(0, size_bytes, SEGMENT_BYTES):
        yield source.randbytes(min(SEGMENT_BYTES, size_bytes - start))
