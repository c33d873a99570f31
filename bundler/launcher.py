"""The ``install`` file: the shell header of :mod:`installer.launch`, and after it the runtime of each platform."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundler.runtime import INSTALLER, Payload, unpacked_kib
from installer.bundle.digest import Digest

_MARK = "@PAYLOADS@"
_HELP_MARK = "@HELP@"
_HELP = INSTALLER / "launch" / "help.txt"


def install_bytes(payloads: Sequence[Payload]) -> bytes:
    """The whole file. The table in the header has columns of fixed width, so its length does not depend on them."""
    template = (INSTALLER / "launch" / "install.sh").read_text(encoding="ascii").replace(_HELP_MARK, _quoted(_HELP))
    ordered = sorted(payloads, key=lambda payload: payload.platform)
    header_bytes = len(template.replace(_MARK, _table(ordered, 0)))
    header = template.replace(_MARK, _table(ordered, header_bytes)).encode("ascii")
    return header + b"".join(payload.archive for payload in ordered)


def _quoted(path: Path) -> str:
    """A text as it stands between single quotes in a shell."""
    return path.read_text(encoding="ascii").rstrip("\n").replace("'", "'\\''")


def _table(payloads: Sequence[Payload], header_bytes: int) -> str:
    """Architecture, offset counted from 1 as ``tail -c +N`` does, size, KiB on a disk, digest and glibc of each."""
    lines = []
    offset = header_bytes + 1
    for payload in payloads:
        size_bytes = len(payload.archive)
        digest = Digest.of(payload.archive).hex
        sizes = f"{offset:<16}{size_bytes:<16}{unpacked_kib(payload.archive):<8}"
        lines.append(f"{payload.platform.architecture:<8}{sizes}{digest} {payload.glibc}")
        offset += size_bytes
    return "\n".join(lines)
