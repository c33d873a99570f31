"""Debian's docker-registry on loopback, and a token server whose tokens it really checks."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import yaml

from installer.bundle.digest import Digest
from tests.fakes.registry_images import Document

SERVICE = "a-registry"
ISSUER = "a-token-server"
# user "reader", password "correct horse", bcrypt at its lowest cost
HTPASSWD = "reader:$2b$04$NMtyzqonXj4DEIrNwtnxGun43wg09zdDGO5oRDM1fwNy6JfRH0M.C\n"


@contextmanager
def docker_registry(folder: Path, auth: Mapping[str, Any] | None = None, **http: object) -> Iterator[str]:
    """Runs a registry that keeps its data in ``folder``; gives ``host:port``.

    ``auth`` and the further fields of ``http`` are as in its own config file.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host, **http},
        "validation": {"manifests": {"urls": {"allow": ["^https://"]}}},
    }
    if auth is not None:
        config["auth"] = dict(auth)
    path = folder / f"registry-{host.partition(':')[2]}.yaml"
    path.write_text(yaml.safe_dump(config))
    process = subprocess.Popen(["docker-registry", "serve", str(path)], stderr=subprocess.PIPE)
    try:
        _wait_for(host, process)
        yield host
    finally:
        process.terminate()
        process.wait(10)
        assert process.stderr is not None
        process.stderr.close()


def _wait_for(host: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(process.stderr.read().decode() if process.stderr else "docker-registry ended")
        try:
            # one that speaks TLS answers this, too: that it does
            requests.get(f"http://{host}/v2/", timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise RuntimeError("docker-registry does not answer")


def push(host: str, repository: str, tag: str, document: Document) -> None:
    """Uploads a document and everything it needs to a registry without auth."""
    base = f"http://{host}/v2/{repository}"
    for blob in document.every_blob():
        digest = Digest.of(blob)
        location = requests.post(f"{base}/blobs/uploads/", timeout=10).headers["Location"]
        _demand(requests.put(location, params={"digest": digest}, data=blob, timeout=10))
    for name, item in [*((str(item.digest), item) for item in _below(document)), (tag, document)]:
        headers = {"Content-Type": item.media_type}
        _demand(requests.put(f"{base}/manifests/{name}", data=item.body, headers=headers, timeout=10))


def _below(document: Document) -> Iterator[Document]:
    for item in document.documents:
        yield from _below(item)
        yield item


def _demand(response: requests.Response) -> None:
    assert response.status_code == 201, f"{response.url}: {response.status_code} {response.text}"


@dataclass
class TokenServer:
    """Signs tokens that the real registry verifies: scope, expiry and signature. ``asked`` has the scopes in order."""

    folder: Path
    account: str
    lifetime_seconds: int
    asked: list[str] = field(default_factory=list)
    refused: int = 0

    def make_key(self) -> None:
        """A key and a certificate for it, once."""
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tokens", "-days", "2"),
                *("-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "certificate.pem")),
            ],
            check=True,
            capture_output=True,
        )

    def auth(self, realm: str) -> dict[str, Any]:
        """What the registry's config says about tokens."""
        bundle = str(self.folder / "certificate.pem")
        return {"token": {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": bundle}}

    def token(self, scope: str) -> str:
        """A signed token for ``repository:<name>:pull``."""
        kind, name, actions = scope.split(":")
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._certificate()]}
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "reader",
            "jti": str(len(self.asked)),
            "iat": now - 5,
            "nbf": now - 5,
            # the registry allows a minute of clock difference
            "exp": now - 60 + self.lifetime_seconds,
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        payload = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        signed = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.folder / "key.pem")],
            input=payload.encode(),
            check=True,
            capture_output=True,
        )
        return f"{payload}.{_encoded(signed.stdout)}"

    def _certificate(self) -> str:
        lines = (self.folder / "certificate.pem").read_text().splitlines()
        return "".join(line for line in lines if not line.startswith("-----"))


@contextmanager
def token_server(folder: Path, user: str, password: str, lifetime_seconds: int) -> Iterator[tuple[TokenServer, str]]:
    """Runs a token server for one account; gives it and its URL."""
    account = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    tokens = TokenServer(folder, account, lifetime_seconds)
    tokens.make_key()

    class Handler(BaseHTTPRequestHandler):
        """Gives a token for exactly the scope asked for, to the one account."""

        def do_GET(self) -> None:
            """One token."""
            query = parse_qs(urlsplit(self.path).query)
            granted = self.headers.get("Authorization") == tokens.account and query.get("service") == [SERVICE]
            tokens.refused += not granted
            body = b"{}"
            if granted:
                tokens.asked.extend(query["scope"])
                body = json.dumps({"token": tokens.token(query["scope"][0])}).encode()
            self.send_response(200 if granted else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield tokens, f"http://127.0.0.1:{server.server_address[1]}/token"
    finally:
        server.shutdown()
        server.server_close()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
