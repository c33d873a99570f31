"""What is read from certificates: how long they are valid, and the hash by which a joining node knows the cluster's CA
(SHA-256 of its public key, as kubeadm defines it).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from installer.errors import FormatError

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")
_SEQUENCE = 0x30
_VERSION_TAG = 0xA0
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_FIELDS_BEFORE_VALIDITY = 3
"""Serial number, signature algorithm, issuer."""
_FIELDS_BEFORE_KEY = 5
"""Those, validity, subject."""


@dataclass(frozen=True)
class Validity:
    """Unix times between which a certificate is valid."""

    begins_seconds: int
    ends_seconds: int


def first_validity(pem: str) -> Validity | None:
    """The validity of the first certificate in ``pem``; ``None`` where there is none that can be read."""
    match = _PEM.search(pem)
    try:
        return None if match is None else _validity(base64.b64decode(match[1], validate=False))
    except (binascii.Error, IndexError, ValueError):
        return None


def _validity(certificate: bytes) -> Validity:
    position = _field(certificate, _FIELDS_BEFORE_VALIDITY)
    _, start, _ = _element(certificate, position)
    tag, begins, ends = _element(certificate, start)
    first = _time(tag, certificate[begins:ends])
    tag, begins, ends = _element(certificate, ends)
    return Validity(first, _time(tag, certificate[begins:ends]))


def _time(tag: int, text: bytes) -> int:
    """UTCTime has two digits of a year, 50 and more of the last century; GeneralizedTime has four."""
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[tag]
    found = datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)
    if tag == _UTC_TIME and found.year >= 2050:
        found = found.replace(year=found.year - 100)
    return int(found.timestamp())


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
    position = _field(certificate, _FIELDS_BEFORE_KEY)
    tag, _, after = _element(certificate, position)
    if tag != _SEQUENCE:
        raise ValueError("no public key where it belongs")
    return certificate[position:after]


def _field(certificate: bytes, number: int) -> int:
    """Where the field begins that ``number`` others come before in TBSCertificate, its version not counted."""
    _, start, _ = _element(certificate, 0)
    _, start, end = _element(certificate, start)
    tag, _, after = _element(certificate, start)
    position = after if tag == _VERSION_TAG else start
    for _ in range(number):
        _, _, position = _element(certificate, position)
    if position >= end:
        raise ValueError("a field is not there")
    return position


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
