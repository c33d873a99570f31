"""Proxies on loopback that count what passes: bytes from the server, and the requests for blobs."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_CHUNK_BYTES = 1 << 18
_BLOB = re.compile(rb"^GET /v2/\S+/blobs/", re.MULTILINE)


class Counter:
    """What passed through every proxy that counts here since :meth:`reset`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.received_bytes = 0
        self.blob_requests = 0

    def reset(self) -> None:
        """Begins anew."""
        with self._lock:
            self.received_bytes = self.blob_requests = 0

    def asked(self, data: bytes) -> None:
        """Counts what a client sent."""
        with self._lock:
            self.blob_requests += len(_BLOB.findall(data))

    def answered(self, data: bytes) -> None:
        """Counts what a server sent."""
        with self._lock:
            self.received_bytes += len(data)


@contextmanager
def counting(place: str, counter: Counter) -> Iterator[str]:
    """The ``host:port`` of a proxy before ``place`` while the block runs."""
    host, _, port = place.partition(":")
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=_accept, args=(server, (host, int(port)), counter), daemon=True)
        accepting.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # or accept would wait on
            accepting.join()


def _accept(server: socket.socket, place: tuple[str, int], counter: Counter) -> None:
    while True:
        try:
            client, _ = server.accept()
            behind = socket.create_connection(place)
        except OSError:
            return
        for source, target, count in ((client, behind, counter.asked), (behind, client, counter.answered)):
            threading.Thread(target=_pass_on, args=(source, target, count), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, count: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            count(data)
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
