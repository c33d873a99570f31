"""A private certificate authority, and a certificate of it for 127.0.0.1."""

from __future__ import annotations

import subprocess
from pathlib import Path


def authority(folder: Path) -> tuple[Path, Path, Path]:
    """The authority's certificate, and a server's certificate with its key, made in ``folder``."""
    ca, certificate, key = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    subprocess.run(
        [*new, "-subj", "/CN=site authority", "-keyout", str(folder / "ca.key"), "-out", str(ca)],
        check=True,
        capture_output=True,
    )
    signed = ("-CA", str(ca), "-CAkey", str(folder / "ca.key"), "-addext", "subjectAltName=IP:127.0.0.1")
    plain_leaf = ("-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(certificate))
    subprocess.run([*new, "-subj", "/CN=registry", *signed, *plain_leaf], check=True, capture_output=True)
    return ca, certificate, key
