"""Where something in a bundle came from, and whose word its digest is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from installer.bundle.strict import Fields

TRUSTS = ("upstream", "first-seen", "user")
"""Whose word a digest is: upstream's published checksum, the registry's answer when first locked, or the user's own."""


@dataclass(frozen=True)
class Source:
    """Where a blob came from (canonical URL or reference), whose word its digest is, and which catalogue said so."""

    origin: str
    trust: str
    catalogue: str = "built-in"

    @classmethod
    def read(cls, fields: Fields) -> Source:
        """A source from its mapping."""
        source = cls(fields.text("origin"), fields.choice("trust", TRUSTS), fields.text("catalogue", "built-in"))
        fields.finish()
        return source

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"origin": self.origin, "trust": self.trust, "catalogue": self.catalogue}
