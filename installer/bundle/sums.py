"""``SHA256SUMS``: the digest of every other file in the media set, as ``sha256sum -c`` reads it.

One content has one encoding, so that no bit of the file can change unseen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, IntegrityError, MediumError
from installer.bundle.regularfile import read_regular

SUMS_NAME = "SHA256SUMS"
SIGNATURE_NAME = "SHA256SUMS.sig"
"""The first signature of the sums; further ones are ``SHA256SUMS.sig.2``, ``.3`` and so on."""
MOST_SIGNATURES = 99
INSTALL_NAME = "install"
BILLS = ("sbom.cdx.json", "sbom.spdx.json")
"""Bills of materials: a set may be without them, but those that are there are listed."""
_COPY_AGAIN = "copy the media set again"
_SLIP_BITS = 16
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]{0,199})")
_SIGNATURE = re.compile(re.escape(SIGNATURE_NAME) + r"(\.([2-9]|[1-9][0-9]))?")
_MAXIMUM_BYTES = 1024 * 1024


def sums_text(sums: Mapping[str, Digest]) -> str:
    """The file's text, sorted by name."""
    return "".join(f"{sums[name].hex}  {name}\n" for name in sorted(sums))


def parse_sums(text: str, where: str) -> dict[str, Digest]:
    """File names and the digests they must have; :class:`FormatError` for anything :func:`sums_text` does not write."""
    sums: dict[str, Digest] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in sums or match[2] == SUMS_NAME or is_signature(match[2]):
            wanted = "64 hex digits, two spaces and the name of another file, each once"
            raise _damaged(f"{where}, line {number}", wanted, line[:120])
        sums[match[2]] = Digest.from_hex(match[1])
    if sums_text(sums) != text:
        raise _damaged(where, "lines sorted by name, each with its end", "others")
    return sums


def is_signature(name: str) -> bool:
    """Whether a file of that name is a signature of the sums."""
    return _SIGNATURE.fullmatch(name) is not None


def signature_name(number: int) -> str:
    """The name of the first signature (1), the second (2), up to :data:`MOST_SIGNATURES`."""
    return SIGNATURE_NAME if number == 1 else f"{SIGNATURE_NAME}.{number}"


def signature_names(folder: Path) -> tuple[str, ...]:
    """The names of the signatures in a media set, in order; none where it is not signed."""
    there = {entry.name for entry in folder.iterdir()}
    return tuple(name for name in map(signature_name, range(1, MOST_SIGNATURES + 1)) if name in there)


def read_sums(folder: Path) -> dict[str, Digest]:
    """The sums of a media set; a folder without them is named."""
    return parse_sums(sums_bytes(folder).decode("ascii", "backslashreplace"), str(folder / SUMS_NAME))


def sums_bytes(folder: Path) -> bytes:
    """The bytes of ``SHA256SUMS``, which a signature is of; at most 1 MiB."""
    path = folder / SUMS_NAME
    try:
        data = read_regular(path, _MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise incomplete(folder, [SUMS_NAME]) from None
    except OSError as error:
        raise MediumError.of(str(path), error) from None
    if len(data) > _MAXIMUM_BYTES:
        raise FormatError(f"{SUMS_NAME} is too large", where=str(path), wanted=f"at most {_MAXIMUM_BYTES} bytes")
    return data


def demand_listed(sums: Mapping[str, Digest], names: tuple[str, ...], folder: Path) -> None:
    """Every media set has ``names``: a list without one of them is not whole."""
    if absent := [name for name in names if name not in sums]:
        raise _damaged(str(folder / SUMS_NAME), f"a line for {', '.join(absent)}", ", ".join(sums))


def incomplete(folder: Path, missing: list[str], unexpected: tuple[str, ...] = ()) -> IntegrityError:
    """The error for files that should be in the media set; ``unexpected`` ones may be those under other names."""
    return IntegrityError(
        "the media set is not complete",
        where=str(folder),
        wanted=f"{INSTALL_NAME}, the tarball, bundle.json and {SUMS_NAME}",
        got=f"all but {', '.join(missing)}" + (f"; not among them: {', '.join(unexpected)}" if unexpected else ""),
        next_step="copy the missing files again",
    )


def unlike(name: str, wanted: Digest, got: Digest, error: IntegrityError, folder: Path) -> IntegrityError:
    """The error for a file whose digest is not the listed one: ``error``, unless it is the list that is damaged.

    Another content changes about half of a digest's 256 bits; where only a few differ, the digest itself was written
    down right and has been damaged since.
    """
    differing = int(wanted.hex, 16) ^ int(got.hex, 16)
    if differing.bit_count() > _SLIP_BITS:
        return error
    return _damaged(str(folder / SUMS_NAME), f"{got}, which {name} has", wanted)


def _damaged(where: str, wanted: str, got: str) -> FormatError:
    return FormatError(f"{SUMS_NAME} is damaged", where=where, wanted=wanted, got=got, next_step=_COPY_AGAIN)
