"""The lab's way to run commands in a machine: the QEMU guest agent over a serial line of the machine.

Nothing of it touches a network, so the machine's network carries only what the machine itself sends. Output is read
while a command runs and the exit code comes at its end, however long it takes.
"""

from __future__ import annotations

import base64
import itertools
import json
import shlex
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.lab.errors import LabError

REPLY_SECONDS = 60.0
READ_BYTES = 256 * 1024
WRITE_BYTES = 2 * 1024  # with its JSON less than a terminal holds unread, because a serial line may be one
SHOWN_LINES = 30
OUTPUT_FOLDER = "/run/lab"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
}

# $1 is the stem of the output files, $2 the number for them; the rest is the command itself.
WRAPPER = 'mkdir -p "$1" && n=$2 && d=$1 && shift 2 && exec "$@" >"$d/$n.out" 2>"$d/$n.err" </dev/null'


@dataclass(frozen=True)
class Completed:
    """A finished command: its exit code (128 + signal when one ended it), both outputs, and how long it took."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float

    def ending(self) -> str:
        """How it ended, for an error: the exit code and the last lines it wrote."""
        lines = (self.stdout + self.stderr).splitlines()[-SHOWN_LINES:]
        return "\n".join([f"exit code {self.code} after {self.seconds:.1f} s", *lines])


class AgentError(LabError):
    """The guest agent refused or did not answer."""


class GuestAgent:
    """A connection to the guest agent of one machine."""

    def __init__(self, line: Callable[[], socket.socket], alive: Callable[[], bool]) -> None:
        """``line`` opens the way to it; waiting ends when ``alive`` says that the machine does not run."""
        self._line_to = line
        self._alive = alive
        self._socket: socket.socket | None = None
        self._pending = b""
        self._numbers = itertools.count(1)

    def connect(self, timeout_seconds: float) -> None:
        """Wait until the agent in the machine answers."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if not self._alive():
                raise AgentError("the machine stopped before its agent answered")
            try:
                self._open()
                self._synchronise(time.monotonic() + 2)
            except (OSError, AgentError):
                self.close()
                time.sleep(0.2)
            else:
                return
        raise AgentError(f"the machine's agent did not answer within {timeout_seconds:.0f} s")

    def close(self) -> None:
        """Drop the connection; the machine is not affected."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._pending = b""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float,
        on_output: Callable[[bytes], None] = lambda data: None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run ``argv`` as root; both outputs are kept apart and also given to ``on_output`` as they come.

        A command still running after ``timeout_seconds`` is killed with everything it started, and that raises.
        """
        number = str(next(self._numbers))
        started = time.monotonic()
        pid = self._spawn(["setsid", "sh", "-c", WRAPPER, "lab", OUTPUT_FOLDER, number, *argv], environment or {})
        tails = [_Tail(self, f"{OUTPUT_FOLDER}/{number}.{kind}", on_output) for kind in ("out", "err")]
        pause_seconds = 0.05
        while True:
            status = self.call("guest-exec-status", pid=pid)
            for tail in tails:
                tail.follow(final=bool(status["exited"]))
            if status["exited"]:
                break
            if time.monotonic() - started > timeout_seconds:
                self._spawn(["kill", "-KILL", "--", f"-{pid}"], {})
                raise AgentError(f"no end after {timeout_seconds:.0f} s", where=shlex.join(argv))
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, 1.0)
        self._spawn(["rm", "-f", *(tail.path for tail in tails)], {})
        code = status["exitcode"] if "exitcode" in status else 128 + int(status.get("signal", 0))
        stdout, stderr = (tail.text() for tail in tails)
        return Completed(tuple(argv), int(code), stdout, stderr, time.monotonic() - started)

    def read(self, path: str) -> bytes:
        """The bytes of a (small) file in the machine."""
        handle = self.call("guest-file-open", path=path, mode="r")
        try:
            data = b""
            while True:
                part = self.call("guest-file-read", handle=handle, count=READ_BYTES)
                data += base64.b64decode(part["buf-b64"])
                if part["eof"]:
                    return data
        finally:
            self.call("guest-file-close", handle=handle)

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a (small) file in the machine; its folder must be there."""
        handle = self.call("guest-file-open", path=path, mode="w")
        try:
            for start in range(0, len(data), WRITE_BYTES):
                part = base64.b64encode(data[start : start + WRITE_BYTES]).decode("ascii")
                self.call("guest-file-write", **{"handle": handle, "buf-b64": part})
            self.call("guest-file-flush", handle=handle)
        finally:
            self.call("guest-file-close", handle=handle)

    def call(self, command: str, **arguments: Any) -> Any:
        """One agent command and its answer."""
        return self._exchange({"execute": command, "arguments": arguments}, time.monotonic() + REPLY_SECONDS)

    def _spawn(self, argv: Sequence[str], environment: Mapping[str, str]) -> int:
        pairs = [f"{name}={value}" for name, value in (ENVIRONMENT | dict(environment)).items()]
        reply = self.call(
            "guest-exec", **{"path": "/usr/bin/env", "arg": ["--", *argv], "env": pairs, "capture-output": False}
        )
        return int(reply["pid"])

    def _open(self) -> None:
        self._socket = self._line_to()
        self._pending = b""

    def _synchronise(self, deadline: float) -> None:
        """Throw away what an earlier connection left on the line, up to the answer to our own mark."""
        mark = time.monotonic_ns() & 0xFFFFFFFF
        request = {"execute": "guest-sync-delimited", "arguments": {"id": mark}}
        self._send(b"\xff" + json.dumps(request).encode() + b"\n")
        while self._line(deadline).get("return") != mark:
            pass

    def _exchange(self, request: dict[str, Any], deadline: float) -> Any:
        self._send(json.dumps(request).encode() + b"\n")
        reply = self._line(deadline)
        if "error" in reply:
            raise AgentError("the agent refuses", where=request["execute"], got=str(reply["error"].get("desc")))
        return reply["return"]

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            raise AgentError("not connected to the machine's agent")
        self._socket.settimeout(REPLY_SECONDS)
        self._socket.sendall(data)

    def _line(self, deadline: float) -> dict[str, Any]:
        """The next JSON answer on the line."""
        assert self._socket is not None
        while b"\n" not in self._pending:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not self._alive():
                raise AgentError("the machine's agent does not answer")
            self._socket.settimeout(min(remaining, 1.0))
            try:
                received = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            if not received:
                raise AgentError("the machine closed the agent's line")
            self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        try:
            answer = json.loads(line.lstrip(b"\xff"))
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise AgentError("the agent does not answer as agents do", got=repr(line[:200]))
        return answer


class _Tail:
    """Follows one growing output file in the machine."""

    def __init__(self, agent: GuestAgent, path: str, on_output: Callable[[bytes], None]) -> None:
        self.path = path
        self._agent = agent
        self._on_output = on_output
        self._handle: int | None = None
        self._parts: list[bytes] = []

    def follow(self, *, final: bool) -> None:
        """Read what came since the last time; ``final`` also closes the file."""
        if self._handle is None:
            try:
                self._handle = self._agent.call("guest-file-open", path=self.path, mode="r")
            except AgentError:
                return  # not there yet, or the command could not even start
        while True:
            part = self._agent.call("guest-file-read", handle=self._handle, count=READ_BYTES)
            data = base64.b64decode(part["buf-b64"])
            if data:
                self._parts.append(data)
                self._on_output(data)
            if not data or part["eof"]:
                break
        if final:
            self._agent.call("guest-file-close", handle=self._handle)
            self._handle = None

    def text(self) -> str:
        """Everything read so far."""
        return b"".join(self._parts).decode("utf-8", errors="replace")
