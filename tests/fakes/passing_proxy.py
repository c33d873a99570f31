"""A proxy before a registry that passes everything on, counts what is sent, and lets a test meddle with one request."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

_NOT_PASSED = {"connection", "transfer-encoding", "keep-alive"}


@dataclass(frozen=True)
class Passed:
    """A request: what was asked, and how many bytes it brought."""

    method: str
    path: str
    sent_bytes: int


@dataclass
class Reply:
    """What the registry answered, for a test to change; ``None`` as its status hangs up instead."""

    status: int | None
    headers: dict[str, str]
    body: bytes


@dataclass
class PassingProxy:
    """``host`` to talk to, what was ``passed`` on, and what happens ``before`` and ``after`` each request."""

    target: str
    host: str = ""
    passed: list[Passed] = field(default_factory=list)
    before: Callable[[str, str], bool] = lambda _method, _path: True
    after: Callable[[str, str, Reply], None] = lambda _method, _path, _reply: None
    lock: Lock = field(default_factory=Lock)

    def sent_bytes(self, *methods: str) -> int:
        """The bytes that requests of these methods brought."""
        return sum(request.sent_bytes for request in self.passed if request.method in methods)

    def count(self, method: str, part: str) -> int:
        """How many requests of a method had ``part`` in their path."""
        return sum(request.method == method and part in request.path for request in self.passed)


@contextmanager
def passing_proxy(target: str) -> Iterator[PassingProxy]:
    """Runs the proxy before ``target`` (``host:port``)."""
    proxy = PassingProxy(target)

    class Handler(BaseHTTPRequestHandler):
        """One connection; ``before`` returning false hangs up without passing the request on."""

        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            path = urlsplit(self.path).path
            with proxy.lock:
                proxy.passed.append(Passed(self.command, path, len(body)))
            if not proxy.before(self.command, path):
                self.close_connection = True
                return
            reply = _ask(proxy.target, self.command, self.path, dict(self.headers.items()), body)
            proxy.after(self.command, path, reply)
            if reply.status is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _pass  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    proxy.host = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def _ask(target: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
    connection = http.client.HTTPConnection(target, timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        data = response.read()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _NOT_PASSED}
        if method != "HEAD":
            kept = {name: value for name, value in kept.items() if name.lower() != "content-length"}
            kept["Content-Length"] = str(len(data))
        return Reply(response.status, kept, data)
    finally:
        connection.close()
