"""A node in memory: files in a dictionary, commands scripted, time that moves only when a step sleeps.

It is strict: a command nobody scripted fails the test at once, a query outside the read-only table is refused as on
the real node, and paths behave as a file system's do (a file cannot have children, a folder with content stays).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from installer import custody
from installer.bundle.digest import Digest
from installer.errors import IntegrityError, OperatorError
from installer.node import (
    NOT_FOUND_CODE,
    QUERY_TIMEOUT_SECONDS,
    READ_LIMIT_BYTES,
    CommandResult,
    DiskSpace,
    FileStat,
)
from installer.queries import demand_read_only
from installer.trust import RECORD_PATH

OUTLASTING = (custody.PATH, RECORD_PATH)
Answer = Callable[["FakeNode", bytes], CommandResult]


class UnexpectedCommandError(AssertionError):
    """A command ran that the test did not script."""


@dataclass(frozen=True)
class Entry:
    """One path of the fake file system."""

    stat: FileStat
    data: bytes = b""


@dataclass
class FakeNode:
    """A :class:`~installer.node.Node` for tests. ``ran`` lists every command in order, ``fed`` what each was given."""

    uid: int = 0
    clock_seconds: float = 1_795_000_000.0
    disk: DiskSpace = field(default_factory=lambda: DiskSpace("/", 100 * 10**9, 50 * 10**9, 1_000_000))
    programs: set[str] = field(default_factory=set)
    ran: list[tuple[str, ...]] = field(default_factory=list)
    fed: dict[tuple[str, ...], bytes] = field(default_factory=dict)
    _entries: dict[str, Entry] = field(default_factory=lambda: {"/": Entry(FileStat("directory", 0o755, 0, 0, 0))})
    _answers: dict[tuple[str, ...], list[Answer]] = field(default_factory=dict)

    # --- scripting ---

    def script(
        self,
        argv: str | Sequence[str],
        stdout: str = "",
        *,
        code: int = 0,
        stderr: str = "",
        then: Answer | None = None,
    ) -> FakeNode:
        """Scripts a command; scripted again, the answers come in that order and the last one stays.

        ``then`` is called instead of the fixed answer, with the node (to change its files) and the bytes of stdin.
        """
        words = tuple(argv.split() if isinstance(argv, str) else argv)
        result = CommandResult(words, code, stdout, stderr)
        self._answers.setdefault(words, []).append(then or (lambda _node, _stdin: result))
        return self

    def absent(self, *programs: str) -> FakeNode:
        """Says that these programs are not on the node: any query of them answers 127."""
        for program in programs:
            self._answers[(program,)] = [lambda _node, _stdin, name=program: _no_such(name)]  # type: ignore[misc]
        return self

    def with_files(self, files: dict[str, str | bytes]) -> FakeNode:
        """Puts files there, 0644, with their folders."""
        for path, content in files.items():
            self.write_file(path, content.encode() if isinstance(content, str) else content)
        return self

    def files(self) -> dict[str, bytes]:
        """Every plain file and its content, but for what outlasts every run: the custody log and the signers."""
        return {
            path: entry.data
            for path, entry in sorted(self._entries.items())
            if entry.stat.kind == "file" and path not in OUTLASTING
        }

    def entries(self) -> dict[str, Entry]:
        """Everything on the disk: files, folders, links, with modes and owners; not what the kernel shows, nor
        what outlasts every run, with the folders that are there for it alone.
        """
        beside = ("/proc", "/sys", "/run", "/dev", *OUTLASTING)
        shown = {path: entry for path, entry in sorted(self._entries.items()) if not path.startswith(beside)}
        for folder in ("/var/lib/airgap-bundle", "/var/lib", "/var"):
            if not any(path.startswith(f"{folder}/") for path in shown) and self._children(folder):
                shown.pop(folder, None)
        return shown

    # --- looking ---

    def read_bytes(self, path: str, limit_bytes: int = READ_LIMIT_BYTES) -> bytes | None:
        """See :class:`~installer.node.NodeView`."""
        entry = self._followed(path)
        if entry is None or entry.stat.kind != "file":
            return None
        if len(entry.data) > limit_bytes:
            raise OperatorError("a file is larger than expected", where=path, wanted=f"at most {limit_bytes} bytes")
        return entry.data

    def read_text(self, path: str, limit_bytes: int = READ_LIMIT_BYTES) -> str | None:
        """See :class:`~installer.node.NodeView`."""
        data = self.read_bytes(path, limit_bytes)
        return None if data is None else data.decode("utf-8", "replace")

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """See :class:`~installer.node.NodeView`."""
        data = self.read_bytes(path, 2**40)
        if data is None:
            raise OperatorError("cannot read a file", where=path)
        yield from (data[start : start + 1024] for start in range(0, len(data), 1024))

    def stat(self, path: str) -> FileStat | None:
        """See :class:`~installer.node.NodeView`."""
        entry = self._entries.get(_clean(path))
        return entry.stat if entry else None

    def list_dir(self, path: str) -> tuple[str, ...]:
        """See :class:`~installer.node.NodeView`."""
        return tuple(sorted(self._children(_clean(path))))

    def digest(self, path: str) -> Digest | None:
        """See :class:`~installer.node.NodeView`."""
        data = self.read_bytes(path, 2**40)
        return None if data is None else Digest.of(data)

    def disk_space(self, path: str) -> DiskSpace:
        """See :class:`~installer.node.NodeView`."""
        _clean(path)
        return self.disk

    def which(self, program: str) -> str | None:
        """See :class:`~installer.node.NodeView`; programs are named in ``programs`` or are files in a bin folder."""
        for folder in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
            entry = self._followed(f"{folder}/{program}")
            if entry is not None and entry.stat.mode & 0o111:
                return f"{folder}/{program}"
        return f"/usr/bin/{program}" if program in self.programs else None

    def query(self, argv: Sequence[str], *, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> CommandResult:
        """See :class:`~installer.node.NodeView`."""
        demand_read_only(argv)
        return self._answer(tuple(argv), b"")

    def effective_uid(self) -> int:
        """See :class:`~installer.node.NodeView`."""
        return self.uid

    def now_seconds(self) -> float:
        """See :class:`~installer.node.NodeView`."""
        return self.clock_seconds

    # --- changing ---

    def write_file(self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """See :class:`~installer.node.Node`."""
        self._put(path, Entry(FileStat("file", mode, uid, gid, len(data)), data))

    def append(self, path: str, data: bytes, *, mode: int = 0o640) -> None:
        """See :class:`~installer.node.Node`."""
        entry = self._entries.get(_clean(path))
        if entry is None:
            self.write_file(path, data, mode=mode)
        elif entry.stat.kind != "file":
            raise OperatorError("cannot add to a file", where=path, got=f"a {entry.stat.kind}")
        else:
            before = entry.data + (b"\n" if entry.data and not entry.data.endswith(b"\n") else b"")
            both = before + data
            self._put(path, Entry(replace(entry.stat, size_bytes=len(both)), both))

    def place(self, path: str, chunks: Iterable[bytes], *, mode: int, digest: Digest | None = None) -> Digest:
        """See :class:`~installer.node.Node`."""
        data = b"".join(chunks)
        got = Digest.of(data)
        if digest is not None and digest != got:
            raise IntegrityError("wrong bytes for a file", where=path, wanted=digest, got=got)
        self._put(path, Entry(FileStat("file", mode, 0, 0, len(data)), data))
        return got

    def make_dir(self, path: str, *, mode: int = 0o755) -> None:
        """See :class:`~installer.node.Node`."""
        path = _clean(path)
        self._make_parents(path)
        found = self._entries.get(path)
        if found is not None and found.stat.kind != "directory":
            raise OperatorError("cannot make a folder", where=path, got="File exists")
        self._entries[path] = Entry(FileStat("directory", mode, 0, 0, 0))

    def symlink(self, target: str, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        self._put(path, Entry(FileStat("symlink", 0o777, 0, 0, len(target), target)))

    def remove(self, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        path = _clean(path)
        if self._children(path):
            raise OperatorError("cannot remove a path", where=path, got="Directory not empty")
        if self._is_mount_point(path):
            raise OperatorError("cannot remove a path", where=path, got="Device or resource busy")
        self._entries.pop(path, None)

    def remove_tree(self, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        path = _clean(path)
        stays = self._is_mount_point(path)  # what is mounted there is emptied, and the kernel keeps the folder
        for other in [name for name in self._entries if (name == path and not stays) or name.startswith(path + "/")]:
            del self._entries[other]

    def unnamed_file(self, path: str) -> BinaryIO:
        """See :class:`~installer.node.Node`; a real one, as it is read by its descriptor."""
        _clean(path)
        return cast("BinaryIO", TemporaryFile(buffering=0))

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> CommandResult:
        """See :class:`~installer.node.Node`."""
        data = b"" if stdin is None else b"".join(stdin)
        return self._answer(tuple(argv), data).demand(secrets=secrets)

    def sleep(self, seconds: float) -> None:
        """See :class:`~installer.node.Node`; moves the clock."""
        self.clock_seconds += seconds

    # --- inside ---

    def _answer(self, words: tuple[str, ...], data: bytes) -> CommandResult:
        self.ran.append(words)
        answers = self._answers.get(words) or self._answers.get(words[:1])
        if not answers:
            raise UnexpectedCommandError(f"nobody scripted: {' '.join(words)}")
        if data:
            self.fed[words] = data
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return replace(answer(self, data), argv=words)

    def _is_mount_point(self, path: str) -> bool:
        return f" / {path} " in (self.read_text("/proc/self/mountinfo") or "")

    def _put(self, path: str, entry: Entry) -> None:
        path = _clean(path)
        self._make_parents(path)
        found = self._entries.get(path)
        if found is not None and found.stat.kind == "directory":
            raise OperatorError("cannot write a file", where=path, got="Is a directory")
        self._entries[path] = entry

    def _make_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0] or "/"
        found = self._followed(parent)
        if found is None:
            self.make_dir(parent)
        elif found.stat.kind != "directory":
            raise OperatorError("cannot write a file", where=path, got="Not a directory")

    def _children(self, path: str) -> set[str]:
        prefix = path.rstrip("/") + "/"
        return {name[len(prefix) :].partition("/")[0] for name in self._entries if name.startswith(prefix)} - {""}

    def _followed(self, path: str, depth: int = 8) -> Entry | None:
        entry = self._entries.get(_clean(path))
        if entry is None or entry.stat.link_target is None:
            return entry
        target = entry.stat.link_target
        if depth == 0:
            return None
        return self._followed(target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}", depth - 1)


def _clean(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"a node's path must be absolute and without '..': {path}")
    return "/" + "/".join(part for part in path.split("/") if part)


def _no_such(program: str) -> CommandResult:
    return CommandResult((program,), NOT_FOUND_CODE, "", f"{program}: no such program")
