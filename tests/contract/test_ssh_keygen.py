"""Signatures and keys are OpenSSH's own: ssh-keygen reads what is written here, and the other way round."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bundler.signkey import made_key, read_key
from installer.bundle.errors import IntegrityError, OperatorError
from installer.bundle.signer import Signer, read_signers
from installer.bundle.sshsig import SshSignature

SUMS = b"0" * 64 + b"  install\n"


def keygen(*words: str | Path, stdin: bytes | None = None, wanted: int = 0) -> str:
    """What ssh-keygen says."""
    done = subprocess.run(["ssh-keygen", *map(str, words)], input=stdin, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert (done.returncode == 0) == (wanted == 0), said
    return said


@pytest.fixture(autouse=True)
def here() -> None:
    """tests/lab/packages.txt names openssh-client."""
    assert shutil.which("ssh-keygen"), "ssh-keygen is missing: apt-get install openssh-client"


def test_openssh_verifies_what_the_builder_signs_with_the_key_it_made(tmp_path: Path) -> None:
    key = made_key(tmp_path / "data" / "sign-key")
    allowed, signature = tmp_path / "allowed_signers", tmp_path / "SHA256SUMS.sig"
    allowed.write_text(f"{key.signer.line}\n")
    signature.write_bytes(key.signature_of(SUMS))
    verify = ("-Y", "verify", "-f", allowed, "-I", "airgap-bundle", "-n", "airgap-bundle", "-s", signature)
    assert key.signer.fingerprint in keygen(*verify, stdin=SUMS)
    keygen(*verify, stdin=SUMS + b"x", wanted=1)
    keygen(*verify[:-3], "git", "-s", signature, stdin=SUMS, wanted=1)
    assert key.signer.fingerprint in keygen("-l", "-f", key.path)
    assert keygen("-y", "-f", key.path).split()[:2] == key.signer.key_text.split()


def test_what_openssh_signs_is_read_and_the_same_byte_for_byte(tmp_path: Path) -> None:
    key, sums = tmp_path / "key", tmp_path / "SHA256SUMS"
    sums.write_bytes(SUMS)
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", key)
    keygen("-q", "-Y", "sign", "-f", key, "-n", "airgap-bundle", sums)
    data = (tmp_path / "SHA256SUMS.sig").read_bytes()
    found, ours = SshSignature.from_bytes(data, where="x"), read_key(key)
    assert found.is_of(SUMS)
    assert (ours.signer, ours.signature_of(SUMS)) == (Signer(found.key), data)
    assert read_signers((tmp_path / "key.pub").read_text(), "key.pub") == (ours.signer,)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (("rsa", "-b", "2048"), (), "a kind that is not read here"),
        (("ecdsa",), (), "a kind that is not read here"),
        (("ed25519",), ("-n", "file"), "another purpose"),
        (("ed25519",), ("-O", "hashalg=sha256"), "another hash"),
    ],
)
def test_other_signatures_of_openssh_are_refused_and_named(
    tmp_path: Path, kind: tuple[str, ...], options: tuple[str, ...], message: str
) -> None:
    key, sums = tmp_path / "key", tmp_path / "SHA256SUMS"
    sums.write_bytes(SUMS)
    keygen("-q", "-t", *kind, "-N", "", "-f", key)
    keygen("-q", "-Y", "sign", "-f", key, *(options if "-n" in options else ("-n", "airgap-bundle", *options)), sums)
    with pytest.raises(IntegrityError, match=message):
        SshSignature.from_bytes((tmp_path / "SHA256SUMS.sig").read_bytes(), where="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-t", "ed25519", "-N", "secret"), "locked by a passphrase"),
        (("-t", "rsa", "-b", "2048", "-N", ""), "of another kind"),
        (("-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"), "no signing key"),
    ],
)
def test_keys_of_openssh_that_cannot_sign_are_refused_and_named(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    key = tmp_path / "key"
    keygen("-q", *options, "-f", key)
    with pytest.raises(OperatorError, match=message):
        read_key(key)
    (tmp_path / "key.pub").chmod(0o600)
    with pytest.raises(OperatorError, match="no signing key"):
        read_key(tmp_path / "key.pub")
