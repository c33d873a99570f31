"""What a blob is, by the bytes it has: media type, digest, size, and its size once unpacked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from installer.bundle.digest import Digest
from installer.bundle.strict import Fields


@dataclass(frozen=True, order=True)
class Descriptor:
    """A blob: ``digest`` and ``size_bytes`` of its bytes; ``unpacked_size_bytes`` where it is a compressed archive."""

    digest: Digest
    size_bytes: int
    media_type: str
    unpacked_size_bytes: int | None = None

    @classmethod
    def read(cls, fields: Fields) -> Descriptor:
        """A descriptor from its mapping."""
        descriptor = cls(
            fields.parsed("digest", Digest),
            fields.integer("size_bytes"),
            fields.text("media_type"),
            fields.integer("unpacked_size_bytes", None),
        )
        fields.finish()
        return descriptor

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        out: dict[str, Any] = {
            "digest": str(self.digest),
            "media_type": self.media_type,
            "size_bytes": self.size_bytes,
        }
        if self.unpacked_size_bytes is not None:
            out["unpacked_size_bytes"] = self.unpacked_size_bytes
        return out
