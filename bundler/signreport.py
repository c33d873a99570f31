"""What the connected side tells of identities, signers and keys: fingerprints, and words to compare by voice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from installer.bundle.digest import Digest
from installer.bundle.signatures import Signed
from installer.bundle.words import spoken

if TYPE_CHECKING:
    from bundler.signkey import SigningKey


def identity_lines(identity: Digest) -> Iterator[str]:
    """What a bundle is known by: its identity, and what two people compare of it by voice."""
    yield f"identity  {identity}"
    yield f"          {spoken(bytes.fromhex(identity.hex))}"


def signer_lines(signed: Iterable[Signed]) -> Iterator[str]:
    """Who signed a media set: fingerprints, and what two people compare by voice."""
    label = "signed"
    for item in signed:
        yield f"{label:<9} {item.signer.fingerprint}   {item.name}"
        yield f"          {item.signer.words}"
        label = ""
    if label:
        yield "signed    by nobody"


def signers_document(signed: Iterable[Signed]) -> list[dict[str, str]]:
    """The same as JSON has it."""
    return [{"file": item.name, "fingerprint": item.signer.fingerprint, "words": item.signer.words} for item in signed]


def key_lines(key: SigningKey) -> Iterator[str]:
    """A signing key for ``bundle key show``: how to know it, and the line that makes a site trust it."""
    yield f"key       {key.path}"
    yield f"          {key.signer.fingerprint}"
    yield f"          {key.signer.words}"
    yield "For /etc/airgap-bundle/signers on the nodes, or any list of allowed signers:"
    yield key.signer.line


def key_document(key: SigningKey) -> dict[str, str]:
    """The same as JSON has it."""
    signer = key.signer
    known = {"fingerprint": signer.fingerprint, "words": signer.words, "public_key": signer.key_text}
    return {"path": str(key.path), "allowed_signers": signer.line, **known}
