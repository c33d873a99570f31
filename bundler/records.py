"""Small files written whole or not at all.

A writer that is killed leaves a hidden file; :mod:`bundler.store_use` sweeps those in the store.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path


def write_whole(path: Path, data: bytes, *, partial: Path | None = None) -> None:
    """Gives ``path`` these bytes in one step, on the disk when this returns; a failure leaves what was there before.

    They are written to ``partial`` first, by itself a hidden name beside ``path``, which is gone afterwards.
    """
    partial = partial or path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_record(path: Path, data: bytes) -> None:
    """:func:`write_whole`, in a folder made if need be, for what only saves time: where it cannot be, it is not.

    Not synced to the disk: a record that a power cut tore says nothing, and costs making it again.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
