"""The builder's signing key: Ed25519 in OpenSSH's own format, made by the first build or named by the operator."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from bundler.errors import InputError
from installer.bundle.regularfile import open_regular
from installer.bundle.signer import Signer
from installer.bundle.sshsig import NAMESPACE, SshSignature, signed_bytes

KEY_NAME = "sign-key"
_LONGEST_BYTES = 64 * 1024
_FOR_OTHERS = 0o077
_MAKE_ONE = "ssh-keygen -t ed25519 -f FILE makes one; without --sign-key the builder's own is used"


@dataclass(frozen=True)
class SigningKey:
    """A key that signs media sets; ``path`` is its file."""

    secret: Ed25519PrivateKey
    path: Path

    @property
    def signer(self) -> Signer:
        """Its public half."""
        return Signer(self.secret.public_key().public_bytes_raw())

    def signature_of(self, sums: bytes) -> bytes:
        """The signature file for the bytes of a ``SHA256SUMS``; the same for the same bytes."""
        return SshSignature(self.signer.key, self.secret.sign(signed_bytes(sums))).to_bytes()


def signing_key(named: Path | None, environment: Mapping[str, str]) -> SigningKey:
    """The key in the file ``named``, or the builder's own, made if it is not there yet."""
    return read_key(named) if named else made_key(default_key_path(environment))


def default_key_path(environment: Mapping[str, str]) -> Path:
    """Where the builder's own key is: below ``$XDG_DATA_HOME`` or ``~/.local/share``."""
    base = environment.get("XDG_DATA_HOME", "")
    try:
        data = Path(base) if base.startswith("/") else Path.home() / ".local" / "share"
    except RuntimeError:
        raise InputError(
            "there is no place for the signing key",
            where="XDG_DATA_HOME, HOME",
            wanted="a home folder",
            got="none",
            next_step="name a key with --sign-key FILE, or build with --unsigned",
        ) from None
    return data / "airgap-bundle" / KEY_NAME


def made_key(path: Path) -> SigningKey:
    """The key at ``path``; where there is none, a new one, for its owner's eyes only and whole from the first moment.

    Of several builds that find none, one makes it and the others wait for it and take it.
    """
    folder = path.parent
    try:
        if not path.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
            _make(path)
    except OSError as error:
        raise InputError(
            "the signing key cannot be made",
            where=str(path),
            wanted="a folder that can be written",
            got=error.strerror or str(error),
            next_step="name a key with --sign-key FILE, set XDG_DATA_HOME, or build with --unsigned",
        ) from None
    return read_key(path)


def _make(path: Path) -> None:
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not path.exists():
            secret = Ed25519PrivateKey.generate()
            _write_private(path, secret.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
            os.fsync(handle)
    finally:
        os.close(handle)


def _write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, and at no time for others to read, whatever the umask; the folder is locked."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)


def read_key(path: Path) -> SigningKey:
    """The key in a file; :class:`InputError` where there is none that can be used, or others may read it."""
    try:
        with open_regular(path) as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read(_LONGEST_BYTES)
    except OSError as error:
        got = error.strerror or str(error)
        raise _unusable("the signing key cannot be read", path, got=got, next_step=_MAKE_ONE) from None
    if mode & _FOR_OTHERS:
        raise _unusable(
            "others may read the signing key",
            path,
            wanted="mode 0600",
            got=f"mode {mode:04o}",
            next_step=f"chmod 600 {path}, or make a new one if others may have it",
        )
    secret = _secret(data, path)
    if not isinstance(secret, Ed25519PrivateKey):
        raise _unusable("the signing key is of another kind", path, got=type(secret).__name__.strip("_"))
    return SigningKey(secret, path)


def _secret(data: bytes, path: Path) -> object:
    try:
        return load_ssh_private_key(data, password=None)
    except TypeError:
        raise _unusable(
            "the signing key is locked by a passphrase",
            path,
            got="an encrypted key",
            next_step=f"build with --unsigned, then there:\nssh-keygen -Y sign -f KEY -n {NAMESPACE} SHA256SUMS",
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        got = "a public key" if data.startswith((b"ssh-", b"ecdsa-", b"sk-")) else str(error)[:200]
        raise _unusable("this is no signing key", path, got=got) from None


def _unusable(
    message: str,
    path: Path,
    *,
    got: str,
    wanted: str = "an Ed25519 private key in OpenSSH's format",
    next_step: str = _MAKE_ONE,
) -> InputError:
    return InputError(message, where=str(path), wanted=wanted, got=got, next_step=next_step)
