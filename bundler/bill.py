"""The bill of materials that an operator asks for: the media set's own, or one made of what is at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bundler import sbom_cyclonedx, sbom_spdx
from bundler.contents import Contents, read_contents
from bundler.errors import IntegrityError
from installer.bundle.digest import Digest
from installer.bundle.index import MAXIMUM_BYTES
from installer.bundle.regularfile import read_regular
from installer.bundle.sums import SUMS_NAME, read_sums

FORMS: dict[str, tuple[str, Callable[[Contents], bytes]]] = {
    "spdx": (sbom_spdx.NAME, sbom_spdx.spdx_bytes),
    "cyclonedx": (sbom_cyclonedx.NAME, sbom_cyclonedx.cyclonedx_bytes),
}
"""The name that a media set's file has in each form, and what makes one."""


@dataclass(frozen=True)
class Bill:
    """A document's bytes. One that ``is_whole`` knows licences and what the installer is made of."""

    content: bytes
    is_whole: bool


def bill_of(path: Path, form: str) -> Bill:
    """The bill of what is at ``path``; :class:`IntegrityError` for a media set's own that is not as listed."""
    name, make = FORMS[form]
    if path.is_dir() and (path / SUMS_NAME).is_file() and (wanted := read_sums(path).get(name)) is not None:
        return Bill(_listed(path / name, wanted), True)
    contents = read_contents(path)
    return Bill(make(contents), contents.kind == "lock")


def _listed(path: Path, wanted: Digest) -> bytes:
    try:
        content = read_regular(path, 4 * MAXIMUM_BYTES)
    except OSError as error:
        content, got = b"", error.strerror or str(error)
    else:
        got = str(Digest.of(content))
    if got != wanted:
        raise IntegrityError(
            f"{path.name} is not the one that {SUMS_NAME} lists",
            where=str(path),
            wanted=wanted,
            got=got,
            next_step="copy this file again",
        )
    return content
