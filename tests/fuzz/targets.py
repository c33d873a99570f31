"""One small target for each parser: any bytes give either a value or an :class:`OperatorError`, in bounded time.

A target returns when the parser answered as it may; anything else it raises is a finding.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import PurePosixPath

from bundler.charts import demand_chart
from bundler.imagelist import parse_image_list
from bundler.lockfile import Lock
from bundler.sources.manifests import config_platform, parse_manifest
from bundler.yaml_document import open_document, parse_document
from installer.bundle import dense, patch, seekable
from installer.bundle.delta import Delta
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.errors import InputError, OperatorError, printable
from installer.bundle.index import BundledFile, BundleIndex
from installer.bundle.inventory import Inventory
from installer.bundle.layout import Layout
from installer.bundle.mediatypes import DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST
from installer.bundle.parts import HEADER_BYTES, parse_header, parse_table
from installer.bundle.parts import HEADER_START as PART_START
from installer.bundle.place import files_in
from installer.bundle.placement import ROOTS, Placement
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from installer.bundle.rendered import images_in
from installer.bundle.signer import read_signers, signers_text
from installer.bundle.source import Source
from installer.bundle.sshsig import SshSignature
from installer.bundle.sums import parse_sums, sums_text
from installer.config import ClusterConfig
from installer.join import JoinFile

Target = Callable[[bytes], None]
_UNPACKED_BYTES = 64 * 1024
_WHERE = "fuzz"
_NOTHING = Digest.of(b"")
_ARCHIVE = BundledFile(
    "component",
    "1",
    Platform("linux/amd64"),
    _NOTHING,
    ("cp",),
    Placement(0o755, None, "tar+gzip", {"bin/": "/usr/local/bin/", "/": "/opt/cni/bin/"}),
    Source("https://example.invalid/a.tar.gz", "upstream"),
)
_MOST_FRAMES = 100_000
_OLD = bytes(range(256)) * 16
_FILE = os.memfd_create("fuzz") if hasattr(os, "memfd_create") else -1


def seek_table(data: bytes) -> None:
    """A whole file of frames and their table; what the table leads to is decompressed."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    with os.fdopen(os.dup(_FILE), "rb") as stream:
        frames = seekable.parse_table(stream, len(data), _WHERE)
        assert frames[-1].offset_bytes + frames[-1].compressed_bytes <= len(data)
        for frame in frames[:8]:
            held = data[frame.offset_bytes : frame.offset_bytes + frame.compressed_bytes]
            if frame.length_bytes <= _UNPACKED_BYTES:
                with contextlib.suppress(OperatorError):
                    assert len(seekable.decompress(held, frame.length_bytes)) == frame.length_bytes


def long_frame(data: bytes) -> None:
    """One long frame, read through; the first two bytes say how long it claims to be."""
    length_bytes = 1 + int.from_bytes(data[:2], "little")
    held = data[2:]
    frame = seekable.Frame(0, len(held), 0, length_bytes)
    reader = seekable.LongFrame(frame, lambda offset_bytes, size_bytes: held[offset_bytes : offset_bytes + size_bytes])
    assert len(reader.read(length_bytes)) == length_bytes


def archive(data: bytes) -> None:
    """The members of a release archive; an odd first byte is followed by the gzip itself, an even one by the tar."""
    packed = data[1:] if data[:1] and data[0] & 1 else gzip.compress(data[1:], compresslevel=0, mtime=0)
    blob = Descriptor(_NOTHING, len(packed), "application/gzip", _UNPACKED_BYTES)
    total_bytes = 0
    for file in files_in(iter([packed]), _ARCHIVE, blob, _WHERE):
        path = PurePosixPath(file.target)
        assert str(path.parent) in ROOTS and printable(path.name) == path.name
        assert path.name not in ("", ".", "..")
        assert file.mode == 0o755
        content_bytes = sum(len(part) for part in file.chunks)
        assert content_bytes == file.size_bytes
        total_bytes += content_bytes
    assert total_bytes <= _UNPACKED_BYTES


def bundle_index(data: bytes) -> None:
    """``bundle.json``, its one encoding, and the layout that follows from it."""
    index = BundleIndex.from_bytes(data, where=_WHERE)
    again = BundleIndex.from_bytes(index.to_bytes(), where=_WHERE)
    assert again == index
    layout = Layout.of(index)
    assert layout.frames > 0 and layout.size_bytes > 0
    for item in index.files:
        for target in (item.placement.target, *item.placement.members.values()):
            assert target is None or any(PurePosixPath(root) in PurePosixPath(target + "/x").parents for root in ROOTS)


def lock(data: bytes) -> None:
    """A lock, and its one encoding."""
    found = Lock.from_bytes(data, where=_WHERE)
    assert Lock.from_bytes(found.to_bytes(), where=_WHERE) == found


def manifest(data: bytes) -> None:
    """An answer of a registry, by each content type; and the same bytes as an image's config."""
    for content_type in (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, ""):
        with contextlib.suppress(OperatorError):
            parse_manifest(data, content_type, where=_WHERE)
    with contextlib.suppress(OperatorError):
        config_platform(data, where=_WHERE)
    with contextlib.suppress(OperatorError):
        dense.diff_ids(data, _WHERE)
    dense.packed_manifest(data, data, {}, _WHERE)


def part_header(data: bytes) -> None:
    """A part's header as it is, and with the bytes as what its checksum speaks for; and the table behind parity."""
    text = data.partition(b"\n")[0] + b"\n"
    signed = PART_START + text + hashlib.sha256(text).hexdigest().encode() + b"\n"
    for header in (data, signed.ljust(HEADER_BYTES, b"\0")):
        with contextlib.suppress(OperatorError):
            cut, number = parse_header(header, _WHERE)
            assert cut.header(number) == header
            assert cut.file_bytes(number) > 0 and cut.disc_of(number) <= cut.discs
            assert sum(cut.length_bytes(other) for other in range(1, cut.data + 1)) == cut.tarball_bytes
    with contextlib.suppress(OperatorError):
        assert len(parse_table(data, len(data) // 4 - 10, _WHERE)) == len(data) // 4 - 10


def reference(data: bytes) -> None:
    """An image reference, which reads back as itself."""
    found = Reference.parse(_text(data))
    assert Reference.parse(str(found)) == found


def sums(data: bytes) -> None:
    """``SHA256SUMS``: what is taken is exactly what would be written."""
    text = _text(data)
    assert sums_text(parse_sums(text, _WHERE)) == text


def cluster(data: bytes) -> None:
    """``cluster.yaml``."""
    ClusterConfig.from_text(_text(data), where=_WHERE)


def join(data: bytes) -> None:
    """``join.yaml``, which reads back as it is written."""
    found = JoinFile.from_text(_text(data), where=_WHERE)
    assert JoinFile.from_text(found.to_text(), where=_WHERE).token == found.token


def rendered(data: bytes) -> None:
    """The objects of a rendered chart, searched for images."""
    images_in(_text(data), where=_WHERE)


def chart(data: bytes) -> None:
    """A packed chart, in gzip or (even first byte) put into it here."""
    packed = data[1:] if data[:1] and data[0] & 1 else gzip.compress(data[1:], compresslevel=0, mtime=0)
    demand_chart(packed, "name", "1.0.0", where=_WHERE)


def document(data: bytes) -> None:
    """A catalogue's document or a mirror profile: one YAML document of the builder's own reader."""
    fields = open_document(parse_document(_text(data), where=_WHERE), 1, where=_WHERE)
    fields.finish()
    fields.problems.check("it cannot be used", InputError, where=_WHERE)


def image_list(data: bytes) -> None:
    """An image list of a catalogue."""
    assert all(Reference.parse(str(found)) == found for found in parse_image_list(_text(data), where=_WHERE))


def delta(data: bytes) -> None:
    """The document of a delta: what is taken is exactly what would be written, and gives a layout."""
    found = Delta.from_bytes(data, where=_WHERE)
    assert found.to_bytes() == data
    if found.layout().frames < _MOST_FRAMES:
        assert sum(found.layout().frame_sizes()) == found.layout().size_bytes


def inventory(data: bytes) -> None:
    """A site's inventory, which reads back as it is written."""
    found = Inventory.from_bytes(data, where=_WHERE)
    assert Inventory.from_bytes(found.to_bytes(), where=_WHERE) == found


def patches(data: bytes) -> None:
    """A patch; the first two bytes say how long what it makes claims to be."""
    length_bytes = int.from_bytes(data[:2], "little")
    assert len(patch.apply(_OLD, data[2:], length_bytes)) == length_bytes


def signature(data: bytes) -> None:
    """A signature file; an odd first byte is followed by the file, an even one by what is in its armour."""
    if not data[:1] or data[0] & 1:
        found = SshSignature.from_bytes(data[1:], where=_WHERE)
    else:
        text = base64.b64encode(data[1:]).decode("ascii")
        lines = "".join(f"{text[at : at + 70]}\n" for at in range(0, len(text), 70))
        armoured = f"-----BEGIN SSH SIGNATURE-----\n{lines}-----END SSH SIGNATURE-----\n".encode()
        found = SshSignature.from_bytes(armoured, where=_WHERE)
        assert found.to_bytes() == armoured
    assert not found.is_of(data), "a signature of itself"


def signers(data: bytes) -> None:
    """A list of allowed signers, or a public key's file."""
    found = read_signers(_text(data), _WHERE)
    assert read_signers(signers_text(found), _WHERE) == found


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


TARGETS: dict[str, Target] = {
    "archive": archive,
    "bundle-index": bundle_index,
    "chart": chart,
    "cluster": cluster,
    "document": document,
    "image-list": image_list,
    "delta": delta,
    "inventory": inventory,
    "join": join,
    "lock": lock,
    "long-frame": long_frame,
    "manifest": manifest,
    "patch": patches,
    "part-header": part_header,
    "reference": reference,
    "rendered": rendered,
    "seek-table": seek_table,
    "signature": signature,
    "signers": signers,
    "sums": sums,
}


def answer(target: Target, data: bytes) -> None:
    """Runs ``target`` on ``data``; an :class:`OperatorError` is an answer, and must be printable as one."""
    try:
        target(data)
    except OperatorError as error:
        assert all(line == printable(line) for line in error.lines())
