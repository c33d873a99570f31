"""The tarball as a function of the index: which members it has, their exact headers, and where each one is.

Members in order: ``bundle.json``, ``oci-layout``, ``index.json``, then ``blobs/sha256/<hex>`` in the order of
``index.blobs``. Each is a 512-byte ustar header, the content, and zeros up to the next multiple of 512; two zero
blocks end the stream. Nothing in a header comes from a file system, so every byte that is not content is computed.

A member is compressed in small frames of its own. In a dense bundle what can shrink, plain files and layers, is
compressed in long frames instead, of all members together that nodes of the same platforms and roles need.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.index import BundleIndex
from installer.bundle.mediatypes import OCI_INDEX, OCI_LAYER, OCTET_STREAM

BLOCK_BYTES = 512
FRAME_BYTES = 4 * 1024 * 1024
"""A member is compressed in independent pieces of this many bytes (header and padding included)."""
LONG_FRAME_BYTES = 1024 * 1024 * 1024
"""The same for members that are compressed together; docs/adr/0023 has the curve."""
END = bytes(2 * BLOCK_BYTES)
INDEX_NAME = "bundle.json"
_LARGEST_OCTAL = 8**11 - 1
_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'


@dataclass(frozen=True)
class Member:
    """One member: where its header begins in the uncompressed stream, and the digest its content must have."""

    name: str
    digest: Digest
    size_bytes: int
    offset_bytes: int
    mtime_seconds: int

    @property
    def header(self) -> bytes:
        """The exact 512 bytes before the content."""
        return tar_header(self.name, self.size_bytes, self.mtime_seconds)

    @property
    def content_offset_bytes(self) -> int:
        """Where the content begins in the uncompressed stream."""
        return self.offset_bytes + BLOCK_BYTES

    @property
    def padding(self) -> bytes:
        """The zeros after the content."""
        return padding(self.size_bytes)

    @property
    def stored_bytes(self) -> int:
        """Header, content and padding together."""
        return BLOCK_BYTES + self.size_bytes + len(self.padding)


@dataclass(frozen=True)
class Section:
    """Members that are compressed together: one alone in small frames, or all of a group in long ones."""

    members: tuple[Member, ...]
    is_long: bool = False

    @property
    def stored_bytes(self) -> int:
        """Headers, contents and paddings together."""
        return sum(member.stored_bytes for member in self.members)

    @property
    def frames(self) -> int:
        """The number of frames."""
        return -(-self.stored_bytes // self.frame_bytes)

    @property
    def frame_bytes(self) -> int:
        """The uncompressed size of each frame but the last."""
        return LONG_FRAME_BYTES if self.is_long else FRAME_BYTES

    def frame_sizes(self) -> Iterator[int]:
        """The uncompressed size of each frame."""
        return piece_sizes(self.stored_bytes, self.frame_bytes)


@dataclass(frozen=True)
class Layout:
    """All members of one tarball, in sections. ``documents`` are the contents that the index itself decides."""

    sections: tuple[Section, ...]
    documents: Mapping[str, bytes]

    @classmethod
    def of(cls, index: BundleIndex) -> Layout:
        """The layout that ``index`` stands for."""
        documents = {
            INDEX_NAME: index.to_bytes(),
            "oci-layout": _OCI_LAYOUT,
            "index.json": index_json_for(_named(index)),
        }
        contents = [(name, Digest.of(data), len(data)) for name, data in documents.items()]
        contents += [(blob_name(blob.digest), blob.digest, blob.size_bytes) for blob in index.blobs]
        members: list[Member] = []
        offset_bytes = 0
        for name, digest, size_bytes in contents:
            members.append(Member(name, digest, size_bytes, offset_bytes, index.created_seconds))
            offset_bytes += members[-1].stored_bytes
        together = groups(index)
        sections: list[Section] = []
        for group, found in groupby(members, key=lambda member: together.get(member.digest)):
            run = tuple(found)
            sections += [Section((member,)) for member in run] if group is None else [Section(run, is_long=True)]
        return cls(tuple(sections), documents)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every member, in order."""
        return tuple(member for section in self.sections for member in section.members)

    def section_of(self, member: Member) -> Section:
        """The section that a member is compressed in."""
        number = bisect_right(self.sections, member.offset_bytes, key=lambda section: section.members[0].offset_bytes)
        return self.sections[number - 1]

    @property
    def size_bytes(self) -> int:
        """The uncompressed stream's length."""
        return self.members[-1].offset_bytes + self.members[-1].stored_bytes + len(END)

    @property
    def frames(self) -> int:
        """The number of frames, by arithmetic: the sizes may be an outsider's word, and huge."""
        return sum(section.frames for section in self.sections) + 1

    def frame_sizes(self) -> Iterator[int]:
        """The uncompressed size of each frame: sections cut into pieces, then the two zero blocks."""
        for section in self.sections:
            yield from section.frame_sizes()
        yield len(END)


def groups(index: BundleIndex) -> dict[Digest, str]:
    """Which blobs of a dense bundle are compressed together: those with the same word for who needs them."""
    if not index.layers:
        return {}
    needed: dict[Digest, set[str]] = defaultdict(set)
    for item in index.files:
        needed[item.blob] |= {f"{item.platform} {role}" for role in item.roles}
    for image in index.images:
        for platform, its in image.platforms.items():
            for digest in its.layers:
                needed[index.dense_layers[digest].diff_id] |= {f"{platform} {role}" for role in image.roles}
    can_shrink = {OCTET_STREAM, OCI_LAYER}
    return {
        blob.digest: ", ".join(sorted(needed[blob.digest])) for blob in index.blobs if blob.media_type in can_shrink
    }


def blob_name(digest: Digest) -> str:
    """Where a blob is in an OCI image layout."""
    return f"blobs/sha256/{digest.hex}"


def padding(size_bytes: int) -> bytes:
    """The zeros that fill content of this size up to a whole number of blocks."""
    return bytes(-size_bytes % BLOCK_BYTES)


def piece_sizes(total_bytes: int, piece_bytes: int = FRAME_BYTES) -> Iterator[int]:
    """``total_bytes`` cut into pieces, frames for one."""
    for offset_bytes in range(0, total_bytes, piece_bytes):
        yield min(piece_bytes, total_bytes - offset_bytes)


def tar_header(name: str, size_bytes: int, mtime_seconds: int) -> bytes:
    """A regular file's ustar header: mode 0644, owner 0, no names; sizes from 8 GiB in GNU tar's base-256 form."""
    encoded = name.encode("ascii")
    if len(encoded) > 100 or mtime_seconds > _LARGEST_OCTAL:
        raise FormatError("does not fit a tar header", where=name, got=f"mtime {mtime_seconds}")
    size = b"%011o\0" % size_bytes if size_bytes <= _LARGEST_OCTAL else b"\x80" + size_bytes.to_bytes(11, "big")
    owner = b"0000000\0"
    before = encoded.ljust(100, b"\0") + b"0000644\0" + owner + owner + size + b"%011o\0" % mtime_seconds
    after = b"0" + bytes(100) + b"ustar\00000" + bytes(64) + owner + owner + bytes(167)
    checksum = sum(before) + sum(after) + 8 * 0x20
    return before + b"%06o\0 " % checksum + after


def index_json_for(named: Mapping[str, Descriptor]) -> bytes:
    """The OCI image index in which each name leads to its blob; names are verbatim."""
    manifests = []
    for name, blob in sorted(named.items()):
        manifests.append(
            {
                "mediaType": blob.media_type,
                "digest": str(blob.digest),
                "size": blob.size_bytes,
                "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
            }
        )
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def _named(index: BundleIndex) -> dict[str, Descriptor]:
    """Each image under ``repo:tag`` and under ``repo@digest``, leading to what the registry served."""
    blobs = index.descriptors()
    return {name: blobs[image.blob] for image in index.images for name in image.names()}


def document(name: str, content: bytes, mtime_seconds: int) -> bytes:
    """A small member as a tar stream holds it."""
    return tar_header(name, len(content), mtime_seconds) + content + padding(len(content))


def oci_documents(named: Mapping[str, Descriptor], mtime_seconds: int) -> Iterator[bytes]:
    """``oci-layout`` and an ``index.json`` for ``named`` (see :func:`index_json_for`), as a tar stream holds them."""
    yield document("oci-layout", _OCI_LAYOUT, mtime_seconds)
    yield document("index.json", index_json_for(named), mtime_seconds)
