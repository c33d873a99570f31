"""Whose media sets this node takes: the signatures of a medium, judged before anything else on it is read.

Who must have signed is said with ``--signer``, or by the site in /etc, or else by the first install here, which records
who signed what it installed. What is given and what the site says must both hold; the record counts where neither is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from installer.bundle.signatures import Signed, demand_signed, read_signatures, signers_of
from installer.bundle.signer import Signer, demand_fingerprint, fingerprints_named, read_signers, signers_text
from installer.bundle.sums import MOST_SIGNATURES, SIGNATURE_NAME, parse_sums, sums_bytes
from installer.errors import InputError, IntegrityError
from installer.installed import STATE_FOLDER
from installer.node import Node, NodeView

SITE_PATH = "/etc/airgap-bundle/signers"
"""The site's own list of allowed signers, in OpenSSH's format."""
COUNT_PATH = "/etc/airgap-bundle/signatures"
"""How many of them must have signed: a number; one, where there is no such file."""
RECORD_PATH = f"{STATE_FOLDER}/signers"
"""Who signed what was installed here first, as a list of allowed signers."""

_WRITE_BY_OTHERS = 0o022
By = Literal["--signer", "the site", "the first install", "nobody", "--accept-signer"]


@dataclass(frozen=True)
class Demand:
    """What the operator said: ``signers`` are files or fingerprints, ``accepted`` fingerprints for the record."""

    signers: tuple[str, ...] = ()
    signatures: int = 1
    accepted: tuple[str, ...] = ()
    allow_unsigned: bool = False


@dataclass(frozen=True)
class Trust:
    """A medium that may be used: who signed it, and ``by`` whose word that is enough.

    ``sums`` are the lines that were signed (``None`` for a tarball alone), and ``record`` whom an install records.
    """

    signed: tuple[Signed, ...]
    by: By
    sums: bytes | None = None
    record: tuple[Signer, ...] = ()

    @property
    def signers(self) -> tuple[Signer, ...]:
        """Who signed, each once."""
        return signers_of(self.signed)

    def words(self) -> str:
        """What an operator is told of it, in a few words."""
        if not self.signed:
            return "not signed, and allowed so by --allow-unsigned"
        return {
            "--signer": "as --signer wants it",
            "the site": f"as {SITE_PATH} wants it",
            "the first install": "as the first install here",
            "nobody": "first seen here; an install records it",
            "--accept-signer": "accepted; an install records it",
        }[self.by]


def judge(media: Path, view: NodeView, demand: Demand) -> Trust:
    """Whether the medium may be used; :class:`IntegrityError` where its signatures are not those that are wanted.

    :class:`InputError` where what was said cannot be meant. Reads the sums and their signatures, and nothing else.
    """
    _demand_meant(demand)
    sums = sums_bytes(media) if media.is_dir() else None
    if sums is not None:
        parse_sums(sums.decode("ascii", "backslashreplace"), str(media / "SHA256SUMS"))
    signed = read_signatures(media, sums) if sums is not None else ()
    site, count = _site(view), max(demand.signatures, _site_count(view))
    given = frozenset().union(*(fingerprints_named(name, "--signer") for name in demand.signers))
    if given:
        demand_signed(signed, given, count, where=str(media), by="--signer")
    if site:
        demand_signed(signed, _fingerprints(site), count, where=str(media), by=SITE_PATH)
    record = recorded(view)
    if given or site:
        return Trust(signed, "--signer" if given else "the site", sums, () if record else signers_of(signed))
    return _by_record(media, demand, Trust(signed, "nobody", sums), record, count)


def _by_record(media: Path, demand: Demand, found: Trust, record: tuple[Signer, ...], count: int) -> Trust:
    """The judgement where nobody but the first install said who must have signed."""
    signed = found.signed
    if demand.accepted:
        allowed = frozenset(demand_fingerprint(text, "--accept-signer") for text in demand.accepted)
        demand_signed(signed, allowed, count, where=str(media), by="--accept-signer")
        accepted = tuple(signer for signer in found.signers if signer.fingerprint in allowed)
        return Trust(signed, "--accept-signer", found.sums, accepted)
    if not signed:
        if demand.allow_unsigned:
            return found
        raise _unsigned(media, record)
    if not record:
        demand_signed(signed, _fingerprints(found.signers), count, where=str(media), by="--signatures")
        return Trust(signed, "nobody", found.sums, found.signers)
    try:
        demand_signed(signed, _fingerprints(record), count, where=str(media), by="the first install here")
    except IntegrityError as error:
        raise _another(error, media, found, count) from None
    return Trust(signed, "the first install", found.sums)


def keep(node: Node, trust: Trust) -> None:
    """Records the signers, where the judgement says so and the record does not yet."""
    if trust.record and recorded(node) != trust.record:
        node.write_file(RECORD_PATH, signers_text(trust.record).encode("ascii"), mode=0o644)


def recorded(view: NodeView) -> tuple[Signer, ...]:
    """Whom the first install recorded; nobody where there was none, or what it installed was not signed."""
    return _listed(view, RECORD_PATH)


def _site(view: NodeView) -> tuple[Signer, ...]:
    return _listed(view, SITE_PATH)


def _listed(view: NodeView, path: str) -> tuple[Signer, ...]:
    text = view.read_text(path)
    if text is None:
        return ()
    _demand_roots(view, path)
    return read_signers(text, path)


def _demand_roots(view: NodeView, path: str) -> None:
    """A list that others than root can write says nothing."""
    found = view.stat(path)
    if found is not None and found.kind == "file" and (found.uid != 0 or found.mode & _WRITE_BY_OTHERS):
        raise InputError(
            "others than root can say whose media sets are taken",
            where=path,
            wanted="a file of root's, mode 0644",
            got=f"user {found.uid}, mode {found.mode:04o}",
            next_step=f"look at what it says, then:  chown root {path} && chmod 644 {path}",
        )


def _site_count(view: NodeView) -> int:
    _demand_roots(view, COUNT_PATH)
    text = (view.read_text(COUNT_PATH) or "1").strip()
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_SIGNATURES:
        raise InputError(
            "not a number of signatures", where=COUNT_PATH, wanted=f"1 to {MOST_SIGNATURES}", got=text[:60] or "nothing"
        )
    return int(text)


def _fingerprints(signers: tuple[Signer, ...]) -> frozenset[str]:
    return frozenset(signer.fingerprint for signer in signers)


def _demand_meant(demand: Demand) -> None:
    said = [name for name, value in (
        ("--signer", demand.signers), ("--accept-signer", demand.accepted), ("--allow-unsigned", demand.allow_unsigned),
    ) if value]  # fmt: skip
    if len(said) > 1 or (demand.allow_unsigned and demand.signatures > 1):
        raise InputError(
            "these do not go together",
            where="the command line",
            wanted="--signer, --accept-signer or --allow-unsigned",
            got=" ".join(said) if len(said) > 1 else "--allow-unsigned --signatures",
            next_step="--signer says who must have signed, --accept-signer changes whom this node has recorded",
        )


def _unsigned(media: Path, record: tuple[Signer, ...]) -> IntegrityError:
    who = f"the signature of {record[0].fingerprint}, as the first install here" if record else "a signature"
    return IntegrityError(
        "the media set is not signed",
        where=str(media),
        wanted=f"{who}, in {SIGNATURE_NAME}",
        got="none" if media.is_dir() else "a tarball alone, which has none",
        next_step="copy SHA256SUMS.sig too; or, where it is meant to be unsigned, add --allow-unsigned",
    )


def _another(error: IntegrityError, media: Path, found: Trust, count: int) -> IntegrityError:
    """The error for another signer than the one recorded, with the way to accept them."""
    news = "\n".join(f"{signer.fingerprint}\n  {signer.words}" for signer in found.signers)
    flags = " ".join(f"--accept-signer {signer.fingerprint}" for signer in found.signers[:count])
    return IntegrityError(
        "the media set is signed by others than the first install here",
        where=str(media),
        wanted=error.wanted,
        got=news,
        next_step=f"ask the builder for these words by voice; if they are right, add\n{flags}",
    )
