"""Where something in a bundle came from, and whose word its digest is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from installer.bundle.strict import Fields

TRUSTS = ("upstream", "first-seen", "user")
"""Whose word a digest is: upstream's published checksum, the registry's answer when first locked, or the user's own."""


@dataclass(frozen=True)
class Proof:
    """Where upstream publishes a file's ``checksum``, and its own ``signature`` if it makes one (``""``: none known).

    These are places, for whoever wants to ask upstream again; what they said is the digest itself.
    """

    checksum: str
    signature: str = ""

    @classmethod
    def read(cls, fields: Fields) -> Proof:
        """A proof from its mapping."""
        proof = cls(fields.text("checksum"), fields.text("signature", ""))
        fields.finish()
        return proof

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        return {"checksum": self.checksum} | ({"signature": self.signature} if self.signature else {})


@dataclass(frozen=True)
class Source:
    """Where a blob came from (canonical URL or reference), whose word its digest is, and which catalogue said so.

    ``proof`` is where upstream says the same, as far as the catalogue knows.
    """

    origin: str
    trust: str
    catalogue: str = "built-in"
    proof: Proof | None = None

    @classmethod
    def read(cls, fields: Fields) -> Source:
        """A source from its mapping."""
        proof = Proof.read(fields.mapping("proof")) if "proof" in fields else None
        source = cls(fields.text("origin"), fields.choice("trust", TRUSTS), fields.text("catalogue", "built-in"), proof)
        fields.finish()
        return source

    def to_dict(self) -> dict[str, Any]:
        """The mapping :meth:`read` takes."""
        proof = {"proof": self.proof.to_dict()} if self.proof else {}
        return {"origin": self.origin, "trust": self.trust, "catalogue": self.catalogue} | proof
