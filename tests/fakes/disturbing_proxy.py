"""A proxy in front of a real server that hands on what it is asked, but for the requests a schedule names.

Undisturbed requests reach the real server with their ranges and types, and its answers come back byte for byte. For a
disturbed one the proxy gets the whole answer and lets the fault have it. Where it wants a token for every repository,
as public registries do, it issues them itself.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from installer.bundle.digest import Digest
from tests.fakes.disturbance import KINDS, Planned
from tests.fakes.upstream import Fault, Handler, Reply, Seen, Upstream

_HANDED_ON = ("Accept", "Range")


@dataclass(frozen=True)
class _Answer:
    """What the real server said: the lines of its head, the fields in them, and the body."""

    head: bytes
    fields: Mapping[str, str]
    body: bytes


class _Connection:
    """A connection to the real server. Reading heads is plain on purpose: a schedule makes a hundred requests."""

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")

    def ask(self, method: str, path: str, fields: Mapping[str, str]) -> _Answer:
        """The answer to one request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: upstream", *(f"{name}: {text}" for name, text in fields.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        status = self._reader.readline()
        head, answered = read_fields(self._reader)
        assert "Content-Length" in answered, f"{path}: {status!r} {head!r}"
        body = b"" if method == "HEAD" else self._reader.read(int(answered["Content-Length"]))
        return _Answer(status + head, answered, body)

    def close(self) -> None:
        """Ends it."""
        self._reader.close()
        self._socket.close()


def read_fields(reader: Any) -> tuple[bytes, dict[str, str]]:
    """The lines of a message's head after its first one, to the empty line, and the fields in them."""
    lines: list[bytes] = []
    fields: dict[str, str] = {}
    while True:
        line = reader.readline()
        lines.append(line)
        if line in (b"\r\n", b""):
            return b"".join(lines), fields
        name, _, text = line.decode("latin-1").partition(":")
        fields[name.title()] = text.strip()


class _ProxyHandler(Handler):
    """One connection of a build, and one to the real server."""

    raw_requestline: bytes
    _connection: _Connection | None = None

    def parse_request(self) -> bool:
        """Reads the head of a request."""
        self.requestline = self.raw_requestline.decode("latin-1").rstrip("\r\n")
        self.command, self.path, self.request_version = self.requestline.split(" ")
        self.headers: Any = read_fields(self.rfile)[1]
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        return True

    def do_GET(self) -> None:  # noqa: N802 - the base class calls it by this name
        """Hands the request on, or to the fault that is planned for it."""
        proxy = self.server.upstream
        assert isinstance(proxy, DisturbingProxy)
        path = urlsplit(self.path).path
        proxy.note(Seen(self.command, self.path, dict(self.headers)))
        if path == proxy.token_path:
            return proxy.give_token(self)
        refusal = proxy.refusal(path, self.headers.get("Authorization"))
        if refusal is not None:
            return self.answer(401, b"{}", {"WWW-Authenticate": refusal})
        fault = proxy.fault(self.command, path)
        if self._connection is None:
            self._connection = _Connection(proxy.target)
        if fault is None:
            wanted = {name: self.headers[name] for name in _HANDED_ON if name in self.headers}
            answer = self._connection.ask(self.command, self.path, wanted)
            self.wfile.write(answer.head + answer.body)
            return None
        answer = self._connection.ask("GET", self.path, {"Accept": self.headers.get("Accept", "*/*")})
        assert b" 200 " in answer.head[:20], f"{path}: a fault is planned for what the real server does not have"
        kept = {name: answer.fields[name] for name in ("Docker-Content-Digest",) if name in answer.fields}
        return fault(self, Reply(answer.body, answer.fields["Content-Type"], kept))

    def finish(self) -> None:
        """Closes both connections."""
        if self._connection is not None:
            self._connection.close()
        super().finish()


class DisturbingProxy(Upstream):
    """In front of ``target`` (``host:port``); ``met`` counts the faults that happened, by kind.

    ``unproven`` is the path of the file that no checksum is known for; ``substitutes`` are what was served and cannot
    be told from a newer release.
    """

    handler = _ProxyHandler

    def __init__(self, target: str, elsewhere: Upstream, unproven: str = "") -> None:
        super().__init__()
        self.target = target
        self.elsewhere = elsewhere
        self.unproven = unproven
        self.met: Counter[str] = Counter()
        self.met_paths: set[str] = set()
        self.substitutes: set[Digest] = set()
        self._planned: Sequence[Planned] = ()
        self._counted: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()

    def follow(self, planned: Sequence[Planned]) -> None:
        """From now on these faults happen; the count of requests begins anew."""
        with self._counting:
            self._planned = planned
            self.seen.clear()
            self.met.clear()
            self.met_paths.clear()
            self._counted.clear()

    def fault(self, method: str, path: str) -> Fault | None:
        """What happens to this request, which is counted."""
        with self._counting:
            number = self._counted[method, path]
            self._counted[method, path] += 1
            for planned in self._planned:
                if planned.meets(method, path, number):
                    self.met[planned.kind] += 1
                    self.met_paths.add(path)
                    return KINDS[planned.kind].make(planned.fraction, self)
        return None

    def instead(self, body: bytes) -> None:
        """Notes bytes that were served in place of upstream's."""
        self.substitutes.add(Digest.of(body))

    def expire(self, handler: Handler) -> None:
        """Ends the token of this request and asks for another."""
        given = handler.headers.get("Authorization")
        self.revoke(given)
        challenge = self.refusal(urlsplit(handler.path).path, given)
        handler.answer(401, b"{}", {"WWW-Authenticate": challenge or ""})
