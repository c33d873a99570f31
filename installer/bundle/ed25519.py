"""Ed25519 signatures, verified with the standard library alone (RFC 8032, section 5.1.7).

Only verification: there is no secret here, so nothing needs to take the same time for every value. It is as strict as
can be: one encoding of each point and number, keys of the prime-order group alone, and the equation without the
cofactor, as OpenSSH has it. So nobody can make a second signature, or a second key, of one that is there.
"""

from __future__ import annotations

import hashlib

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_PRIME = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
_ROOT_OF_MINUS_ONE = pow(2, (_PRIME - 1) // 4, _PRIME)
_Point = tuple[int, int, int, int]
"""``x``, ``y``, ``z`` and ``t`` of extended coordinates: the point ``(x/z, y/z)``, with ``t = x*y/z``."""
_NEUTRAL: _Point = (0, 1, 1, 0)


def is_key(key: bytes) -> bool:
    """Whether ``key`` is a public key as an honest signer has it: a point of prime order in its one encoding."""
    point = _decode(key)
    return point is not None and not _is_neutral(point) and _is_neutral(_times(_ORDER, point))


def is_signed(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the one of ``message`` by the owner of ``key``; never raises, whatever the bytes."""
    point = _decode(key)
    if point is None or not is_key(key) or len(signature) != SIGNATURE_BYTES:
        return False
    commitment, number = signature[:32], int.from_bytes(signature[32:], "little")
    if number >= _ORDER or _decode(commitment) is None:
        return False
    challenge = int.from_bytes(hashlib.sha512(commitment + key + message).digest(), "little") % _ORDER
    x, y, z, t = point
    expected = _plus(_times(number, _BASE), _times(challenge, (_PRIME - x, y, z, _PRIME - t)))
    return _encode(expected) == commitment


def _plus(one: _Point, other: _Point) -> _Point:
    """The sum of two points; the formula has no exceptions, so it doubles, too."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _PRIME
    b = (y1 + x1) * (y2 + x2) % _PRIME
    c = 2 * _D * t1 * t2 % _PRIME
    d = 2 * z1 * z2 % _PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _PRIME, g * h % _PRIME, f * g % _PRIME, e * h % _PRIME


def _times(number: int, point: _Point) -> _Point:
    result = _NEUTRAL
    while number:
        if number & 1:
            result = _plus(result, point)
        point = _plus(point, point)
        number >>= 1
    return result


def _is_neutral(point: _Point) -> bool:
    x, y, z, _ = point
    return x % _PRIME == 0 and (y - z) % _PRIME == 0


def _encode(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _PRIME)
    x, y = x * inverse % _PRIME, y * inverse % _PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decode(data: bytes) -> _Point | None:
    """The point that ``data`` is the one encoding of, or ``None`` where it is none's."""
    if len(data) != KEY_BYTES:
        return None
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % _PRIME)


def _x_of(y: int, sign: int) -> int | None:
    """The ``x`` of this sign that lies on the curve with ``y``; ``None`` where there is none."""
    if y >= _PRIME:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME
    x = pow(square, (_PRIME + 3) // 8, _PRIME)
    if x * x % _PRIME != square:
        x = x * _ROOT_OF_MINUS_ONE % _PRIME
    if x * x % _PRIME != square or (x == 0 and sign):
        return None
    return _PRIME - x if x & 1 != sign else x


def _base() -> _Point:
    y = 4 * pow(5, -1, _PRIME) % _PRIME
    x = _x_of(y, 0) or 0
    return x, y, 1, x * y % _PRIME


_BASE = _base()
