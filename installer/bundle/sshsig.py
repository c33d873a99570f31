"""OpenSSH's signature files (SSHSIG, PROTOCOL.sshsig): one kind of them, in one encoding.

What is read is what ``ssh-keygen -Y sign -n airgap-bundle`` writes with an Ed25519 key, byte for byte; what else may
stand in such a file is refused and named. No signature is verified here but by :meth:`SshSignature.is_of`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from installer.bundle import ed25519
from installer.bundle.errors import IntegrityError

ALGORITHM = "ssh-ed25519"
NAMESPACE = "airgap-bundle"
MAXIMUM_BYTES = 16 * 1024
_HASH = "sha512"
_MAGIC = b"SSHSIG"
_VERSION = 1
_BEGIN = "-----BEGIN SSH SIGNATURE-----\n"
_END = "-----END SSH SIGNATURE-----\n"
_COLUMNS = 70
_COPY_AGAIN = "copy this file again; where that does not help, ask the signer for it:  bundle sign"


@dataclass(frozen=True)
class SshSignature:
    """``key`` is the signer's public key, 32 bytes; ``signature`` the 64 bytes of Ed25519."""

    key: bytes
    signature: bytes

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> SshSignature:
        """The signature in a file; :class:`IntegrityError` says what is wrong with any other bytes."""
        found = cls._read(_unarmoured(data, where), where)
        if found.to_bytes() != data:
            raise _damaged(where, "the one way in which ssh-keygen writes it", "other line ends or lengths")
        return found

    @classmethod
    def _read(cls, blob: bytes, where: str) -> SshSignature:
        if not blob.startswith(_MAGIC + _VERSION.to_bytes(4, "big")):
            raise _damaged(where, f"SSHSIG version {_VERSION}", repr(blob[:10]))
        key_blob, namespace, reserved, hash_name, signature_blob = _strings(blob[10:], 5, where)
        key = plain_key(key_blob, where)
        if namespace != NAMESPACE.encode():
            wanted, got = f"namespace {NAMESPACE}", f"namespace {_text(namespace)}"
            next_step = f"ssh-keygen -Y sign -n {NAMESPACE} makes one for bundles"
            raise _other(where, "was made for another purpose", wanted, got, next_step)
        if hash_name != _HASH.encode():
            raise _other(
                where, "uses another hash", _HASH, _text(hash_name), "sign without -O hashalg: sha512 is usual"
            )
        if reserved:
            raise _damaged(where, "nothing in the reserved field", f"{len(reserved)} bytes")
        algorithm, signature = _strings(signature_blob, 2, where)
        if algorithm != ALGORITHM.encode() or len(signature) != ed25519.SIGNATURE_BYTES:
            got = f"{_text(algorithm)}, {len(signature)} bytes"
            raise _damaged(where, f"{ALGORITHM} with {ed25519.SIGNATURE_BYTES} bytes, like its key", got)
        return cls(key, signature)

    def to_bytes(self) -> bytes:
        """The file, as ssh-keygen writes it."""
        signature = _string(ALGORITHM.encode()) + _string(self.signature)
        parts = (key_blob(self.key), NAMESPACE.encode(), b"", _HASH.encode(), signature)
        blob = _MAGIC + _VERSION.to_bytes(4, "big") + b"".join(map(_string, parts))
        text = base64.b64encode(blob).decode("ascii")
        lines = [text[start : start + _COLUMNS] + "\n" for start in range(0, len(text), _COLUMNS)]
        return (_BEGIN + "".join(lines) + _END).encode("ascii")

    def is_of(self, message: bytes) -> bool:
        """Whether the owner of the key signed this very message."""
        return ed25519.is_signed(self.key, signed_bytes(message), self.signature)


def signed_bytes(message: bytes) -> bytes:
    """What Ed25519 signs for ``message``: its hash, with the purpose it is signed for."""
    parts = (NAMESPACE.encode(), b"", _HASH.encode(), hashlib.sha512(message).digest())
    return _MAGIC + b"".join(map(_string, parts))


def key_blob(key: bytes) -> bytes:
    """A public key as OpenSSH packs it; its SHA-256 is the fingerprint."""
    return _string(ALGORITHM.encode()) + _string(key)


def plain_key(blob: bytes, where: str) -> bytes:
    """The 32 bytes of the Ed25519 key in ``blob``; :class:`IntegrityError` for other kinds and for no key at all."""
    algorithm, *_ = _strings(blob, None, where)
    if algorithm != ALGORITHM.encode():
        wanted, next_step = (
            f"an Ed25519 key ({ALGORITHM})",
            "sign with the key that bundle build makes, or another Ed25519 one",
        )
        raise _other(where, "is of a kind that is not read here", wanted, _text(algorithm), next_step)
    _, key = _strings(blob, 2, where)
    if not ed25519.is_key(key):
        raise _damaged(where, "an Ed25519 public key", f"{len(key)} bytes that are none")
    return key


def _unarmoured(data: bytes, where: str) -> bytes:
    if len(data) > MAXIMUM_BYTES:
        raise _damaged(where, f"at most {MAXIMUM_BYTES} bytes", "more")
    text = data.decode("latin-1")
    if not text.startswith(_BEGIN) or not text.endswith(_END):
        raise _damaged(where, f"from {_BEGIN.strip()} to {_END.strip()}", repr(text[:40]))
    try:
        return base64.b64decode(text[len(_BEGIN) : -len(_END)].replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _damaged(where, "base64", str(error)) from None


def _strings(data: bytes, count: int | None, where: str) -> list[bytes]:
    """The ``count`` length-prefixed strings that ``data`` consists of (any number above 0 if ``None``)."""
    found = list(_each_string(data, where))
    if not found or (count is not None and len(found) != count):
        raise _damaged(where, f"{count or 'some'} fields", f"{len(found)}")
    return found


def _each_string(data: bytes, where: str) -> Iterator[bytes]:
    while data:
        length_bytes = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length_bytes:
            raise _damaged(where, f"a field of {length_bytes} bytes", f"{max(len(data) - 4, 0)} bytes")
        yield data[4 : 4 + length_bytes]
        data = data[4 + length_bytes :]


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _text(data: bytes) -> str:
    return data[:60].decode("latin-1")


def _damaged(where: str, wanted: str, got: str) -> IntegrityError:
    return _other(where, "is damaged", wanted, got, _COPY_AGAIN)


def _other(where: str, what: str, wanted: str, got: str, next_step: str) -> IntegrityError:
    return IntegrityError(f"the signature {what}", where=where, wanted=wanted, got=got, next_step=next_step)
