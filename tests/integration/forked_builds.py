"""Real ``bundle`` processes by the hundred: forked from one that has imported everything, so that each starts at once.

Run as a program it is that process: it reads one order per line (JSON), forks, and answers with how the child ended.
A child can be killed with SIGKILL after a time, or at one of the points at which it is about to change a file: each
opening for writing, write (of which half is done), sync, rename, removal, change of mode, and lock. Instead of being
killed there, it can find its disk full from that point on.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
_REALLY_OPEN = open
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_EVENTS = {"open", "fcntl.flock"} | {f"os.{name}" for name in ("rename", "remove", "mkdir", "rmdir", "chmod", "utime")}


@dataclass(frozen=True)
class Order:
    """One run of ``bundle``. At ``point`` (they count from 1) it dies, or the disk that ``fill`` is on gets full."""

    argv: Sequence[str]
    kill_after_seconds: float | None = None
    counted: bool = False
    point: int | None = None
    fill: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a run ended: the exit code (negative: the signal), all it said, and the points it passed (0 if killed)."""

    code: int
    output: str
    points: int
    seconds: float


class Builds:
    """The way to the process that forks."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def run(self, argv: Sequence[str], **more: Any) -> Ended:
        """Carries out an :class:`Order` and waits for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = Order([str(part) for part in argv], **more)
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        output = (self._folder / "output").read_text(encoding="utf-8", errors="replace")
        return Ended(answer["code"], output, answer["points"], answer["seconds"])


@contextlib.contextmanager
def forking(folder: Path) -> Iterator[Builds]:
    """Starts that process; ``folder`` gets what its children say."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "tests.integration.forked_builds", str(folder)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Builds(process, folder)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _serve(folder: Path, orders: IO[str], answers: IO[str]) -> None:
    for line in orders:
        order, began = Order(**json.loads(line)), time.monotonic()
        (folder / "points").write_text("0", encoding="ascii")
        child = os.fork()
        if child == 0:
            _run(order, folder)
        if order.kill_after_seconds is not None:
            time.sleep(order.kill_after_seconds)
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        points = int((folder / "points").read_text(encoding="ascii") or 0)  # killed while it wrote them
        answers.write(json.dumps({"code": code, "points": points, "seconds": time.monotonic() - began}) + "\n")
        answers.flush()


def _run(order: Order, folder: Path) -> None:
    """What the child does; it does not return."""
    from bundler.cli import main

    os.environ.update(order.environment)
    for stream, name in ((0, os.devnull), (1, folder / "output"), (2, folder / "output")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if stream == 1 else os.O_APPEND)), stream)
    watch = _Watch(order)
    if order.counted or order.point is not None:
        watch.start()
    code = 1
    try:
        main(list(order.argv), prog_name="bundle")
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        points = watch.points
        sys.stdout.flush()
        (folder / "points").write_text(str(points), encoding="ascii")
        os._exit(code)


class _Watch:
    """Counts the points, and does at the chosen one what the order says."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._passed = itertools.count(1)
        self.points = 0

    def pass_point(self) -> bool:
        """Counts one; whether it is the chosen one, after its disk was filled."""
        self.points = next(self._passed)
        if self.points != self._order.point:
            return False
        if self._order.fill is not None:
            _fill(self._order.fill)
        return self._order.fill is None

    def start(self) -> None:
        """Watches everything that this process does from now on."""
        sys.addaudithook(self._audit)
        io.open = builtins.open = self._open  # type: ignore[assignment]
        really_sync = os.fsync

        def fsync(descriptor: Any) -> None:
            if self.pass_point():
                die()
            really_sync(descriptor)

        os.fsync = fsync  # type: ignore[assignment]

    def _audit(self, event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and not details[2] & _WRITING_FLAGS:
            return
        if event in _EVENTS and self.pass_point():
            die()

    def _open(self, path: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        stream = _REALLY_OPEN(path, mode, *more, **named)
        return stream if set(mode).isdisjoint("wax+") else _Written(stream, self)


class _Written:
    """A file open for writing, each write of which is a point; one that is killed there writes half."""

    def __init__(self, stream: IO[Any], watch: _Watch) -> None:
        self._stream = stream
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.close()

    def write(self, data: Any) -> int:
        """As the file's own."""
        if self._watch.pass_point():
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()
            die()
        return self._stream.write(data)


def die() -> None:
    """Ends this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def _fill(path: str) -> None:
    """Writes zeros until there is no room for another one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size_bytes in (1 << 20, 1 << 12, 1):
        with contextlib.suppress(OSError):
            while os.write(descriptor, bytes(size_bytes)):
                pass
    os.close(descriptor)


if __name__ == "__main__":
    # Everything a build imports, before the first fork; nothing of it starts a thread.
    import bundler.addon_choice
    import bundler.build
    import bundler.report  # noqa: F401

    _serve(Path(sys.argv[1]), sys.stdin, sys.stdout)
