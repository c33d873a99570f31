"""What a site has, in a small file that travels back to the builder: bundles, blobs, and the machine itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from installer.bundle.delta import BundleName, Sized
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.index import MAXIMUM_BYTES, BundleIndex, demand_schema
from installer.bundle.platform import platform_of_machine
from installer.bundle.strict import Fields, Problems

SCHEMA = 1
KIND = "airgap-bundle-inventory"
"""What marks the document as what it is, and the namespace of its signature."""
_OLDEST_KERNEL = (3, 10)
_MOST_BLOBS = 100_000
_MEGA = 1_000_000

_OLDEST_CONTAINERD = (1, 6, 15)


@dataclass(frozen=True)
class Disk:
    """A mounted file system."""

    mount: str
    total_bytes: int
    free_bytes: int

    @classmethod
    def read(cls, fields: Fields) -> Disk:
        """A file system from its mapping."""
        disk = cls(fields.text("mount"), fields.integer("total_bytes"), fields.integer("free_bytes"))
        fields.finish()
        return disk

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"mount": self.mount, "total_bytes": self.total_bytes, "free_bytes": self.free_bytes}


@dataclass(frozen=True)
class Inventory:
    """The document. ``installed`` is the bundle this node was installed from, ``media`` those whose media sets are at
    hand; ``blobs`` are all that the site can give to a delta, by the places it was told of. ``containerd`` is a
    version, empty where there is none.
    """

    made_seconds: int
    hostname: str
    system: str
    kernel: str
    machine: str
    containerd: str
    disks: tuple[Disk, ...]
    installed: tuple[BundleName, ...]
    media: tuple[BundleName, ...]
    blobs: tuple[Sized, ...]

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Inventory:
        """The document in ``data``; :class:`FormatError` naming every problem with its path."""
        if len(data) > MAXIMUM_BYTES:
            raise FormatError("the inventory is too large", where=where, wanted=f"at most {MAXIMUM_BYTES} bytes")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FormatError("the inventory is not JSON", where=where, got=str(error)[:200]) from None
        demand_schema(document, SCHEMA, where)
        problems = Problems()
        fields = Fields(document, problems)
        fields.integer("schema")
        fields.choice("kind", (KIND,))
        found = cls(
            fields.integer("made_seconds"),
            fields.text("hostname", ""),
            fields.text("system", ""),
            fields.text("kernel"),
            fields.text("machine"),
            fields.text("containerd", ""),
            tuple(Disk.read(item) for item in fields.mappings("disks")),
            tuple(BundleName.read(item) for item in fields.mappings("installed")),
            tuple(BundleName.read(item) for item in fields.mappings("media")),
            tuple(Sized.read(item) for item in fields.mappings("blobs")),
        )
        fields.finish()
        if not problems and len({item.digest for item in found.blobs}) != len(found.blobs):
            problems.append("blobs: a digest is listed twice")
        if len(found.blobs) > _MOST_BLOBS:
            problems.append(f"blobs: wanted at most {_MOST_BLOBS}")
        problems.check("the inventory does not have its format", FormatError, where=where)
        return found

    @property
    def digest(self) -> Digest:
        """What two people compare: the digest of the document's bytes."""
        return Digest.of(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The document as :meth:`from_bytes` reads it."""
        return (json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")

    def to_dict(self) -> dict[str, Any]:
        """The document as plain values."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "made_seconds": self.made_seconds,
            "hostname": self.hostname,
            "system": self.system,
            "kernel": self.kernel,
            "machine": self.machine,
            "containerd": self.containerd,
            "disks": [item.to_dict() for item in self.disks],
            "installed": [item.to_dict() for item in self.installed],
            "media": [item.to_dict() for item in self.media],
            "blobs": [item.to_dict() for item in self.blobs],
        }


@dataclass(frozen=True)
class Judgement:
    """What speaks against an install at a site; ``is_certain`` where it cannot work."""

    what: str
    is_certain: bool


def judge(site: Inventory, index: BundleIndex, media_bytes: int) -> Iterator[Judgement]:
    """What a builder can say beforehand; the node's own preflight decides."""
    platform = platform_of_machine(site.machine)
    if platform not in index.platforms:
        yield Judgement(f"it is {site.machine}, and the bundle is for {', '.join(index.platforms)}", is_certain=True)
    numbers = _numbers(site.kernel)
    if numbers[:2] < _OLDEST_KERNEL:
        yield Judgement(f"its kernel is {site.kernel}; containers need what came with 3.10", is_certain=True)
    if site.containerd and _numbers(site.containerd) < _OLDEST_CONTAINERD:
        oldest = ".".join(map(str, _OLDEST_CONTAINERD))
        yield Judgement(f"its containerd is {site.containerd}, older than {oldest}: not kept", is_certain=False)
    brought = next((item.version for item in index.files if item.component == "containerd"), "")
    if site.containerd and brought and _numbers(site.containerd)[0] != _numbers(brought)[0]:
        yield Judgement(f"its containerd is {site.containerd}, and the bundle brings {brought}", is_certain=False)
    free_bytes = max((disk.free_bytes for disk in site.disks), default=0)
    unpacked_bytes = sum(blob.unpacked_size_bytes or blob.size_bytes for blob in index.blobs)
    if free_bytes < unpacked_bytes:
        text = f"images and programs unpack to {unpacked_bytes / _MEGA:.1f} MB, and no disk has more than"
        yield Judgement(f"{text} {free_bytes / _MEGA:.1f} MB free", is_certain=False)
    elif free_bytes < media_bytes:
        text = f"the whole media set takes {media_bytes / _MEGA:.1f} MB where the delta is made whole"
        yield Judgement(f"{text}, and no disk there has it", is_certain=False)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version.partition("-")[0])[:3]) or (0,)


def sized(sizes: dict[Digest, int]) -> tuple[Sized, ...]:
    """Blobs by digest, each once."""
    return tuple(Sized(digest, sizes[digest]) for digest in sorted(sizes))
