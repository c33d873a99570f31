"""Finished runtimes, kept in the store: made once from the same parts by the same code, and read afterwards.

Packing one takes longer than all else that a build does that has nothing to do. A file in ``folder`` is named by the
digest of everything the archive follows from, and holds the archive's own digest and the glibc it needs.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from pathlib import Path

from bundler import elf, runtime
from bundler.lockfile import LockedRuntime
from bundler.records import write_record
from bundler.runtime import Payload, installer_sources, payload
from bundler.store import Store
from installer.bundle.digest import Digest

_RECORD = re.compile(rb"(sha256:[0-9a-f]{64}) ([0-9]{1,3}(?:\.[0-9]{1,3}){1,2})\n")
_LONGEST_BYTES = 200


class KeptPayloads:
    """Runtimes made from what ``store`` holds, remembered in ``folder``."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store

    def payload(self, locked: LockedRuntime) -> Payload:
        """The runtime that ``locked`` describes; made only where the one made before is not there any more."""
        path = self.path(locked)
        if (kept := self.read(path)) is not None:
            digest, glibc = kept
            return Payload(locked.platform, self._store.read_bytes(digest, runtime.MAXIMUM_BYTES), glibc)
        made = payload(locked, self._store)
        record = f"{self._store.add_bytes(made.archive)} {made.glibc}\n"
        write_record(path, record.encode("ascii"))
        return made

    def path(self, locked: LockedRuntime) -> Path:
        """Where the record of the runtime that ``locked`` describes is, if it was made by this code."""
        return self._folder / _recipe(locked).hex

    def read(self, path: Path) -> tuple[Digest, str] | None:
        """The archive's digest and its glibc, if the record is one and the store has the archive."""
        try:
            with path.open("rb") as stream:
                match = _RECORD.fullmatch(stream.read(_LONGEST_BYTES))
        except OSError:
            return None
        if match is None or not self._store.has(digest := Digest(match[1].decode())):
            return None
        return digest, match[2].decode()


def _recipe(locked: LockedRuntime) -> Digest:
    """The digest of all that decides the finished archive: its parts, this installer, the code, the compressor."""
    code = {module.__name__: Path(str(module.__file__)).read_bytes() for module in (runtime, elf)}
    sources = {name: Digest.of(content) for name, content in (installer_sources() | code).items()}
    parts = {
        "runtime": locked.to_dict(),
        "sources": sources,
        "made by": [sys.version, zlib.ZLIB_RUNTIME_VERSION],
    }
    return Digest.of(json.dumps(parts, sort_keys=True).encode())
