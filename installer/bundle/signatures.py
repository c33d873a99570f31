"""The signatures of a media set: ``SHA256SUMS.sig`` and those of further signers, each of ``SHA256SUMS``, its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from installer.bundle.digest import Digest
from installer.bundle.errors import IntegrityError
from installer.bundle.regularfile import read_regular
from installer.bundle.signer import Signer
from installer.bundle.sshsig import MAXIMUM_BYTES, SshSignature
from installer.bundle.sums import SIGNATURE_NAME, SUMS_NAME, signature_names

_MOST_NAMED = 8


@dataclass(frozen=True)
class Signed:
    """One signature that is right: the file's ``name``, and who signed."""

    name: str
    signer: Signer


def read_signatures(folder: Path, sums: bytes) -> tuple[Signed, ...]:
    """Every signature in ``folder``, proven to be of ``sums``, the bytes of its ``SHA256SUMS``.

    :class:`IntegrityError` for the first that is damaged, of another kind or of other sums: one that does not hold is
    worth no less attention because another one does.
    """
    return tuple(Signed(name, read_signature(folder / name, sums)) for name in signature_names(folder))


def demand_signed(signed: tuple[Signed, ...], allowed: frozenset[str], count: int, *, where: str, by: str) -> None:
    """Raises :class:`IntegrityError` unless ``count`` of the fingerprints in ``allowed`` signed; ``by`` wants it so."""
    found = [signer.fingerprint for signer in signers_of(signed)]
    if len(allowed.intersection(found)) >= count:
        return
    wanted = f"{count} of {len(allowed)} signers" if len(allowed) > 1 or count > 1 else "the signer"
    named = "\n".join(sorted(allowed)[:_MOST_NAMED])
    raise IntegrityError(
        "the media set is not signed by those who must sign it" if found else "the media set is not signed",
        where=where,
        wanted=f"{wanted} by {by}\n{named}",
        got="\n".join(found) or f"no {SIGNATURE_NAME}",
        next_step="use one that they signed, or have it signed:  bundle sign",
    )


def signers_of(signed: tuple[Signed, ...]) -> tuple[Signer, ...]:
    """Who signed, each once."""
    return tuple(dict.fromkeys(item.signer for item in signed))


def read_signature(path: Path, sums: bytes) -> Signer:
    """Who signed ``sums``, by the signature in the file ``path``; :class:`IntegrityError` where it does not hold."""
    try:
        data = read_regular(path, MAXIMUM_BYTES + 1)
    except OSError as error:
        raise IntegrityError(
            "a signature cannot be read",
            where=str(path),
            wanted=f"a signature of {SUMS_NAME}",
            got=error.strerror or str(error),
            next_step="copy this file again",
        ) from None
    signature = SshSignature.from_bytes(data, where=str(path))
    signer = Signer(signature.key)
    if not signature.is_of(sums):
        raise IntegrityError(
            f"the signature is not of this {SUMS_NAME}",
            where=str(path),
            wanted=f"a signature of {SUMS_NAME} as it is here, {Digest.of(sums).short}…",
            got=f"one of other bytes, or a damaged one; its key is {signer.fingerprint}",
            next_step=f"copy {SUMS_NAME} and this file again from where they were signed; use neither as it is",
        )
    return signer
