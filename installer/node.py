"""The boundary to a machine: :class:`NodeView` can look, :class:`Node` can also change things.

Planning and ``--dry-run`` are given a :class:`NodeView` and therefore have no way to change anything. Paths are
absolute and POSIX; what is absent is ``None`` (or an empty tuple), not an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal, Protocol

from installer.bundle.digest import Digest
from installer.errors import CommandError

FileKind = Literal["file", "directory", "symlink", "other"]

READ_LIMIT_BYTES = 16 * 1024 * 1024
QUERY_TIMEOUT_SECONDS = 60.0
NOT_FOUND_CODE = 127
TIMED_OUT_CODE = 124
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class FileStat:
    """What a path is, itself: a symbolic link is not followed, and ``link_target`` is where it points."""

    kind: FileKind
    mode: int
    uid: int
    gid: int
    size_bytes: int
    link_target: str | None = None


@dataclass(frozen=True)
class DiskSpace:
    """The file system that holds a path: its mount point, size, and what is free for root.

    ``free_inodes`` is ``None`` where it does not count them. ``device`` is its number, which several mount points can
    have in common.
    """

    mount: str
    total_bytes: int
    free_bytes: int
    free_inodes: int | None
    device: str = ""
    read_only: bool = False

    @property
    def file_system(self) -> str:
        """What is the same for all paths that share this room."""
        return self.device or self.mount


@dataclass(frozen=True)
class CommandResult:
    """What a program said. ``code`` is 127 when there is no such program and 124 when its time was up."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.code == 0

    @property
    def found(self) -> bool:
        """Whether the program is there at all."""
        return self.code != NOT_FOUND_CODE

    def demand(self, *, secrets: Sequence[str] = (), next_step: str | None = None) -> CommandResult:
        """This result, or :class:`CommandError` (with ``secrets`` masked) when the exit code is not 0."""
        if self.ok:
            return self
        argv = [masked(word, secrets) for word in self.argv]
        tail = "\n".join(masked(self.stderr.strip() or self.stdout.strip(), secrets).splitlines()[-12:])
        raise CommandError(argv, self.code, tail, next_step=next_step)

    def masked(self, secrets: Sequence[str]) -> CommandResult:
        """The same result with every secret replaced, fit for a log."""
        argv = tuple(masked(word, secrets) for word in self.argv)
        return replace(self, argv=argv, stdout=masked(self.stdout, secrets), stderr=masked(self.stderr, secrets))


class NodeView(Protocol):
    """A machine that can be looked at."""

    def read_bytes(self, path: str, limit_bytes: int = READ_LIMIT_BYTES) -> bytes | None:
        """The file's content, or ``None`` where there is no file; :class:`OperatorError` beyond ``limit_bytes``."""

    def read_text(self, path: str, limit_bytes: int = READ_LIMIT_BYTES) -> str | None:
        """The file's content as UTF-8 (undecodable bytes replaced), or ``None`` where there is no file."""

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """The file's content piece by piece, whatever its size; :class:`OperatorError` where there is no file."""

    def stat(self, path: str) -> FileStat | None:
        """What is at ``path`` (a link itself, not its target), or ``None``."""

    def list_dir(self, path: str) -> tuple[str, ...]:
        """The sorted names in a folder; empty where there is none."""

    def digest(self, path: str) -> Digest | None:
        """The SHA-256 of a file's content (links followed), or ``None`` where there is no file."""

    def disk_space(self, path: str) -> DiskSpace:
        """The space of the file system ``path`` is or would be on."""

    def which(self, program: str) -> str | None:
        """Where a program is on the fixed PATH of this tool, or ``None``."""

    def query(self, argv: Sequence[str], *, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> CommandResult:
        """Runs a command of the read-only table in :mod:`installer.queries`. Never raises on its code."""

    def effective_uid(self) -> int:
        """The user this process acts as; 0 is root."""

    def now_seconds(self) -> float:
        """The machine's clock as Unix time."""


class Node(NodeView, Protocol):
    """A machine that can be changed. All but :meth:`append` replaces atomically: a reader sees the old or the new."""

    def write_file(self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Writes a small file with its parents (0755): temporary name, fsync, mode and owner, rename."""

    def append(self, path: str, data: bytes, *, mode: int = 0o640) -> None:
        """Adds ``data`` to the end of a file in one write that is on disk when this returns; what is there stays.

        A missing file is made with ``mode`` and its parents (0755). A link is not followed.
        """

    def place(self, path: str, chunks: Iterable[bytes], *, mode: int, digest: Digest | None = None) -> Digest:
        """Streams a file to ``path`` the same way and returns its digest.

        :class:`IntegrityError` and no change if it is not ``digest``.
        """

    def make_dir(self, path: str, *, mode: int = 0o755) -> None:
        """Makes a folder with its parents (0755), or gives an existing one this mode."""

    def symlink(self, target: str, path: str) -> None:
        """Makes ``path`` a symbolic link to ``target``, replacing what is there unless it is a folder."""

    def remove(self, path: str) -> None:
        """Removes a file, link or empty folder; nothing where nothing is."""

    def remove_tree(self, path: str) -> None:
        """Removes a folder with everything in it; no content is kept of it.

        A mount point inside stops it; a folder that is one itself is emptied and stays.
        """

    def unnamed_file(self, path: str) -> BinaryIO:
        """A file without a name on the file system that ``path`` is or would be on: gone once it is closed, or this
        process ends. No change of the machine, so it is in no journal. Raises :class:`OSError`.
        """

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> CommandResult:
        """Runs a program to its end; :class:`CommandError` unless its code is 0.

        ``stdin`` is streamed to it; an error raised while reading ``stdin`` ends the program and wins over the
        program's own failure. ``secrets`` are masked in errors and in the journal, not in the result.
        """

    def sleep(self, seconds: float) -> None:
        """Waits, for steps that look again and again until something is there."""


def masked(text: str, secrets: Sequence[str]) -> str:
    """``text`` with every secret replaced by ``***``; very short ones are refused, as they would mask everything."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError("a secret to mask needs at least four characters")
        text = text.replace(secret, "***")
    return text
