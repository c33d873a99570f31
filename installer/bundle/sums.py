"""``SHA256SUMS``: the digest of every other file in the media set, as ``sha256sum -c`` reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, IntegrityError

SUMS_NAME = "SHA256SUMS"
SIGNATURE_NAME = "SHA256SUMS.sig"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9][A-Za-z0-9._-]{0,199})")
_MAXIMUM_BYTES = 1024 * 1024


def sums_text(sums: Mapping[str, Digest]) -> str:
    """The file's text, sorted by name."""
    return "".join(f"{sums[name].hex}  {name}\n" for name in sorted(sums))


def parse_sums(text: str, where: str) -> dict[str, Digest]:
    """File names and the digests they must have; :class:`FormatError` for anything that is not such a line."""
    sums: dict[str, Digest] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in sums or match[2] in (SUMS_NAME, SIGNATURE_NAME):
            raise FormatError(
                f"{SUMS_NAME} is damaged",
                where=f"{where}, line {number}",
                wanted="64 hex digits, two spaces and the name of another file, each once",
                got=line[:120],
                next_step="copy the media set again",
            )
        sums[match[2]] = Digest.from_hex(match[1])
    if not sums:
        raise FormatError(f"{SUMS_NAME} is empty", where=where, next_step="copy the media set again")
    return sums


def read_sums(folder: Path) -> dict[str, Digest]:
    """The sums of a media set; a folder without them is named."""
    path = folder / SUMS_NAME
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAXIMUM_BYTES + 1)
    except OSError as error:
        raise IntegrityError(
            f"{SUMS_NAME} cannot be read",
            where=str(path),
            wanted="the sums of every file in the media set",
            got=error.strerror or str(error),
            next_step="copy the media set again",
        ) from None
    if len(data) > _MAXIMUM_BYTES:
        raise FormatError(f"{SUMS_NAME} is too large", where=str(path), wanted=f"at most {_MAXIMUM_BYTES} bytes")
    return parse_sums(data.decode("ascii", "backslashreplace"), str(path))
