"""What an ``install`` that somebody built says of itself, before a delta is entrusted to it."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import zstandard

from bundler.errors import InputError

_HEADER_BYTES = 64 * 1024
_TABLE = re.compile(rb"^payloads='\n(.*?)\n'", re.MULTILINE | re.DOTALL)
_ROW = re.compile(rb"^\S+ +(\d{1,15}) +\d+ +\d+ +[0-9a-f]{64}", re.MULTILINE)
_VERB = b" rebuild "
_LIBRARY = "lib/zstandard/__init__.py"
_LIBRARY_BYTES = 1024 * 1024
_VERSION = re.compile(rb'^__version__ = "([^"]+)"', re.MULTILINE)


def demand_rebuilds(install: Path, name: str) -> None:
    """Raises :class:`InputError` where this ``install`` cannot make a delta whole, or not to the bytes proven here."""
    with install.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    table = _TABLE.search(header)
    if table is None:
        return
    again = f"build it again:  bundle build --lock {name}.lock.json"
    if _VERB not in header:
        raise InputError(
            "the new media set was built by an older builder",
            where=str(install),
            wanted="an install that knows rebuild",
            got="one that does not",
            next_step=again,
        )
    others = {found for found in _libraries(install, table[1]) if found != zstandard.__version__}
    if others:
        raise InputError(
            "the new media set's install compresses by another library than this builder",
            where=str(install),
            wanted=f"zstandard {zstandard.__version__}",
            got=", ".join(sorted(others)),
            next_step=again,
        )


def _libraries(install: Path, table: bytes) -> Iterator[str]:
    """The version of the library in each payload, where that can be seen."""
    for offset in _ROW.findall(table):
        with install.open("rb") as stream:
            stream.seek(int(offset) - 1)
            try:
                with tarfile.open(fileobj=stream, mode="r|gz") as archive:
                    member = next((member for member in archive if member.name == _LIBRARY), None)
                    content = archive.extractfile(member) if member else None
                    found = _VERSION.search(content.read(_LIBRARY_BYTES)) if content else None
            except (tarfile.TarError, zlib.error, OSError):
                continue
            if found:
                yield found[1].decode("ascii", "replace")
