"""A real HAProxy takes the file we render, leads to every API that answers, and leaves one that dies. Trap 8."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from installer.endpoint import ClusterNode
from installer.render import haproxy as render
from installer.settings import API_PORT
from tests.fakes.upstream import make_certificate
from tests.lab.profiles import haproxy

ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
PLANES = tuple(ClusterNode(f"cp-{number}", address, "cp") for number, address in enumerate(ADDRESSES, 1))
PATIENCE_SECONDS = 60.0


class _Api(ThreadingHTTPServer):
    """An API server as far as an endpoint sees one: TLS, ``/readyz``, and its own name as the answer."""

    daemon_threads = True

    def __init__(self, address: str, certificate: Path, readyz: int) -> None:
        super().__init__((address, 0), _Handler)
        self.readyz = readyz
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error here."""


class _Handler(BaseHTTPRequestHandler):
    server: _Api

    def do_GET(self) -> None:
        code = self.server.readyz if self.path == "/readyz" else 200
        body = str(self.server.server_address[0]).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def api(address: str, certificate: Path, readyz: int = 200) -> Iterator[_Api]:
    server = _Api(address, certificate, readyz)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def configured(folder: Path, servers: dict[str, _Api]) -> tuple[Path, int]:
    """The rendered file with these servers' ports instead of 6443, and the port it listens on."""
    port = free_pair()
    text = render.config(PLANES, port)
    for address, server in servers.items():
        text = text.replace(f"{address}:{API_PORT}", f"{address}:{server.server_address[1]}")
    path = folder / "haproxy.cfg"
    path.write_text(text)
    return path, port


def free_pair() -> int:
    """A port that is free together with the one above it."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@contextmanager
def running(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (path.parent / "haproxy.log").open("ab") as log:
        process = subprocess.Popen([*haproxy.command(), "-db", "-f", str(path)], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def answer(port: int) -> str:
    """Who answers at the endpoint, empty when nobody does."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(b"GET /who HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(4096), b"")).rpartition(b"\r\n\r\n")[2].decode()
    except OSError:
        return ""


def wait_for(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_haproxy_takes_the_file_without_a_warning(tmp_path: Path) -> None:
    path, _ = configured(tmp_path, {})
    done = subprocess.run([*haproxy.command(), "-c", "-f", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_api_that_answers_is_used_and_one_that_dies_is_left(tmp_path: Path, certificate: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        servers = {ADDRESSES[0]: first.enter_context(api(ADDRESSES[0], certificate))}
        servers[ADDRESSES[1]] = stack.enter_context(api(ADDRESSES[1], certificate, readyz=401))
        servers[ADDRESSES[2]] = stack.enter_context(api(ADDRESSES[2], certificate, readyz=500))
        path, port = configured(tmp_path, servers)
        stack.enter_context(running(path))
        wait_for(lambda: answer(port) != "", "nobody answers at the endpoint")
        alive = set(ADDRESSES[:2])
        wait_for(lambda: {answer(port) for _ in range(12)} == alive, "not exactly the two that are well")
        first.close()
        wait_for(lambda: {answer(port) for _ in range(12)} == {ADDRESSES[1]}, "the one that died is still asked")
        with socket.create_connection(("127.0.0.1", port + 1), 5) as health:
            health.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b" 200 OK" in health.recv(64)


def test_a_second_haproxy_takes_the_port_over_from_the_first(tmp_path: Path, certificate: Path) -> None:
    """What the handover from containerd's container to the kubelet's pod rests on."""
    with api(ADDRESSES[0], certificate) as server, ExitStack() as stack:
        path, port = configured(tmp_path, {ADDRESSES[0]: server})
        first = stack.enter_context(running(path))
        wait_for(lambda: answer(port) == ADDRESSES[0], "the first does not answer")
        second = stack.enter_context(running(path))
        time.sleep(1)
        assert second.poll() is None, (tmp_path / "haproxy.log").read_text()
        first.kill()
        first.wait()
        wait_for(lambda: answer(port) == ADDRESSES[0], "the second does not answer")
