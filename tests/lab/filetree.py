"""An HTTP server for a folder on loopback: GET and HEAD, single byte ranges, entity tags.

It behaves as the release hosts do for a client that resumes: 206 with ``Content-Range``, 416 beyond the end, and
``If-Range`` with a tag of other bytes gives the whole file.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK_BYTES = 1 << 18


@contextmanager
def serving_tree(root: Path) -> Iterator[str]:
    """The URL (ending in ``/``) under which the files below ``root`` are served while the block runs."""
    handler = type("Handler", (_TreeHandler,), {"root": root.resolve()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="file tree", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _TreeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        """Answers with the file or the part of it that was asked for."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answers as GET does, without the bytes."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the log of the builder under test is what counts."""

    def _answer(self, *, with_body: bool) -> None:
        path = (self.root / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        if not path.is_relative_to(self.root) or not path.is_file():
            self._head(HTTPStatus.NOT_FOUND, 0)
            return
        stat = path.stat()
        tag = f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range", tag) != tag:
            wanted = None
        part = requested_part(wanted, stat.st_size)
        if part is None:
            self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, f"bytes */{stat.st_size}", tag)
            return
        begin, end = part
        if (begin, end) == (0, stat.st_size):
            self._head(HTTPStatus.OK, stat.st_size, None, tag)
        else:
            self._head(HTTPStatus.PARTIAL_CONTENT, end - begin, f"bytes {begin}-{end - 1}/{stat.st_size}", tag)
        if with_body:
            self._send(path, begin, end)

    def _head(self, status: HTTPStatus, length: int, content_range: str | None = None, tag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if tag:
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("ETag", tag)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def _send(self, path: Path, begin: int, end: int) -> None:
        try:
            with path.open("rb") as file:
                file.seek(begin)
                left_bytes = end - begin
                while left_bytes and (data := file.read(min(_CHUNK_BYTES, left_bytes))):
                    self.wfile.write(data)
                    left_bytes -= len(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def requested_part(wanted: str | None, size_bytes: int) -> tuple[int, int] | None:
    """First byte and end of what a Range header asks for; all of it for a header we need not obey; None beyond."""
    found = _RANGE.fullmatch(wanted or "")
    if found is None or not (found[1] or found[2]):
        return 0, size_bytes
    if not found[1]:
        begin, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        begin, end = int(found[1]), min(size_bytes, int(found[2] or size_bytes) + 1)
    return (begin, end) if begin < end else None
