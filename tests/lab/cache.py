"""What the lab made is kept, by what it was made from.

Entries are folders ``<cache>/<kind>/<key>``. A folder is made under another name and renamed when complete, behind a
lock, so an interrupted run leaves no half entry and two runs at once make one entry between them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """The lab's own folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "airgap-bundle-lab"


def key_of(*parts: str | Path) -> str:
    """A short key over texts and over the names, modes and contents of files and folders, in the order given."""
    whole = hashlib.sha256()
    for part in parts:
        for item in _items(part):
            whole.update(len(item).to_bytes(8, "big") + item)
    return whole.hexdigest()[:24]


def _items(part: str | Path) -> Iterator[bytes]:
    if isinstance(part, str):
        yield part.encode()
        return
    files = [part] if part.is_file() else sorted(path for path in part.rglob("*") if path.is_file())
    for path in files:
        if "__pycache__" not in path.parts:
            yield str(path.relative_to(part)).encode()
            yield str(path.stat().st_mode & 0o111).encode()
            yield hashlib.sha256(path.read_bytes()).digest()


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder for ``key``; ``make`` fills it when it is not there yet. What ``make`` raises leaves no entry."""
    folder = cache_root() / kind
    entry = folder / key
    if entry.is_dir():
        return entry
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f".{key}.lock"):
        if entry.is_dir():
            return entry
        unfinished = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=folder))
        try:
            unfinished.chmod(0o755)
            make(unfinished)
            unfinished.rename(entry)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return entry


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file ``path`` while the block runs; another process waits."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
