"""The machine this process runs on: ``LocalView`` can only look, ``LocalNode`` adds what changes things.

The only module that starts programs: no shell, a fixed locale and PATH, nothing of the caller's environment (so no
proxies), stdin closed unless given, always a time limit, output bounded. Output is drained by threads while input is
streamed, so neither side can block.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import stat as stat_bits
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO, cast

from installer.bundle.digest import Digest
from installer.bundle.regularfile import NoRegularFileError, open_regular
from installer.errors import OperatorError
from installer.localfiles import (
    Counted,
    Wanted,
    append_through,
    beside,
    discard,
    kind_of,
    make_parents,
    os_error,
    remove_below,
    sync_folder,
    write_through,
)
from installer.node import (
    NOT_FOUND_CODE,
    QUERY_TIMEOUT_SECONDS,
    READ_LIMIT_BYTES,
    TIMED_OUT_CODE,
    CommandResult,
    DiskSpace,
    FileStat,
)
from installer.queries import demand_read_only
from installer.room import disk_space, nearest, write_error

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# kubectl and Helm keep what they learnt of an API server below HOME unless they are told of another place; no file can
# be made below this one, so they keep nothing and a reset finds nothing of theirs to remove.
ENVIRONMENT = {"PATH": SEARCH_PATH, "LC_ALL": "C", "HOME": "/root", "KUBECACHEDIR": os.devnull}
UMASK = 0o022
STDOUT_LIMIT_BYTES = 16 * 1024 * 1024
STDERR_TAIL_BYTES = 64 * 1024
CANNOT_START_CODE = 126
_FILE_CHUNK_BYTES = 1024 * 1024
_PIPE_CHUNK_BYTES = 64 * 1024
_PIPE_BYTES = 1024 * 1024
"""For what is streamed into a program: sixteen times the kernel's own, so that neither side waits for each 64 KiB."""
_PATIENCE_SECONDS = 5.0


class LocalView:
    """This machine, for looking. ``root`` is prefixed to every path of a file, for tests and mounted systems."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def _at(self, path: str) -> Path:
        if not path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"a node's path must be absolute and without '..': {path}")
        return self._root / path.lstrip("/")

    def read_bytes(self, path: str, limit_bytes: int = READ_LIMIT_BYTES) -> bytes | None:
        """See :class:`~installer.node.NodeView`."""
        try:
            with open_regular(self._at(path), buffering=0) as stream:
                data = _read_at_most(stream, limit_bytes + 1)
        except (FileNotFoundError, NotADirectoryError, NoRegularFileError):
            return None
        except OSError as error:
            raise os_error("cannot read a file", path, error) from error
        if len(data) > limit_bytes:
            raise OperatorError("a file is larger than expected", where=path, wanted=f"at most {limit_bytes} bytes")
        return data

    def read_text(self, path: str, limit_bytes: int = READ_LIMIT_BYTES) -> str | None:
        """See :class:`~installer.node.NodeView`."""
        data = self.read_bytes(path, limit_bytes)
        return None if data is None else data.decode("utf-8", "replace")

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """See :class:`~installer.node.NodeView`."""
        try:
            with open_regular(self._at(path)) as stream:
                while chunk := stream.read(_FILE_CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise os_error("cannot read a file", path, error) from error

    def stat(self, path: str) -> FileStat | None:
        """See :class:`~installer.node.NodeView`."""
        place = self._at(path)
        try:
            found = place.lstat()
            target = str(place.readlink()) if stat_bits.S_ISLNK(found.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise os_error("cannot look at a path", path, error) from error
        mode = stat_bits.S_IMODE(found.st_mode)
        return FileStat(kind_of(found.st_mode), mode, found.st_uid, found.st_gid, found.st_size, target)

    def list_dir(self, path: str) -> tuple[str, ...]:
        """See :class:`~installer.node.NodeView`."""
        try:
            return tuple(sorted(os.listdir(self._at(path))))  # noqa: PTH208 - names, not paths
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise os_error("cannot list a folder", path, error) from error

    def digest(self, path: str) -> Digest | None:
        """See :class:`~installer.node.NodeView`."""
        if not self._at(path).is_file():
            return None
        hasher = hashlib.sha256()
        for chunk in self.read_chunks(path):
            hasher.update(chunk)
        return Digest.from_hex(hasher.hexdigest())

    def disk_space(self, path: str) -> DiskSpace:
        """See :class:`~installer.node.NodeView`."""
        try:
            return disk_space(self._at(path))
        except OSError as error:
            raise os_error("cannot look at a file system", path, error) from error

    def which(self, program: str) -> str | None:
        """See :class:`~installer.node.NodeView`."""
        return shutil.which(program, path=SEARCH_PATH)

    def query(self, argv: Sequence[str], *, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> CommandResult:
        """See :class:`~installer.node.NodeView`."""
        demand_read_only(argv)
        return _run(argv, stdin=None, timeout_seconds=timeout_seconds)

    def effective_uid(self) -> int:
        """See :class:`~installer.node.NodeView`."""
        return os.geteuid()

    def now_seconds(self) -> float:
        """See :class:`~installer.node.NodeView`."""
        return time.time()


class LocalNode(LocalView):
    """This machine, for changing."""

    def write_file(self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """See :class:`~installer.node.Node`."""
        self._replace(path, [data], Wanted(mode, None, uid, gid))

    def append(self, path: str, data: bytes, *, mode: int = 0o640) -> None:
        """See :class:`~installer.node.Node`."""
        try:
            append_through(self._at(path), data, mode)
        except OSError as error:
            raise os_error("cannot add to a file", path, error) from error

    def place(self, path: str, chunks: Iterable[bytes], *, mode: int, digest: Digest | None = None) -> Digest:
        """See :class:`~installer.node.Node`."""
        return self._replace(path, chunks, Wanted(mode, digest))

    def _replace(self, path: str, chunks: Iterable[bytes], want: Wanted) -> Digest:
        place, counted = self._at(path), Counted(chunks)
        with self._beside("cannot write a file", path, counted) as fresh:
            written = write_through(fresh, counted, want, path)
            fresh.rename(place)
            sync_folder(place.parent)
        return written

    @contextlib.contextmanager
    def _beside(self, what: str, path: str, counted: Counted | None = None) -> Iterator[Path]:
        """A temporary name beside ``path`` to make something under; whatever happens, nothing is left of it."""
        place = self._at(path)
        fresh = beside(place)
        try:
            make_parents(place)
            discard(fresh)
            yield fresh
        except OSError as error:
            discard(fresh)  # before the room is looked at
            raise write_error(what, path, place, error, counted.total_bytes() if counted else None) from error
        finally:
            discard(fresh)

    def make_dir(self, path: str, *, mode: int = 0o755) -> None:
        """See :class:`~installer.node.Node`."""
        place = self._at(path)
        try:
            make_parents(place)
            place.mkdir(exist_ok=True)
            place.chmod(mode)
        except OSError as error:
            raise write_error("cannot make a folder", path, place, error) from error

    def symlink(self, target: str, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        with self._beside("cannot make a symbolic link", path) as fresh:
            fresh.symlink_to(target)
            fresh.rename(self._at(path))

    def remove(self, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        place = self._at(path)
        try:
            if place.is_dir() and not place.is_symlink():
                place.rmdir()
            else:
                place.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise write_error("cannot remove a path", path, place, error) from error

    def remove_tree(self, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        place = self._at(path)
        if not place.is_dir() or place.is_symlink():
            self.remove(path)
            return
        try:
            remove_below(place, place.stat().st_dev, path)
            if not place.is_mount():  # a data disk mounted there stays, empty
                place.rmdir()
        except OSError as error:
            raise write_error("cannot remove a folder", path, place, error) from error

    def unnamed_file(self, path: str) -> BinaryIO:
        """See :class:`~installer.node.Node`."""
        return cast("BinaryIO", tempfile.TemporaryFile(dir=nearest(self._at(path).resolve()), buffering=0))

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> CommandResult:
        """See :class:`~installer.node.Node`."""
        return _run(argv, stdin=stdin, timeout_seconds=timeout_seconds).demand(secrets=secrets)

    def sleep(self, seconds: float) -> None:
        """See :class:`~installer.node.Node`."""
        time.sleep(seconds)


def _read_at_most(stream: IO[bytes], most_bytes: int) -> bytes:
    """Up to ``most_bytes``, in small reads: the kernel makes room for the whole of a read of ``/proc/sys``."""
    data = bytearray()
    while len(data) < most_bytes and (chunk := stream.read(min(_PIPE_CHUNK_BYTES, most_bytes - len(data)))):
        data += chunk
    return bytes(data)


def _run(argv: Sequence[str], *, stdin: Iterable[bytes] | None, timeout_seconds: float) -> CommandResult:
    """Runs ``argv`` to its end; code 124 when the time was up, 127 when there is no such program.

    An error raised by ``stdin`` ends the program and is raised here, whatever the program says.
    """
    began = time.monotonic()
    try:
        process = _start(argv, streams_input=stdin is not None)
    except (FileNotFoundError, NotADirectoryError):
        return CommandResult(tuple(argv), NOT_FOUND_CODE, "", f"{argv[0]}: no such program")
    except OSError as error:
        return CommandResult(tuple(argv), CANNOT_START_CODE, "", f"{argv[0]}: {error.strerror}")
    stdout, stderr = _Drain(process.stdout), _Drain(process.stderr)
    time_is_up = threading.Event()
    timer = threading.Timer(timeout_seconds, _time_out, (process, time_is_up))
    timer.daemon = True
    timer.start()
    try:
        if stdin is not None:
            _feed(process, stdin)
        code = process.wait()
    finally:
        timer.cancel()
        _end(process)
    code = TIMED_OUT_CODE if time_is_up.is_set() else code
    said = stderr.tail()
    if time_is_up.is_set():
        said = f"{said.rstrip()}\nnot done after {timeout_seconds:g} s".lstrip()
    return CommandResult(tuple(argv), code, stdout.whole(argv[0]), said, time.monotonic() - began)


def _start(argv: Sequence[str], *, streams_input: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE if streams_input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd="/",
        umask=UMASK,
        start_new_session=True,
    )


def _feed(process: subprocess.Popen[bytes], chunks: Iterable[bytes]) -> None:
    """Streams ``chunks``; if they raise, the program is ended before it can take a part for the whole.

    A program that stops reading may have choked on bytes whose digest was not looked at yet, so the rest is still
    read: what is wrong with the stream matters more than what the program made of it.
    """
    assert process.stdin is not None  # noqa: S101 - started with a pipe
    with contextlib.suppress(OSError):  # the kernel's limit for one user may be lower; then it stays as it is
        fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    source: Iterator[bytes] = iter(chunks)
    try:
        for chunk in source:
            process.stdin.write(chunk)
    except BrokenPipeError:
        for _ in source:
            pass
    except BaseException:
        _end(process)
        raise
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _time_out(process: subprocess.Popen[bytes], time_is_up: threading.Event) -> None:
    time_is_up.set()
    _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that still runs, with its children: asked first, then killed."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)


class _Drain:
    """Reads a stream to its end in a thread; keeps the first 16 MiB and the last 64 KiB."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None  # noqa: S101 - started with a pipe
        self._stream = stream
        self._head = bytearray()
        self._tail = bytearray()
        self._overflowed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            while chunk := self._stream.read1(_PIPE_CHUNK_BYTES):  # type: ignore[attr-defined]
                room = STDOUT_LIMIT_BYTES - len(self._head)
                self._head += chunk[:room]
                self._overflowed |= len(chunk) > room
                self._tail += chunk
                del self._tail[:-STDERR_TAIL_BYTES]

    def _join(self) -> None:
        """Waits for the end, but not for a child that went on by itself and holds the pipe open."""
        self._thread.join(_PATIENCE_SECONDS)

    def whole(self, program: str) -> str:
        """All of it as text; :class:`OperatorError` if it was more than is kept."""
        self._join()
        if self._overflowed:
            raise OperatorError(
                f"{program} printed too much", where=program, wanted=f"at most {STDOUT_LIMIT_BYTES} bytes"
            )
        return bytes(self._head).decode("utf-8", "replace")

    def tail(self) -> str:
        """The end of it as text."""
        self._join()
        return bytes(self._tail).decode("utf-8", "replace")
