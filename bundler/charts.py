"""Helm charts: whether an archive is the chart that is wanted, and charts made of objects that come without one; pure.

A chart is outside input: it is bounded, and nothing in it is believed but what is asked for here.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zlib
from dataclasses import dataclass
from typing import Any

from bundler.errors import IntegrityError
from bundler.versions import without_v
from bundler.yaml_document import parse_document
from installer.bundle.tarstream import entries

MOST_CHART_BYTES = 64 * 1024 * 1024
"""The largest chart, packed and unpacked; most are a few kilobytes."""
MOST_RENDERED_BYTES = 16 * 1024 * 1024
_MOST_ABOUT_BYTES = 1024 * 1024
_STORED_BYTES = 0xFFFF


@dataclass(frozen=True)
class ChartRelease:
    """What Helm is told: the release's ``name``, namespace and values, and the version of Kubernetes (``1.30.14``)."""

    name: str
    namespace: str
    values: dict[str, Any]
    kubernetes: str


def demand_chart(data: bytes, name: str, version: str, *, where: str) -> None:
    """Raises :class:`IntegrityError` unless ``data`` is the packed chart ``name`` of ``version``.

    The version may be written with or without a leading ``v``.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            plain = stream.read(MOST_CHART_BYTES + 1)
        if len(plain) > MOST_CHART_BYTES:
            raise _refused(where, f"at most {MOST_CHART_BYTES} bytes unpacked", "more than that")
        about = _about(io.BytesIO(plain), where)
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise _refused(where, "a tar archive in gzip, as helm package makes it", str(error)[:200]) from None
    got_name, got_version = about.get("name"), about.get("version")
    if got_name != name or not isinstance(got_version, str) or without_v(got_version) != without_v(version):
        raise IntegrityError(
            "the archive holds another chart",
            where=where,
            wanted=f"{name} {version}",
            got=f"{got_name} {got_version}"[:200],
            next_step="check the chart's URL and version in the catalogue, and the mirror (--mirror)",
        )


def pack_objects(name: str, version: str, text: str) -> bytes:
    """A chart ``name`` of ``version`` whose one template is ``text``: always the same bytes, on any machine.

    Nothing in it depends on a clock, a user or a compressor: what is in gzip is stored as it is, since the bundle
    compresses it anyhow.
    """
    about = f"apiVersion: v2\nname: {name}\nversion: {json.dumps(version)}\n"
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in (("Chart.yaml", about), ("templates/objects.yaml", text)):
            data = content.encode("utf-8")
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return _stored_gzip(plain.getvalue())


def _stored_gzip(data: bytes) -> bytes:
    """``data`` in gzip without compression and without a time (RFC 1951, 3.2.4, and RFC 1952)."""
    pieces = [data[start : start + _STORED_BYTES] for start in range(0, len(data), _STORED_BYTES)] or [b""]
    out = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff"]
    for number, piece in enumerate(pieces, start=1):
        out.append(struct.pack("<BHH", number == len(pieces), len(piece), len(piece) ^ 0xFFFF) + piece)
    return b"".join([*out, struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)])


def _about(archive: io.BytesIO, where: str) -> dict[str, Any]:
    """What ``Chart.yaml`` in the one top folder says; every member's name is looked at."""
    tops, seen, about = set(), set(), None
    for member, content in entries(archive.read):
        parts = member.name.split("/")
        if {"", ".", ".."} & set(parts) or "\\" in member.name or member.kind not in ("file", "folder"):
            raise _refused(where, "plain files below one folder", f"the member {member.name[:200]}")
        if member.name in seen:
            raise _refused(where, "each file once", f"twice {member.name[:200]}")
        seen.add(member.name)
        tops.add(parts[0])
        if parts[1:] == ["Chart.yaml"] and member.kind == "file":
            if member.size_bytes > _MOST_ABOUT_BYTES:
                raise _refused(where, f"a Chart.yaml of at most {_MOST_ABOUT_BYTES} bytes", f"{member.size_bytes}")
            about = parse_document(b"".join(content).decode("utf-8"), where=f"{where}, Chart.yaml")
    if len(tops) != 1 or not isinstance(about, dict):
        raise _refused(where, "one folder with a Chart.yaml", ", ".join(sorted(tops))[:200] or "nothing")
    return about


def _refused(where: str, wanted: str, got: str) -> IntegrityError:
    return IntegrityError(
        "not a Helm chart",
        where=where,
        wanted=wanted,
        got=got,
        next_step="check what the chart's URL in the catalogue serves, and the mirror (--mirror)",
    )
