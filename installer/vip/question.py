"""The question that one control plane asks another over TCP: who are you, and which address do you hold?

One line of JSON each way. Nothing in it is secret, and nothing that is received is acted on beyond comparing it with
the nodes that ``cluster.yaml`` names.
"""

from __future__ import annotations

import errno
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from installer.errors import OperatorError

_PROTOCOL = "airgap-bundle vip-probe 1"
_LINE_BYTES = 4096
_WORD_LETTERS = 253
_CLIENT_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    """The holder: its node name and address, the address it holds for now, and the MAC it is at."""

    name: str
    address: str
    holds: str
    mac: str


@dataclass(frozen=True)
class Asked:
    """What came of a question: an ``answer``, or ``why`` there is none; ``connected`` if something listens there."""

    answer: Answer | None
    why: str = ""
    connected: bool = False


@dataclass(frozen=True)
class Question:
    """Somebody asked: the name it gave, the address it came from, and the address it asked at."""

    name: str
    came_from: str
    asked_at: str


class Door(Protocol):
    """Where the holder is asked."""

    def next_question(self, answer: Answer, seconds: float) -> Question | None:
        """Waits so long for somebody, gives ``answer`` and says who it was; ``None`` for nobody, or for a stranger."""


def put_question(name: str, host: str, port: int, timeout_seconds: float) -> Asked:
    """Asks whoever is at ``host``, as the node ``name``."""
    try:
        with socket.create_connection((host, port), timeout_seconds) as stream:
            return _talk(stream, name)
    except OSError as error:
        return Asked(None, (error.strerror or str(error) or "no connection").lower())


def _talk(stream: socket.socket, name: str) -> Asked:
    try:
        stream.sendall(_line({"name": name}))
        answer = _words(_read_line(stream), tuple(Answer.__dataclass_fields__))
    except OSError:
        answer = None
    if answer is None:
        return Asked(None, "something listens there that is no vip-probe", connected=True)
    return Asked(Answer(**answer), connected=True)


class ListeningDoor:
    """A :class:`Door` at every address of this machine: its own one and the moving one."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def next_question(self, answer: Answer, seconds: float) -> Question | None:
        """See :class:`Door`."""
        self._listener.settimeout(max(seconds, 0.01))
        try:
            stream, _ = self._listener.accept()
        except TimeoutError:
            return None
        with stream:
            stream.settimeout(_CLIENT_SECONDS)
            try:
                asked = _words(_read_line(stream), ("name",))
                if asked is None:
                    return None
                stream.sendall(_line(asdict(answer)))
                return Question(asked["name"], stream.getpeername()[0], stream.getsockname()[0])
            except OSError:
                return None


@contextmanager
def open_door(port: int) -> Iterator[ListeningDoor | None]:
    """Listens at ``port``; ``None`` where something else does already."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield ListeningDoor(listener) if _listens(listener, port) else None


def _listens(listener: socket.socket, port: int) -> bool:
    try:
        listener.bind(("", port))
        listener.listen()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise OperatorError("cannot listen", where=f"TCP port {port}", got=str(error)) from None
        return False
    return True


def _line(words: dict[str, str]) -> bytes:
    return json.dumps({"protocol": _PROTOCOL} | words, sort_keys=True).encode() + b"\n"


def _read_line(stream: socket.socket) -> bytes:
    """One line, within the time the socket has for all of it; what is too long or slow is no line of ours."""
    ends_seconds = time.monotonic() + (stream.gettimeout() or _CLIENT_SECONDS)
    data = b""
    while not data.endswith(b"\n") and len(data) <= _LINE_BYTES:
        stream.settimeout(max(ends_seconds - time.monotonic(), 0.01))
        chunk = stream.recv(_LINE_BYTES)
        if not chunk:
            break
        data += chunk
    return data


def _words(line: bytes, wanted: tuple[str, ...]) -> dict[str, str] | None:
    """The wanted words of a line of this protocol, or ``None``."""
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("protocol") != _PROTOCOL:
        return None
    found = {key: str(said[key]) for key in wanted if _is_word(said.get(key))}
    return found if len(found) == len(wanted) else None


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _WORD_LETTERS and value.isprintable()
