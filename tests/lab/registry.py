"""A real OCI registry on loopback: Debian's docker-registry, with a configuration and a store of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.images import ImageParts

_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")
_START_SECONDS = 20
_STOP_SECONDS = 10


@contextmanager
def running_registry(store: Path, *, read_only: bool) -> Iterator[str]:
    """The ``host:port`` of a registry that keeps its data in ``store``, while the block runs."""
    program = shutil.which("docker-registry")
    if program is None:
        raise LabError("docker-registry is missing", next_step="make setup")
    with tempfile.TemporaryDirectory(prefix="lab-registry-") as folder:
        config, log = Path(folder) / "config.yml", Path(folder) / "log"
        config.write_text(json.dumps(_config(store, read_only)), encoding="utf-8")
        with log.open("w") as output:
            process = subprocess.Popen(
                [program, "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
                start_new_session=True,
            )
        try:
            yield _address(process, log)
        finally:
            _stop(process)


def _config(store: Path, read_only: bool) -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(store)},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}, "readonly": {"enabled": read_only}},
        },
        "http": {"addr": "127.0.0.1:0"},
    }


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace")
        if found := _LISTENING.search(text):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise LabError("docker-registry did not start", got=text[-2000:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def push(address: str, repository: str, tag: str, parts: ImageParts) -> None:
    """Uploads ``parts`` and gives them their tag."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        for digest, data in parts.blobs.items():
            _push_blob(connection, repository, digest, data)
        for digest, (media_type, data) in parts.manifests.items():
            for name in (digest, tag) if digest == parts.top else (digest,):
                path = f"/v2/{repository}/manifests/{name}"
                _request(connection, "PUT", path, data, {"Content-Type": media_type}, wanted=201)
    finally:
        connection.close()


def _push_blob(connection: http.client.HTTPConnection, repository: str, digest: str, data: bytes) -> None:
    path = f"/v2/{repository}/blobs/uploads/"
    location = _request(connection, "POST", path, b"", {"Content-Length": "0"}, wanted=202)
    where = re.sub(r"^https?://[^/]+", "", location)
    separator = "&" if "?" in where else "?"
    headers = {"Content-Type": "application/octet-stream"}
    _request(connection, "PUT", f"{where}{separator}digest={digest}", data, headers, wanted=201)


def _request(
    connection: http.client.HTTPConnection, verb: str, path: str, body: bytes, headers: dict[str, str], *, wanted: int
) -> str:
    connection.request(verb, path, body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != wanted:
        raise LabError(
            "the registry refused a push",
            where=f"{verb} {path}",
            wanted=str(wanted),
            got=f"{answer.status} {text[:300]!r}",
        )
    return answer.headers.get("Location", "")
