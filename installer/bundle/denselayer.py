"""A layer of a dense bundle in its index; what is done with it is in :mod:`installer.bundle.dense`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from installer.bundle.digest import Digest
from installer.bundle.strict import Fields


@dataclass(frozen=True)
class DenseLayer:
    """A layer: its ``digest`` in the registry's manifest, the ``diff_id`` of its tar, which is the blob held, and
    digest and size of what :func:`installer.bundle.dense.packed` makes of that.
    """

    digest: Digest
    diff_id: Digest
    packed_digest: Digest
    packed_size_bytes: int

    @classmethod
    def read(cls, fields: Fields) -> DenseLayer:
        """A layer from its mapping."""
        layer = cls(
            fields.parsed("digest", Digest),
            fields.parsed("diff_id", Digest),
            fields.parsed("packed_digest", Digest),
            fields.integer("packed_size_bytes"),
        )
        fields.finish()
        return layer

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {
            "digest": str(self.digest),
            "diff_id": str(self.diff_id),
            "packed_digest": str(self.packed_digest),
            "packed_size_bytes": self.packed_size_bytes,
        }
