"""``delta.json``: what a delta carries of a new bundle, what the site must have, and what the rebuilt set must be.

A delta stands beside the new bundle's ``bundle.json``; each blob of that is taken from the site, carried whole, made
from an old blob by a patch, or in a section that is carried as it is compressed. The delta's own tarball is a function
of this document and of those contents, as a bundle's is of its index.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.index import MAXIMUM_BYTES, BundleIndex, demand_schema
from installer.bundle.layout import BLOCK_BYTES, Layout, Member, Section, blob_name, padding
from installer.bundle.patch import MOST_BYTES
from installer.bundle.strict import Fields, Problems
from installer.bundle.sums import INSTALL_NAME, SUMS_NAME

SCHEMA = 1
DELTA_NAME = "delta.json"
DELTA_SUFFIX = ".delta.tar.zst"
"""What the name of a delta's tarball ends in."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,199}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""So short that it fits a tar header."""
_MOST_FILES = 100
_MOST_FILES_BYTES = 64 * 1024 * 1024
_LARGEST_SIZE = 2**50


@dataclass(frozen=True)
class BundleName:
    """A bundle as people and machines name it."""

    name: str
    identity: Digest

    @classmethod
    def read(cls, fields: Fields) -> BundleName:
        """A bundle's name from its mapping."""
        named = cls(_shaped(fields, "name", _NAME), fields.parsed("identity", Digest))
        fields.finish()
        return named

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"name": self.name, "identity": str(self.identity)}


@dataclass(frozen=True, order=True)
class Sized:
    """Bytes by digest and size."""

    digest: Digest
    size_bytes: int

    @classmethod
    def read(cls, fields: Fields) -> Sized:
        """Digest and size from their mapping."""
        sized = cls(fields.parsed("digest", Digest), fields.integer("size_bytes", most=_LARGEST_SIZE))
        fields.finish()
        return sized

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"digest": str(self.digest), "size_bytes": self.size_bytes}


@dataclass(frozen=True)
class CarriedFile:
    """A small file of the new media set (its sums, signatures, lists of parts), carried as it is."""

    name: str
    content: Sized

    @classmethod
    def read(cls, fields: Fields) -> CarriedFile:
        """A file from its mapping."""
        size_bytes = fields.integer("size_bytes", most=_MOST_FILES_BYTES)
        carried = cls(_shaped(fields, "name", _FILE_NAME), Sized(fields.parsed("digest", Digest), size_bytes))
        fields.finish()
        return carried

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"name": self.name} | self.content.to_dict()


@dataclass(frozen=True)
class Patch:
    """``blob`` is made from the site's blob ``base`` by the bytes ``content``."""

    blob: Digest
    base: Digest
    content: Sized

    @classmethod
    def read(cls, fields: Fields) -> Patch:
        """A patch from its mapping."""
        content = Sized(fields.parsed("digest", Digest), fields.integer("size_bytes", most=MOST_BYTES))
        patch = cls(fields.parsed("blob", Digest), fields.parsed("base", Digest), content)
        fields.finish()
        return patch

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"blob": str(self.blob), "base": str(self.base)} | self.content.to_dict()


@dataclass(frozen=True)
class CarriedSection:
    """A section of the new tarball as it is compressed there; ``first`` is its first member's name."""

    first: str
    frame_sizes: tuple[int, ...]
    digest: Digest

    @property
    def content(self) -> Sized:
        """Its bytes."""
        return Sized(self.digest, sum(self.frame_sizes))

    @classmethod
    def read(cls, fields: Fields) -> CarriedSection:
        """A section from its mapping."""
        sizes = fields.raw("frame_sizes")
        if not isinstance(sizes, list) or not all(type(size) is int and 0 < size < 2**32 for size in sizes):
            fields.note("frame_sizes", "wanted a list of sizes in bytes")
            sizes = []
        section = cls(fields.text("first"), tuple(sizes), fields.parsed("digest", Digest))
        fields.finish()
        return section

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"first": self.first, "frame_sizes": list(self.frame_sizes), "digest": str(self.digest)}


@dataclass(frozen=True)
class Delta:
    """The document. ``tarball`` is the one to be rebuilt; ``zstd`` the library that makes its bytes again.

    ``bases`` are the bundles it was made against, ``needs`` every blob that the site must have of them.
    """

    name: str
    created_seconds: int
    zstd: str
    bundle: BundleName
    tarball: Sized
    files: tuple[CarriedFile, ...]
    bases: tuple[BundleName, ...]
    needs: tuple[Sized, ...]
    carried: tuple[Sized, ...]
    patches: tuple[Patch, ...]
    sections: tuple[CarriedSection, ...]

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Delta:
        """The document in ``data``; :class:`FormatError` naming every problem with its path."""
        if len(data) > MAXIMUM_BYTES:
            wanted = f"at most {MAXIMUM_BYTES} bytes"
            raise FormatError(f"{DELTA_NAME} is too large", where=where, wanted=wanted, got=f"{len(data)}")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{DELTA_NAME} is not JSON", where=where, got=str(error)[:200]) from None
        demand_schema(document, SCHEMA, where)
        problems = Problems()
        delta = cls._read(Fields(document, problems))
        if not problems:
            problems.extend(delta._own_problems())
        problems.check(f"{DELTA_NAME} does not have its format", FormatError, where=where)
        if delta.to_bytes() != data:
            raise FormatError(f"{DELTA_NAME} is not in its one encoding", where=where, next_step="copy the delta again")
        return delta

    @classmethod
    def _read(cls, fields: Fields) -> Delta:
        fields.integer("schema")
        delta = cls(
            _shaped(fields, "name", _NAME),
            fields.integer("created_seconds", most=8**11 - 1),
            fields.text("zstd"),
            BundleName.read(fields.mapping("bundle")),
            Sized.read(fields.mapping("tarball")),
            tuple(CarriedFile.read(item) for item in fields.mappings("files")),
            tuple(BundleName.read(item) for item in fields.mappings("bases")),
            tuple(Sized.read(item) for item in fields.mappings("needs")),
            tuple(Sized.read(item) for item in fields.mappings("carried")),
            tuple(Patch.read(item) for item in fields.mappings("patches")),
            tuple(CarriedSection.read(item) for item in fields.mappings("sections")),
        )
        fields.finish()
        return delta

    def _own_problems(self) -> Iterator[str]:
        """What cannot be, whatever the bundle is."""
        names = [item.name for item in self.files]
        if len(names) != len(set(names)) or SUMS_NAME not in names:
            yield f"files: wanted {SUMS_NAME} and others, each once"
        for name in {INSTALL_NAME, "bundle.json", DELTA_NAME, f"{self.bundle.name}.tar.zst"} & set(names):
            yield f"files: {name} is not carried there"
        if len(names) > _MOST_FILES or sum(item.content.size_bytes for item in self.files) > _MOST_FILES_BYTES:
            yield f"files: wanted at most {_MOST_FILES} with {_MOST_FILES_BYTES} bytes"
        for what, digests in (
            ("needs", [item.digest for item in self.needs]),
            ("carried", [item.digest for item in self.carried]),
            ("patches", [item.blob for item in self.patches]),
            ("sections", [item.first for item in self.sections]),
        ):
            if len(digests) != len(set(digests)):
                yield f"{what}: something is there twice"
        needed = {item.digest for item in self.needs}
        yield from (f"patches: {item.base} is not among the needs" for item in self.patches if item.base not in needed)

    def problems_with(self, index: BundleIndex) -> Iterator[str]:
        """What does not fit the bundle it is to make: every blob comes from one place, and nothing is superfluous."""
        sections = {section.members[0].name: section for section in Layout.of(index).sections}
        yield from (f"sections: {item.first} begins none" for item in self.sections if item.first not in sections)
        held = [sections[item.first] for item in self.sections if item.first in sections]
        for item in self.sections:
            if item.first in sections and len(item.frame_sizes) != sections[item.first].frames:
                yield f"sections: wanted {sections[item.first].frames} frames for {item.first}"
        listed = {blob.digest: blob.size_bytes for blob in index.blobs}
        in_sections = {member.digest for section in held for member in section.members}
        carried, patched = {item.digest for item in self.carried}, {item.blob for item in self.patches}
        bases = {item.base for item in self.patches}
        needed = {item.digest for item in self.needs}
        taken = (needed - bases) | (needed & set(listed) - carried - patched - in_sections)
        for digest in sorted(set(listed) - in_sections):
            if (digest in carried) + (digest in patched) + (digest in taken) != 1:
                yield f"blobs: {digest} comes from no place, or from two"
        for digest in sorted((carried | patched | taken) - (set(listed) - in_sections)):
            yield f"blobs: {digest} is not wanted"
        for sized in (*self.carried, *self.needs):
            if listed.get(sized.digest, sized.size_bytes) != sized.size_bytes:
                yield f"blobs: {sized.digest} has {listed[sized.digest]} bytes in {index.name}"

    def to_dict(self) -> dict[str, Any]:
        """The document as plain values."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "created_seconds": self.created_seconds,
            "zstd": self.zstd,
            "bundle": self.bundle.to_dict(),
            "tarball": self.tarball.to_dict(),
            "files": [item.to_dict() for item in self.files],
            "bases": [item.to_dict() for item in self.bases],
            "needs": [item.to_dict() for item in self.needs],
            "carried": [item.to_dict() for item in self.carried],
            "patches": [item.to_dict() for item in self.patches],
            "sections": [item.to_dict() for item in self.sections],
        }

    def to_bytes(self) -> bytes:
        """The one encoding, as of ``bundle.json``."""
        return (json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")

    def layout(self) -> Layout:
        """The delta's own tarball: this document, then files, blobs, patches and sections, in their order here."""
        document = self.to_bytes()
        contents = [(DELTA_NAME, Sized(Digest.of(document), len(document)))]
        contents += [(file_member(item.name), item.content) for item in self.files]
        contents += [(blob_name(item.digest), item) for item in self.carried]
        contents += [(patch_member(item.blob), item.content) for item in self.patches]
        contents += [(section_member(number), item.content) for number, item in enumerate(self.sections)]
        sections, offset_bytes = [], 0
        for name, content in contents:
            member = Member(name, content.digest, content.size_bytes, offset_bytes, self.created_seconds)
            sections.append(Section((member,)))
            offset_bytes += BLOCK_BYTES + content.size_bytes + len(padding(content.size_bytes))
        return Layout(tuple(sections), {DELTA_NAME: document})


def file_member(name: str) -> str:
    """Where in a delta's tarball a small file of the new set is."""
    return f"files/{name}"


def patch_member(blob: Digest) -> str:
    """Where in a delta's tarball the patch that makes ``blob`` is."""
    return f"patches/{blob.hex}"


def section_member(number: int) -> str:
    """Where in a delta's tarball a compressed section is."""
    return f"sections/{number}"


def _shaped(fields: Fields, key: str, shape: re.Pattern[str]) -> str:
    text: str = fields.text(key)
    if text and not shape.fullmatch(text):
        fields.note(key, f"wanted letters, digits, '.', '_' and '-', got {text[:100]!r}")
    return text
