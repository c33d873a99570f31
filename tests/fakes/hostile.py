"""Hostile material: tars with members that no honest tool writes, and the ways an outsider gets bytes to a parser."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

from bundler.charts import demand_chart
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.index import BundledFile, BundleIndex
from installer.bundle.place import files_in
from installer.bundle.placement import ROOTS, Placement
from installer.bundle.platform import Platform
from installer.bundle.source import Source
from tests.fakes.node import FakeNode
from tests.fakes.small_bundle import small_bundle

UNPACKED_BYTES = 1_000_000
ESCAPE = "\x1b]0;owned\x07"
_NOTHING = Digest.of(b"")


def member(name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, size_bytes: int | None = None) -> bytes:
    """One member as it stands in a tar; ``size_bytes`` is what its header says."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = kind, 0o6755, "/etc/shadow" if kind in b"12" else ""
    entry.size = len(data) if size_bytes is None else size_bytes
    return entry.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def pax(**records: str) -> bytes:
    """The attributes of the member that follows; ``__`` in a name stands for a dot."""
    data = b""
    for key, value in records.items():
        rest = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        data += str(length).encode() + rest
    return member("pax", data, kind=tarfile.XHDTYPE)


def from_archive(*members: bytes, packed: bytes | None = None, unpacked_bytes: int = UNPACKED_BYTES) -> FakeNode:
    """Places an archive of these members as a node does; what is written outside the allowed folders is a failure."""
    packed = gzip.compress(b"".join([*members, bytes(1024)]), mtime=0) if packed is None else packed
    placement = Placement(0o755, None, "tar+gzip", {"bin/": "/usr/local/bin/"})
    source = Source("https://example.invalid/a.tar.gz", "upstream")
    item = BundledFile("component", "1.0.0", Platform("linux/amd64"), _NOTHING, ("cp",), placement, source)
    blob = Descriptor(_NOTHING, len(packed), "application/gzip", unpacked_bytes)
    node = FakeNode()
    try:
        for file in files_in(iter([packed]), item, blob, "component 1.0.0"):
            node.place(file.target, file.chunks, mode=file.mode, digest=file.digest)
    finally:
        assert all(path.startswith(tuple(f"{root}/" for root in ROOTS)) for path in node.files())
        assert all(entry.stat.mode == 0o755 for entry in node.entries().values() if entry.stat.kind == "file")
    return node


def from_index(change: Callable[[dict[str, Any]], object]) -> BundleIndex:
    """``bundle.json`` of the small bundle, changed."""
    document = small_bundle().index.to_dict()
    change(document)
    return BundleIndex.from_bytes(json.dumps(document).encode(), where="bundle.json")


def from_chart(*members: bytes, about: bytes = b"name: cilium\nversion: 1.16.5\n") -> None:
    """A packed chart of these members and a ``Chart.yaml``."""
    plain = b"".join([member("cilium/Chart.yaml", about), *members, bytes(1024)])
    demand_chart(gzip.compress(plain, mtime=0), "cilium", "1.16.5", where="chart")


def gzip_bomb(size_bytes: int) -> bytes:
    """So many zeros, packed a thousand times smaller."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as stream:
        for _ in range(size_bytes // 1_000_000):
            stream.write(bytes(1_000_000))
    return out.getvalue()
