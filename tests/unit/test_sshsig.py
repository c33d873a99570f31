"""Signature files and lists of signers: what is read, and the error that each other thing gets."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from installer.bundle.errors import InputError, IntegrityError
from installer.bundle.signer import Signer, demand_fingerprint, read_signers, signers_text
from installer.bundle.sshsig import SshSignature, key_blob, signed_bytes
from tests.fakes.media import lab_key

KEY = lab_key()
SUMS = b"0" * 64 + b"  install\n"
FILE = KEY.signature_of(SUMS)
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7"
# As `ssh-keygen -Y sign` wrote them for other keys and options; only their beginnings matter.
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def made(
    *,
    key: bytes | None = None,
    namespace: bytes = b"airgap-bundle",
    reserved: bytes = b"",
    hashed: bytes = b"sha512",
    algorithm: bytes = b"ssh-ed25519",
    version: int = 1,
    more: bytes = b"",
) -> bytes:
    """A signature file of these parts."""
    signature = _string(algorithm) + _string(KEY.secret.sign(signed_bytes(SUMS)))
    parts = (key if key is not None else key_blob(KEY.signer.key), namespace, reserved, hashed, signature)
    blob = b"SSHSIG" + version.to_bytes(4, "big") + b"".join(map(_string, parts)) + more
    text = base64.b64encode(blob).decode()
    return (_BEGIN + "".join(f"{text[at : at + 70]}\n" for at in range(0, len(text), 70)) + _END).encode()


def refused(data: bytes) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        SshSignature.from_bytes(data, where="SHA256SUMS.sig")
    error = caught.value
    assert error.where and error.wanted and error.got and error.next_step
    return error


def test_what_is_written_is_read() -> None:
    assert made() == FILE
    found = SshSignature.from_bytes(FILE, where="x")
    assert (found.key, found.to_bytes()) == (KEY.signer.key, FILE)
    assert found.is_of(SUMS)
    assert not found.is_of(SUMS + b"\n")
    assert KEY.signature_of(SUMS) == FILE, "the same key and sums, the same bytes"


@pytest.mark.parametrize(
    ("data", "message", "got"),
    [
        (made(namespace=b"file"), "another purpose", "namespace file"),
        (made(hashed=b"sha256"), "another hash", "sha256"),
        (made(key=_string(b"ssh-rsa") + _string(b"\x01\x00\x01")), "a kind that is not read here", "ssh-rsa"),
        (made(key=_string(b"sk-ssh-ed25519@openssh.com") + _string(bytes(32)) + _string(b"ssh:")), "a kind", "sk-ssh"),
        (made(key=_string(b"ecdsa-sha2-nistp256") + _string(b"x")), "a kind", "ecdsa-sha2-nistp256"),
        (made(key=_string(b"ssh-ed25519") + _string(bytes(32))), "damaged", "that are none"),
        (made(key=key_blob(KEY.signer.key) + _string(b"")), "damaged", "3"),
        (made(reserved=b"x"), "damaged", "1 bytes"),
        (made(version=2), "damaged", "SSHSIG"),
        (made(algorithm=b"ssh-rsa"), "damaged", "ssh-rsa"),
        (made(more=b"\x00"), "damaged", "0 bytes"),
        (b"", "damaged", "''"),
        (FILE[:-1], "damaged", "BEGIN"),
        (FILE.replace(b"\n", b"\r\n"), "damaged", "BEGIN"),
        (FILE + b"\n", "damaged", "BEGIN"),
        (FILE.replace(b"BEGIN SSH", b"BEGIN PGP"), "damaged", "PGP"),
        (FILE.replace(b"U1NIU0lH", b"U1NIU0l!"), "damaged", ""),
        (FILE[:40] + b"\n" + FILE[40:], "damaged", "other line ends"),
        (b"-" * 100_000, "damaged", "more"),
    ],
)
def test_what_else_there_is_has_its_own_answer(data: bytes, message: str, got: str) -> None:
    error = refused(data)
    assert message in error.message
    assert got in (error.got or "")


def test_every_flipped_bit_is_refused_or_holds_for_nothing() -> None:
    for place in range(0, len(FILE) * 8, 5):
        flipped = bytearray(FILE)
        flipped[place // 8] ^= 1 << place % 8
        try:
            found = SshSignature.from_bytes(bytes(flipped), where="x")
        except IntegrityError:
            continue
        assert not found.is_of(SUMS), place


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_blob_in_armour_is_a_signature_or_an_error(blob: bytes) -> None:
    text = base64.b64encode(b"SSHSIG\x00\x00\x00\x01" + blob).decode()
    refused((_BEGIN + "".join(f"{text[at : at + 70]}\n" for at in range(0, len(text), 70)) + _END).encode())


def test_lists_of_signers_as_openssh_has_them() -> None:
    one, other = lab_key(1).signer, lab_key(2).signer
    text = f"""
# those who may sign
{one.line}
ada@site.example,*@builders namespaces="airgap-bundle,git" {other.key_text} ada's key
{one.key_text} the same again
git@site.example namespaces="git" {lab_key(3).signer.key_text}
"""
    assert read_signers(text, "signers") == (one, other)
    assert read_signers(signers_text([one, other]), "signers") == (one, other)
    assert read_signers(f'x namespaces="airgap-*" {one.key_text}', "signers") == (one,)


@pytest.mark.parametrize(
    ("line", "wanted", "got"),
    [
        ("", "ssh-ed25519 and its key", "no signer"),
        (f'x namespaces="git" {KEY.signer.key_text}', "ssh-ed25519 and its key", "no signer"),
        ("hello", "ssh-ed25519 and its key", "hello"),
        (f"x {RSA}", "an Ed25519 key", "ssh-rsa"),
        (f"x cert-authority {KEY.signer.key_text}", "namespaces", "cert-authority"),
        (f'x valid-before="20200101" {KEY.signer.key_text}', "namespaces", "valid-before"),
        (f'x namespaces="!git,airgap-bundle" {KEY.signer.key_text}', "namespaces", "!git"),
        (f"x a b {KEY.signer.key_text}", "ssh-ed25519 and its key", "x a b"),
        ("ssh-ed25519", "ssh-ed25519 and its key", "ssh-ed25519"),
        ("ssh-ed25519 ????", "ssh-ed25519 and its key", "not base64"),
        ("ssh-ed25519 AAAA", "a field", "0 bytes"),
        ("ssh-ed25519 " + base64.b64encode(key_blob(bytes(32))).decode(), "an Ed25519 public key", "none"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "ssh-ed25519 and its key", "PRIVATE"),
    ],
)
def test_a_line_that_cannot_be_taken_at_its_word_is_refused(line: str, wanted: str, got: str) -> None:
    with pytest.raises(InputError) as caught:
        read_signers(line, "signers")
    assert wanted in (caught.value.wanted or "")
    assert got in (caught.value.got or "")
    assert "bundle key show" in (caught.value.next_step or "")


def test_a_fingerprint_and_nothing_like_it() -> None:
    signer = Signer(KEY.signer.key)
    assert demand_fingerprint(signer.fingerprint, "--signer") == signer.fingerprint
    for text in (signer.words, signer.fingerprint[:-1], f"{signer.fingerprint}=", signer.fingerprint.lower()):
        with pytest.raises(InputError, match="not a fingerprint"):
            demand_fingerprint(text, "--signer")
