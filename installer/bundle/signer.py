"""Who signs: public keys, their fingerprints and words, and OpenSSH's lists of them (``allowed_signers``)."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from installer.bundle.errors import InputError, IntegrityError
from installer.bundle.regularfile import read_regular
from installer.bundle.sshsig import ALGORITHM, NAMESPACE, key_blob, plain_key
from installer.bundle.words import spoken

_LONGEST_BYTES = 1024 * 1024
PRINCIPAL = NAMESPACE
"""The name in the lines written here; ``ssh-keygen -Y verify -I`` takes it."""
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_KIND = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+")
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_OPTION = re.compile(r'namespaces="([^"]*)"', re.IGNORECASE)
_WANTED = f"{ALGORITHM} and its key in base64, or such a line with a name before it"


@dataclass(frozen=True)
class Signer:
    """An Ed25519 public key: the 32 bytes of it."""

    key: bytes

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` and 43 characters, as ``ssh-keygen -l`` shows it."""
        return f"SHA256:{base64.b64encode(self._digest).decode('ascii').rstrip('=')}"

    @property
    def words(self) -> str:
        """The fingerprint's beginning as words."""
        return spoken(self._digest)

    @property
    def key_text(self) -> str:
        """The public key as one line."""
        return f"{ALGORITHM} {base64.b64encode(key_blob(self.key)).decode('ascii')}"

    @property
    def line(self) -> str:
        """The key's line for a list of allowed signers, good for bundles only."""
        return f'{PRINCIPAL} namespaces="{NAMESPACE}" {self.key_text}'

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(key_blob(self.key)).digest()


def demand_fingerprint(text: str, where: str) -> str:
    """``text``, if it is a fingerprint; :class:`InputError` otherwise."""
    if not _FINGERPRINT.fullmatch(text):
        raise InputError(
            "not a fingerprint",
            where=where,
            wanted="SHA256: and 43 characters, as bundle key show prints it",
            got=text[:100],
            next_step="give the fingerprint itself: the words are for comparing by voice and hold less of it",
        )
    return text


def fingerprints_named(given: str, option: str) -> frozenset[str]:
    """The fingerprints that ``given`` names: one itself, or those of the signers in a file.

    :class:`InputError` names the ``option`` for anything else.
    """
    if given.startswith("SHA256:"):
        return frozenset({demand_fingerprint(given, option)})
    where = f"{option} {given}"
    try:
        text = read_regular(Path(given), _LONGEST_BYTES).decode("utf-8", "backslashreplace")
    except OSError as error:
        raise _refused(where, "a fingerprint (SHA256:…), or a file of signers", error.strerror or str(error)) from None
    return frozenset(signer.fingerprint for signer in read_signers(text, where))


def signers_text(signers: Iterable[Signer]) -> str:
    """A list of allowed signers."""
    return "".join(f"{signer.line}\n" for signer in signers)


def read_signers(text: str, where: str) -> tuple[Signer, ...]:
    """The signers of bundles in a public key's file or a list of allowed signers, each once.

    Lines for other purposes (``namespaces``) are passed over; :class:`InputError` names a line that cannot be taken at
    its word, as one with an option that is not known here would allow more than it says.
    """
    found: dict[Signer, None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            signer = _signer(line.strip(), f"{where}, line {number}")
            if signer is not None:
                found[signer] = None
    if not found:
        raise _refused(where, _WANTED, "no signer of bundles")
    return tuple(found)


def _signer(line: str, where: str) -> Signer | None:
    words = _WORD.findall(line)
    at = next((place for place, word in enumerate(words[:3]) if _KIND.fullmatch(word)), None)
    if at is None or len(words) < at + 2:
        raise _refused(where, _WANTED, line[:100])
    if words[at] != ALGORITHM:
        raise _refused(where, f"an Ed25519 key ({ALGORITHM})", f"{words[at]}, which is not read here")
    if at == 2 and not _is_for_bundles(words[1], where):
        return None
    try:
        return Signer(plain_key(base64.b64decode(words[at + 1], validate=True), where))
    except (binascii.Error, ValueError):
        raise _refused(where, _WANTED, f"{words[at + 1][:60]}, which is not base64") from None
    except IntegrityError as error:
        raise _refused(where, error.wanted or _WANTED, error.got or "") from None


def _is_for_bundles(options: str, where: str) -> bool:
    option = _OPTION.fullmatch(options)
    patterns = option[1].split(",") if option else []
    if option is None or any(pattern.startswith("!") for pattern in patterns):
        raise _refused(where, f'namespaces="{NAMESPACE}" or no option', f"{options[:100]}, which is not read here")
    return any(fnmatch.fnmatchcase(NAMESPACE, pattern) for pattern in patterns)


def _refused(where: str, wanted: str, got: str) -> InputError:
    return InputError(
        "not a list of signers",
        where=where,
        wanted=wanted,
        got=got,
        next_step="on the builder, this prints the line:  bundle key show",
    )
