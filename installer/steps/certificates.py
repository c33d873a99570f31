"""The hash by which a joining node knows the cluster's CA: SHA-256 of its public key, as kubeadm defines it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from installer.errors import FormatError

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")
_SEQUENCE = 0x30
_VERSION_TAG = 0xA0
_FIELDS_BEFORE_KEY = 5
"""Serial number, signature algorithm, issuer, validity, subject."""


def ca_cert_hashes(pem: str, *, where: str) -> tuple[str, ...]:
    """``sha256:<hex>`` of each certificate's SubjectPublicKeyInfo; :class:`FormatError` if ``pem`` cannot be read."""
    try:
        certificates = [base64.b64decode(body, validate=False) for body in _PEM.findall(pem)]
        hashes = tuple(f"sha256:{hashlib.sha256(_public_key_info(data)).hexdigest()}" for data in certificates)
    except (binascii.Error, IndexError, ValueError):
        hashes = ()
    if not hashes:
        raise FormatError("not a certificate", where=where, wanted="one or more certificates in PEM form")
    return hashes


def _public_key_info(certificate: bytes) -> bytes:
    """The DER of SubjectPublicKeyInfo inside a DER certificate: Certificate, TBSCertificate, then by position."""
    _, start, end = _element(certificate, 0)
    _, start, end = _element(certificate, start)
    tag, _, after = _element(certificate, start)
    position = after if tag == _VERSION_TAG else start
    for _ in range(_FIELDS_BEFORE_KEY):
        _, _, position = _element(certificate, position)
    tag, _, after = _element(certificate, position)
    if tag != _SEQUENCE or after > end:
        raise ValueError("no public key where it belongs")
    return certificate[position:after]


def _element(data: bytes, position: int) -> tuple[int, int, int]:
    """The DER element at ``position``: its tag, where its content starts, and where it ends."""
    tag, length = data[position], data[position + 1]
    start = position + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise ValueError("an element reaches beyond the end")
    return tag, start, start + length
