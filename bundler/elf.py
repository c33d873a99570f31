"""What packing an interpreter needs to know of ELF files: their loader, what they link, the glibc they ask for.

Only 64-bit little-endian files are read, which is what both platforms have.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bundler.errors import OperatorError

_MAGIC = b"\x7fELF\x02\x01"
_LOAD, _INTERP = 1, 3
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_GLIBC = re.compile(rb"GLIBC_(2\.\d+)")
_LINE = re.compile(r"\s*(\S+) => (/\S+) \(")
_OF_GLIBC = re.compile(r"(?:libc|libm|libpthread|libdl|librt|libutil|libresolv|ld-linux\S*)\.so\.\d+")


def is_elf(content: bytes) -> bool:
    """Whether the content is a 64-bit little-endian ELF file."""
    return content.startswith(_MAGIC)


def _segments(content: bytes) -> list[tuple[int, int, int]]:
    """(type, offset, size in the file) of every segment."""
    header = _HEADER.unpack_from(content)
    offset, entry_bytes, count = header[5], header[9], header[10]
    found = (_SEGMENT.unpack_from(content, offset + entry_bytes * number) for number in range(count))
    return [(kind, at, size_bytes) for kind, _flags, at, _virtual, _physical, size_bytes, *_ in found]


def stripped(content: bytes) -> bytes:
    """The file without its section table and what only sections name (symbols, debugging data).

    Loading needs the segments alone; sections that are not loaded come after them in every linker's output.
    """
    end_bytes = max(at + size_bytes for kind, at, size_bytes in _segments(content) if kind == _LOAD)
    fields = list(_HEADER.unpack_from(content))
    end_bytes = max(end_bytes, fields[5] + fields[9] * fields[10])
    fields[6] = fields[11] = fields[12] = fields[13] = 0
    return _HEADER.pack(*fields) + content[_HEADER.size : end_bytes]


def loader(content: bytes) -> str | None:
    """The dynamic loader the program asks for, or ``None`` for a static one."""
    for kind, at, size_bytes in _segments(content):
        if kind == _INTERP:
            return content[at : at + size_bytes].rstrip(b"\0").decode("ascii")
    return None


def glibc_needed(contents: Iterable[bytes]) -> str:
    """The newest glibc symbol version that any of the files names, such as ``2.36``; ``2.17`` at least."""
    newest: tuple[int, ...] = (2, 17)
    for content in contents:
        for match in _GLIBC.finditer(content) if is_elf(content) else ():
            newest = max(newest, tuple(int(part) for part in match[1].split(b".")))
    return ".".join(str(part) for part in newest)


def plain_environment() -> dict[str, str]:
    """What a program gets that looks at this interpreter: of the caller's only where its libraries are."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"} | kept


def shared_libraries(paths: Iterable[Path]) -> dict[str, Path]:
    """Every shared library the files link, also through others, by name; glibc's own are the machine's and left out."""
    found: dict[str, Path] = {}
    for path in paths:
        result = subprocess.run(
            ["ldd", str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=plain_environment(),
        )
        if "not found" in result.stdout:
            missing = [line.split()[0] for line in result.stdout.splitlines() if "not found" in line]
            raise OperatorError(
                "the running interpreter lacks a library",
                where=str(path),
                wanted=", ".join(missing),
                got="not found",
                next_step="install it, or build with --runtime catalogue",
            )
        for line in result.stdout.splitlines():
            match = _LINE.match(line)
            if match and not _OF_GLIBC.fullmatch(match[1]):
                found[match[1]] = Path(match[2])
    return found
