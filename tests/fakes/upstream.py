"""A strict upstream on loopback: files, an OCI registry and a token server, with faults on demand.

Strict means that it does what a real server may do and no client should lean on more: a manifest is only served to
a client that accepts its type, a range only where it lies inside the file, a blob only below its repository, and
credentials that nobody asked for are recorded in :attr:`Upstream.violations`, which a test must find empty.

A fault (see :mod:`tests.fakes.faults`) is planned for one path and meets its next requests; then the path works.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import struct
import subprocess
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from installer.bundle.digest import Digest
from tests.fakes.registry_images import Document


@dataclass(frozen=True)
class Reply:
    """What a path gives when nothing is wrong."""

    body: bytes
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    serves_ranges: bool = True


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]


Fault = Callable[["Handler", Reply], None]


class Handler(BaseHTTPRequestHandler):
    """One connection; the upstream itself is ``self.server.upstream``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    @property
    def server_closing(self) -> threading.Event:
        """Set when the test is over, so that no stall outlives it."""
        return self.server.upstream.closing

    def do_GET(self) -> None:
        """Notes the request, then lets a planned fault or the real answer have it."""
        upstream = self.server.upstream
        path = urlsplit(self.path).path
        upstream.note(Seen(self.command, self.path, dict(self.headers.items())))
        if path == upstream.token_path:
            return upstream.give_token(self)
        refusal = upstream.refusal(path, self.headers.get("Authorization"))
        if refusal is not None:
            return self.answer(401, b"{}", {"WWW-Authenticate": refusal})
        reply = upstream.replies.get(path)
        planned = upstream.faults[path]
        if planned:
            return planned.popleft()(self, reply or Reply(b""))
        if reply is None or not self._accepted(path, reply):
            return self.answer(404, b'{"errors": []}', {"Content-Type": "application/json"})
        return self.serve(reply)

    def do_HEAD(self) -> None:
        """As GET; nothing below writes a body for HEAD."""
        self.do_GET()

    def _accepted(self, path: str, reply: Reply) -> bool:
        return "/manifests/" not in path or reply.content_type in self.headers.get("Accept", "")

    def _first_byte(self, reply: Reply) -> int | None:
        text = self.headers.get("Range", "")
        if not reply.serves_ranges or not text.startswith("bytes="):
            return None
        return int(text.removeprefix("bytes=").partition("-")[0])

    def wanted(self, reply: Reply) -> bytes:
        """The part of the body that was asked for."""
        return reply.body[self._first_byte(reply) or 0 :]

    def start(self, reply: Reply, announced: int | None = None) -> None:
        """Status line and headers for the asked part, with another length if ``announced`` is given."""
        first = self._first_byte(reply)
        body = self.wanted(reply)
        self.send_response(200 if first is None else 206)
        if first is not None:
            total = len(reply.body)
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def serve(self, reply: Reply) -> None:
        """The whole answer, or the part asked for."""
        first = self._first_byte(reply)
        if first is not None and first >= len(reply.body):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(reply.body)}"})
        self.start(reply)
        if self.command != "HEAD":
            self.wfile.write(self.wanted(reply))
        return None

    def answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        """A small answer."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def break_off(self) -> None:
        """Ends the connection with a reset instead of an orderly close."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        # The handler's own files keep the socket open; shutting it down is what would send an orderly end first.
        self.wfile.close()
        self.rfile.close()
        self.connection.close()

    def finish(self) -> None:
        """Closes the connection, unless a fault did already."""
        if not self.wfile.closed:
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Tests read :attr:`Upstream.seen` instead."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    upstream: Upstream

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle of a fault is part of the plan."""

    def shutdown_request(self, request: object) -> None:
        """As the base class, for a socket that a fault may have closed."""
        if isinstance(request, socket.socket) and request.fileno() != -1:
            super().shutdown_request(request)


class Upstream:
    """The server; use it as a context. ``replies`` by path, ``faults`` planned by path, ``seen`` requests in order.

    With ``certificate`` (a PEM file that holds the key as well) it speaks HTTPS. Another ``address`` of loopback makes
    it another host.
    """

    token_path = "/token"
    handler: type[Handler] = Handler

    def __init__(self, certificate: Path | None = None, address: str = "127.0.0.1") -> None:
        self._scheme = "https" if certificate else "http"
        self.replies: dict[str, Reply] = {}
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.seen: list[Seen] = []
        self.violations: list[str] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._wanted: dict[str, str] = {}
        self._tokens: dict[str, tuple[str, int]] = {}
        self._uses_per_token = 0
        self._account: str | None = None
        self._issued = 0
        self._server = _Server((address, 0), self.handler)
        self._server.upstream = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def host(self) -> str:
        """``127.0.0.1:<port>``, or the other address."""
        return "{}:{}".format(*self._server.server_address)

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"{self._scheme}://{self.host}"

    def add(self, path: str, body: bytes, content_type: str = "application/octet-stream", **headers: str) -> str:
        """Serves ``body`` at ``path``; gives the URL."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies[path] = Reply(body, content_type, named)
        return f"{self.url}{path}"

    def add_blob(self, repository: str, body: bytes) -> Digest:
        """Puts a blob in a repository."""
        digest = Digest.of(body)
        self.add(f"/v2/{repository}/blobs/{digest}", body)
        return digest

    def add_manifest(self, repository: str, body: bytes, media_type: str, tag: str | None = None) -> Digest:
        """Puts a manifest in a repository, under its digest and a tag."""
        digest = Digest.of(body)
        for name in (str(digest), tag):
            if name:
                self.add(f"/v2/{repository}/manifests/{name}", body, media_type, Docker_Content_Digest=str(digest))
        return digest

    def add_image(self, repository: str, tag: str, document: Document) -> None:
        """Puts an image with everything it needs in a repository."""
        for blob in document.blobs:
            self.add_blob(repository, blob)
        for below in document.documents:
            self.add_image(repository, below.digest, below)
        self.add_manifest(repository, document.body, document.media_type, tag)

    def plan(self, path: str, *faults: Fault) -> None:
        """The next requests for ``path`` meet these faults, one each."""
        self.faults[path].extend(faults)

    def want_token(self, *, uses: int = 1000, user: str | None = None, password: str = "") -> None:
        """From now on the registry wants bearer tokens for one repository each, good for so many requests."""
        self._wanted = {"scheme": "bearer"}
        self._uses_per_token = uses
        self._account = _basic(user, password) if user else None

    def want_basic(self, user: str, password: str) -> None:
        """From now on the registry wants basic auth."""
        self._wanted = {"scheme": "basic"}
        self._account = _basic(user, password)

    def requests(self, path: str) -> list[Seen]:
        """The requests for one path."""
        return [seen for seen in self.seen if urlsplit(seen.path).path == path]

    def note(self, seen: Seen) -> None:
        """Records a request, and what is wrong with it."""
        with self._lock:
            self.seen.append(seen)
            path = urlsplit(seen.path).path
            if "Authorization" in seen.headers and (not self._wanted or not path.startswith(("/v2/", self.token_path))):
                self.violations.append(f"{seen.method} {path}: credentials that nobody asked for")

    def refusal(self, path: str, authorization: str | None) -> str | None:
        """The challenge for a request that may not pass, ``None`` for one that may."""
        if not self._wanted or not path.startswith("/v2/"):
            return None
        if self._wanted["scheme"] == "basic":
            return None if authorization == self._account else 'Basic realm="a registry"'
        repository = path.removeprefix("/v2/").rpartition("/manifests/")[0] or path[4:].rpartition("/blobs/")[0]
        scope = f"repository:{repository}:pull"
        with self._lock:
            granted, left = self._tokens.get((authorization or "").removeprefix("Bearer "), ("", 0))
            if granted == scope and left > 0:
                self._tokens[(authorization or "").removeprefix("Bearer ")] = (granted, left - 1)
                return None
        return f'Bearer realm="{self.url}{self.token_path}",service="{self.host}",scope="{scope}"'

    def revoke(self, authorization: str | None) -> None:
        """Ends the token in this header before its time."""
        with self._lock:
            self._tokens.pop((authorization or "").removeprefix("Bearer "), None)

    def give_token(self, handler: Handler) -> None:
        """The token server: one token per request, for exactly the scope that was asked for."""
        if self._account is not None and handler.headers.get("Authorization") != self._account:
            return handler.answer(401, b"{}", {})
        query = parse_qs(urlsplit(handler.path).query)
        if query.get("service") != [self.host] or len(query.get("scope", [])) != 1:
            return handler.answer(400, b"{}", {})
        with self._lock:
            self._issued += 1
            token = f"token-{self._issued}"
            self._tokens[token] = (query["scope"][0], self._uses_per_token)
        body = json.dumps({"access_token": token, "expires_in": 60}).encode()
        return handler.answer(200, body, {"Content-Type": "application/json"})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        assert error is not None or not self.violations, self.violations


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one PEM file."""
    path = folder / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=upstream", "-days", "2"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key.pem"), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (folder / "key.pem").read_text())
    return path


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
