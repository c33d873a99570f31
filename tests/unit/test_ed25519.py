"""Ed25519 by the standard library alone: the RFC's own vectors, and everything a forger may try with encodings."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from installer.bundle import ed25519
from installer.bundle.ed25519 import is_key, is_signed

PRIME, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
# RFC 8032, section 7.1: secret, public, message, signature.
VECTORS = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe246"
        "55141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
        "b00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
        "c027beceea1ec40a",
    ),
)
SMALL_ORDER = tuple(
    map(
        bytes.fromhex,
        (
            "01" + "00" * 31,
            "ec" + "ff" * 30 + "7f",
            "00" * 32,
            "00" * 31 + "80",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ),
    )
)
NOT_CANONICAL = tuple(
    map(bytes.fromhex, ("ee" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ed" + "ff" * 31, "01" + "00" * 30 + "80",
                        "ff" * 32, "ec" + "ff" * 31))
)  # fmt: skip
KEY, MESSAGE, SIGNATURE = (bytes.fromhex(text) for text in VECTORS[2][1:])


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc(secret: str, public: str, message: str, signature: str) -> None:
    key, text, signed = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)).sign(text) == signed
    assert is_key(key)
    assert is_signed(key, text, signed)
    assert not is_signed(key, text + b"\x00", signed)


def test_every_flipped_bit_is_noticed() -> None:
    for place in range(0, 512, 7):
        flipped = bytearray(SIGNATURE)
        flipped[place // 8] ^= 1 << place % 8
        assert not is_signed(KEY, MESSAGE, bytes(flipped)), place
    for place in range(0, 256, 7):
        flipped = bytearray(KEY)
        flipped[place // 8] ^= 1 << place % 8
        assert not is_signed(bytes(flipped), MESSAGE, SIGNATURE), place


def test_a_number_beyond_the_order_is_no_second_signature() -> None:
    """Malleability: adding the order to the second half gives the same point."""
    number = int.from_bytes(SIGNATURE[32:], "little")
    for more in range(1, 15):
        larger = number + more * ORDER
        if larger < 2**256:
            assert not is_signed(KEY, MESSAGE, SIGNATURE[:32] + larger.to_bytes(32, "little")), more


@pytest.mark.parametrize("key", [*SMALL_ORDER, *NOT_CANONICAL], ids=bytes.hex)
def test_a_key_of_small_order_or_in_another_encoding_is_none(key: bytes) -> None:
    assert not is_key(key)
    for commitment in (*SMALL_ORDER, *NOT_CANONICAL):
        assert not is_signed(key, MESSAGE, commitment + bytes(32)), "with such a key this would hold for any message"


@pytest.mark.parametrize("commitment", NOT_CANONICAL, ids=bytes.hex)
def test_a_commitment_in_another_encoding_holds_for_nothing(commitment: bytes) -> None:
    assert not is_signed(KEY, MESSAGE, commitment + SIGNATURE[32:])


@pytest.mark.parametrize("torsion", SMALL_ORDER[1:], ids=bytes.hex)
def test_an_honest_key_moved_by_a_point_of_small_order_is_none(torsion: bytes) -> None:
    honest, small = ed25519._decode(KEY), ed25519._decode(torsion)
    assert honest and small
    mixed = ed25519._encode(ed25519._plus(honest, small))
    assert mixed != KEY
    assert not is_key(mixed)


def test_no_point_and_other_lengths() -> None:
    no_point = next(data for number in range(2, 40) if ed25519._decode(data := number.to_bytes(32, "little")) is None)
    assert not is_key(no_point)
    for length in (0, 31, 33, 64):
        assert not is_key(bytes(length))
    for length in (0, 63, 65):
        assert not is_signed(KEY, MESSAGE, (SIGNATURE + b"\x00")[:length])


@settings(max_examples=40)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511))
@example(bytes(32), b"", 0)
def test_it_agrees_with_another_implementation(secret: bytes, message: bytes, bit: int) -> None:
    signing = Ed25519PrivateKey.from_private_bytes(secret)
    key, signature = signing.public_key().public_bytes_raw(), bytearray(signing.sign(message))
    assert is_signed(key, message, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not is_signed(key, message, bytes(signature))
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(key).verify(bytes(signature), message)


@settings(max_examples=60)
@given(st.binary(max_size=40), st.binary(max_size=70))
def test_whatever_the_bytes_it_only_says_no(key: bytes, signature: bytes) -> None:
    assert not is_signed(key, b"", signature)
