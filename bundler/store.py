"""The content-addressed store of the connected side: every blob a build fetched, under its digest.

::

    blobs/sha256/<hex>      whole, verified blobs
    verified/sha256/<hex>   what the file looked like (size, times, inode) when this store last hashed it
    locks/<hex>             the path of a lock that a build was made by
    partial/<hex>           a download that is not finished; the lock on it is held while somebody writes
    in-use                  locked by every build while it runs, and by ``bundle store gc`` alone

A blob is trusted only while it looks as it did when it was hashed here: a file that somebody put there, changed or
copied is hashed first and thrown out if it differs. What the file system cannot show (a bit that flipped on the
disk) shows when the blob is read: :class:`StoredBlob` hashes on the way out and evicts what does not match.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from bundler.errors import InputError, IntegrityError
from bundler.room import write_error
from bundler.store_use import StoreUse
from installer.bundle.digest import Digest, HashingReader

CHUNK_BYTES = 1024 * 1024
STALE_SECONDS = 7 * 24 * 3600
"""A partial download nobody touched for this long is dropped when the store is opened."""
_POLL_SECONDS = 0.1


def default_store_path(environment: Mapping[str, str]) -> Path:
    """``$XDG_CACHE_HOME/airgap-bundle``, or below ``~/.cache`` (a relative value is ignored, as XDG demands)."""
    base = environment.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "airgap-bundle"


class Store:
    """A store under ``root``, made if it is not there. ``report`` gets one line for each thing it threw out.

    It is ours as long as this object lives: ``alone``, or shared with whoever else builds from it. ``option`` is what
    names its place on the command line.
    """

    def __init__(
        self,
        root: Path,
        report: Callable[[str], None] = lambda _line: None,
        *,
        alone: bool = False,
        option: str = "--store",
    ) -> None:
        self.root = root
        self._option = option
        self._report = report
        self._blobs = root / "blobs" / "sha256"
        self._verified = root / "verified" / "sha256"
        self._partial = root / "partial"
        try:
            for folder in (self._blobs, self._verified, self._partial):
                folder.mkdir(parents=True, exist_ok=True)
            self._use = StoreUse(root, alone=alone, report=report)
            self._drop_stale()
        except OSError as error:
            raise InputError(
                "the store cannot be used",
                where=str(root),
                wanted="a folder that can be written",
                got=str(error),
                next_step=f"name another one with {option} DIR",
            ) from None

    def close(self) -> None:
        """Lets others have it, as the end of this object does."""
        self._use.close()

    def path(self, digest: Digest) -> Path:
        """Where the blob is once it is there."""
        return self._blobs / digest.hex

    def has(self, digest: Digest, size_bytes: int | None = None) -> bool:
        """Whether the blob is here, whole and verified (and has ``size_bytes``)."""
        try:
            state = self._state(digest)
        except FileNotFoundError:
            return False
        if state != self._recorded(digest) and not self.verify(digest):
            return False
        try:
            return size_bytes is None or self.path(digest).stat().st_size == size_bytes
        except FileNotFoundError:
            return False

    def verify(self, digest: Digest) -> bool:
        """Hashes the blob again, whatever is recorded; a blob that differs is evicted. False when it is not here."""
        try:
            with self.path(digest).open("rb") as stream:
                before = os.fstat(stream.fileno())
                if (got := _hash_of(stream)) != digest:
                    self.evict(digest, stream, f"its bytes have {got}")
                    return False
        except FileNotFoundError:
            return False
        self._record(digest, before)
        return True

    def size_bytes(self, digest: Digest) -> int | None:
        """The blob's size, or ``None`` when it is not here."""
        return self.path(digest).stat().st_size if self.has(digest) else None

    def open(self, digest: Digest) -> StoredBlob:
        """The blob for reading, hashed on the way; raises :class:`IntegrityError` when it is not here."""
        try:
            stream = self.path(digest).open("rb")
        except FileNotFoundError:
            raise IntegrityError(
                "a blob is missing from the store",
                where=str(self.path(digest)),
                wanted=digest,
                got="no such file",
                next_step="run the build again: it fetches what the store lacks",
            ) from None
        return StoredBlob(self, digest, stream)

    def read_bytes(self, digest: Digest, most_bytes: int) -> bytes:
        """All bytes of a small blob, verified."""
        with self.open(digest) as blob:
            data = blob.read(most_bytes + 1)
            if len(data) > most_bytes:
                raise IntegrityError(
                    "a blob is too large", where=str(self.path(digest)), wanted=f"at most {most_bytes} bytes"
                )
            blob.read(1)
        return data

    def evict(self, digest: Digest, read: BinaryIO, why: str) -> None:
        """Throws the blob out, and says so, if it still is the file that was ``read``, and no other build's new one."""
        if not _is_at(read, self.path(digest)):
            return
        self.path(digest).unlink(missing_ok=True)
        (self._verified / digest.hex).unlink(missing_ok=True)
        self._report(f"store: {digest.short} thrown out: {why}")

    def add_bytes(self, data: bytes) -> Digest:
        """Puts a small blob in under its own digest."""
        digest = Digest.of(data)
        with self.receive(digest, len(data)) as partial:
            if partial is not None:
                partial.restart()
                partial.append(data)
                partial.finish()
        return digest

    def add_file(self, path: Path, digest: Digest) -> None:
        """Copies a finished file in; raises :class:`IntegrityError` unless it has ``digest``."""
        with path.open("rb") as stream:
            size_bytes = os.fstat(stream.fileno()).st_size
            with self.receive(digest, size_bytes) as partial:
                if partial is None:
                    return
                partial.restart()
                while data := stream.read(CHUNK_BYTES):
                    partial.append(data)
                partial.finish(where=str(path))

    @contextlib.contextmanager
    def receive(
        self, digest: Digest, size_bytes: int, wait: Callable[[float], None] = time.sleep
    ) -> Iterator[Partial | None]:
        """The partial download of a blob, ours alone until the context ends; ``None`` when the blob is here already.

        When another build is writing the same blob, this waits (by calling ``wait``) until that one is done or
        gone. What was written stays for the next time unless :meth:`Partial.finish` made it a blob.
        """
        if self.has(digest, size_bytes):
            yield None
            return
        stream = self._lock_partial(digest, wait)
        partial = Partial(self, digest, size_bytes, stream)
        try:
            if self.has(digest, size_bytes):
                partial.restart()
                yield None
            else:
                partial.load()
                yield partial
        finally:
            if not partial.finished and partial.size_bytes == 0:
                self.partial_path(digest).unlink(missing_ok=True)
            stream.close()

    def partial_path(self, digest: Digest) -> Path:
        """Where an unfinished download of the blob is kept."""
        return self._partial / digest.hex

    def begun_bytes(self, digest: Digest, most_bytes: int) -> int:
        """How much of an unfinished download of the blob is here; 0 if it is longer than the blob."""
        try:
            size_bytes = self.partial_path(digest).stat().st_size
        except FileNotFoundError:
            return 0
        return size_bytes if size_bytes <= most_bytes else 0

    def commit(self, digest: Digest, stream: BinaryIO) -> None:
        """Makes the verified partial download ``stream`` the blob (:meth:`Partial.finish` calls it)."""
        os.fchmod(stream.fileno(), 0o444)
        os.fsync(stream.fileno())
        self.partial_path(digest).replace(self.path(digest))
        _fsync_folder(self._blobs)
        self._record(digest, os.fstat(stream.fileno()))

    @contextlib.contextmanager
    def disk_errors(self, needed_bytes: int) -> Iterator[None]:
        """A failed write is told with the room that is there."""
        try:
            yield
        except OSError as error:
            next_step = f"make room, or name another place with {self._option} DIR; what is there is kept and resumed"
            message = "the store cannot be written" if self._option == "--store" else "what arrives cannot be written"
            raise write_error(message, error, self.root, needed_bytes=needed_bytes, next_step=next_step) from None

    def _lock_partial(self, digest: Digest, wait: Callable[[float], None]) -> BinaryIO:
        path = self.partial_path(digest)
        waited = False
        while True:
            # Unbuffered: what a full disk did not take must not be tried again when the file is closed.
            with self.disk_errors(0):
                stream = path.open("a+b", buffering=0)
            if _locked(stream) and _is_at(stream, path):
                return stream
            # Held by another build; or that build renamed the file away between our open and our lock.
            stream.close()
            if not waited:
                self._report(f"store: {digest.short} is being fetched by another build, waiting for it")
                waited = True
            wait(_POLL_SECONDS)

    def _drop_stale(self) -> None:
        oldest_seconds = time.time() - STALE_SECONDS
        for path in self._partial.iterdir():
            with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_mtime < oldest_seconds and _locked(stream) and _is_at(stream, path):
                    path.unlink()

    def _state(self, digest: Digest) -> str:
        return look(self.path(digest).stat())

    def _recorded(self, digest: Digest) -> str | None:
        try:
            return (self._verified / digest.hex).read_text(encoding="ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def _record(self, digest: Digest, state: os.stat_result) -> None:
        # Written in place: a torn record, or none, equals no file's look and only costs hashing the blob again.
        with contextlib.suppress(OSError):
            (self._verified / digest.hex).write_text(look(state), encoding="ascii")


class Partial:
    """A blob on its way in: hashed while written. Made by :meth:`Store.receive`, which also holds the lock."""

    def __init__(self, store: Store, digest: Digest, size_bytes: int, stream: BinaryIO) -> None:
        self._store = store
        self._digest = digest
        self._wanted_bytes = size_bytes
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.finished = False

    def load(self) -> None:
        """Hashes what an earlier run left, so that :meth:`append` can go on from there."""
        self._stream.seek(0)
        while data := self._stream.read(CHUNK_BYTES):
            self._hash.update(data)
            self.size_bytes += len(data)
        if self.size_bytes > self._wanted_bytes:
            self.restart()

    def restart(self) -> None:
        """Forgets everything written so far."""
        self._stream.truncate(0)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def append(self, data: bytes) -> None:
        """Adds bytes; raises :class:`IntegrityError` (and forgets everything) beyond the wanted size."""
        if self.size_bytes + len(data) > self._wanted_bytes:
            got = f"{self.size_bytes + len(data)} bytes or more"
            self.restart()
            raise IntegrityError("wrong size", wanted=f"{self._wanted_bytes} bytes", got=got)
        with self._store.disk_errors(self._wanted_bytes - self.size_bytes):
            rest = memoryview(data)
            while rest:
                rest = rest[self._stream.write(rest) :]
        self._hash.update(data)
        self.size_bytes += len(data)

    def finish(self, where: str | None = None) -> None:
        """Verifies size and digest and makes it a blob; raises :class:`IntegrityError` and forgets everything."""
        got_bytes, got = self.size_bytes, f"sha256:{self._hash.hexdigest()}"
        if got_bytes != self._wanted_bytes or got != self._digest:
            self.restart()
            if got_bytes != self._wanted_bytes:
                wanted, got = f"{self._wanted_bytes} bytes", f"{got_bytes} bytes"
                raise IntegrityError("wrong size", where=where, wanted=wanted, got=got)
            raise IntegrityError("wrong bytes", where=where, wanted=self._digest, got=got)
        with self._store.disk_errors(0):
            self._store.commit(self._digest, self._stream)
        self.finished = True


class StoredBlob:
    """A blob being read: verified at its end, evicted when it is not what its digest says. Closes as a context."""

    def __init__(self, store: Store, digest: Digest, stream: BinaryIO) -> None:
        self._store = store
        self._digest = digest
        self._stream = stream
        self.size_bytes = os.fstat(stream.fileno()).st_size
        self._reader = HashingReader(stream, digest, self.size_bytes, str(store.path(digest)))

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; ``b""`` at the verified end; raises :class:`IntegrityError` on damage."""
        try:
            return self._reader.read(size)
        except IntegrityError as error:
            self._store.evict(self._digest, self._stream, error.message)
            raise IntegrityError(
                f"a blob in the store is damaged: {error.message}",
                where=error.where,
                wanted=error.wanted,
                got=error.got,
                next_step="it has been thrown out; run the same command again to fetch it afresh",
            ) from None

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def __enter__(self) -> StoredBlob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hash_of(stream: BufferedReader) -> str:
    return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def look(state: os.stat_result) -> str:
    """What a file looks like from outside; any way of changing its bytes changes this too."""
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}\n"


def _locked(stream: BinaryIO) -> bool:
    """Whether the lock on the open file is ours now; it goes when the file is closed or the process ends."""
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(stream: BinaryIO, path: Path) -> bool:
    """Whether ``path`` still is the open file."""
    try:
        return path.stat().st_ino == os.fstat(stream.fileno()).st_ino
    except FileNotFoundError:
        return False


def _fsync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
