"""Work in other threads, a bounded amount in flight: results in the order of the input, and a digest on the side."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from installer.bundle.digest import Digest

T = TypeVar("T")
R = TypeVar("R")
_MOST_BEHIND = 2


def ordered_map(function: Callable[[T], R], items: Iterable[T], *, jobs: int) -> Generator[R, None, None]:
    """``function`` of each item, in order. At most ``jobs + 1`` items are in memory; an error ends everything."""
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > jobs:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def cut(parts: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    """``parts`` joined and cut into pieces of ``size_bytes``, the last one shorter.

    Each byte is copied once at most: a part that is a piece already is passed on as it is.
    """
    pending: list[bytes | memoryview] = []
    pending_bytes = 0
    for part in parts:
        if not pending_bytes and len(part) == size_bytes:
            yield part
            continue
        view = memoryview(part)
        while pending_bytes + len(view) >= size_bytes:
            taken = size_bytes - pending_bytes
            yield b"".join((*pending, view[:taken]))
            view = view[taken:]
            pending, pending_bytes = [], 0
        pending.append(view)
        pending_bytes += len(view)
    if pending_bytes:
        yield b"".join(pending)


class SideDigest:
    """SHA-256 of what passes by, computed in a thread of its own; closes as a context."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> SideDigest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def update(self, data: bytes | memoryview) -> None:
        """Hashes ``data`` after all before it; waits when the thread is a few pieces behind."""
        self._pending.append(self._pool.submit(self._hash.update, data))
        if len(self._pending) > _MOST_BEHIND:
            self._pending.popleft().result()

    def digest(self) -> Digest:
        """The digest of everything so far."""
        while self._pending:
            self._pending.popleft().result()
        return Digest.from_hex(self._hash.hexdigest())


class FileDigests:
    """SHA-256 of each of several files whose contents pass by one after the other; closes as a context.

    ``files`` are names, what is before the passing bytes in the file, and how many of these it has.
    """

    def __init__(self, files: Iterable[tuple[str, bytes, int]]) -> None:
        self._files = iter(files)
        self._found: dict[str, Digest] = {}
        self._current: tuple[str, SideDigest] | None = None
        self._left_bytes = 0

    def __enter__(self) -> FileDigests:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._current is not None:
            self._current[1].__exit__(kind, error, trace)

    def update(self, data: bytes) -> None:
        """Takes the next bytes; those behind the last file are nobody's."""
        view = memoryview(data)
        while view and (self._left_bytes or self._next()):
            part, view = view[: self._left_bytes], view[self._left_bytes :]
            self._left_bytes -= len(part)
            if self._current is not None:
                self._current[1].update(part)

    def _next(self) -> bool:
        self._finish()
        found = next(self._files, None)
        if found is None:
            return False
        name, before, self._left_bytes = found
        self._current = (name, SideDigest())
        self._current[1].update(before)
        return True

    def _finish(self) -> None:
        if self._current is not None:
            name, digest = self._current
            with digest:
                self._found[name] = digest.digest()
            self._current = None

    def digests(self) -> dict[str, Digest]:
        """The digest of each file, by name; nothing passes by after this."""
        self._finish()
        return self._found
