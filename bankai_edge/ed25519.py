"""Reading an Ed25519 key and checking a signature (RFC 8032) with the standard library alone.

A bare system has Python and no cryptography package, and has to check a bundle before anything of
it is installed. Nothing secret is computed with here, so the time it takes tells nobody anything.
Signing is left to `cryptography`, which also judges this file in the tests.
"""

from __future__ import annotations

import base64
import hashlib
import re

KEY_BYTES, SIGNATURE_BYTES = 32, 64
# A SubjectPublicKeyInfo of this kind is these bytes and the key (RFC 8410).
PEM_PREFIX = bytes.fromhex("302a300506032b6570032100")
_PRIME = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
_ROOT_OF_MINUS_ONE = pow(2, (_PRIME - 1) // 4, _PRIME)
_PEM = re.compile(
    r"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END PUBLIC KEY-----\s*"
)

# Extended coordinates of a point: x = X/Z, y = Y/Z, T = XY/Z.
Point = tuple[int, int, int, int]
_NEUTRAL: Point = (0, 1, 1, 0)


def public_key_of_pem(text: str) -> bytes | None:
    """The 32 bytes of a public key in PEM; None for anything else."""
    match = _PEM.fullmatch(text)
    if not match:
        return None
    try:
        data = base64.b64decode(match[1])
    except ValueError:
        return None
    key = data.removeprefix(PEM_PREFIX)
    return key if key != data and len(key) == KEY_BYTES else None


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) is this key's (32 bytes) over `message`."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != KEY_BYTES:
        return False
    key = _decode(public_key)
    factor = int.from_bytes(signature[32:], "little")
    if key is None or factor >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    x, y, z, t = key
    minus_key = (_PRIME - x, y, z, _PRIME - t)
    # S·B = R + k·A, as S·B − k·A = R; R is compared in its encoding, which is unique.
    return _encode(_sum_of_products(factor, _base(), challenge, minus_key)) == signature[:32]


def _add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % _PRIME
    b = (p[1] + p[0]) * (q[1] + q[0]) % _PRIME
    c = 2 * p[3] * q[3] * _D % _PRIME
    d = 2 * p[2] * q[2] % _PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _PRIME, g * h % _PRIME, f * g % _PRIME, e * h % _PRIME


def _sum_of_products(m: int, p: Point, n: int, q: Point) -> Point:
    """m·p + n·q, bit by bit from the top."""
    table = (_NEUTRAL, p, q, _add(p, q))
    result = _NEUTRAL
    for bit in reversed(range(max(m.bit_length(), n.bit_length()))):
        result = _add(result, result)
        result = _add(result, table[(m >> bit & 1) + 2 * (n >> bit & 1)])
    return result


def _encode(p: Point) -> bytes:
    inverse = pow(p[2], -1, _PRIME)
    x, y = p[0] * inverse % _PRIME, p[1] * inverse % _PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decode(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    x = _x_of(y, sign) if y < _PRIME else None
    return None if x is None else (x, y, 1, x * y % _PRIME)


def _x_of(y: int, sign: int) -> int | None:
    """The x of this parity with −x² + y² = 1 + d·x²·y²; None when there is no such point."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME
    x = pow(square, (_PRIME + 3) // 8, _PRIME)
    if x * x % _PRIME != square:
        x = x * _ROOT_OF_MINUS_ONE % _PRIME
    if x * x % _PRIME != square or (x == 0 and sign):
        return None
    return x if x & 1 == sign else _PRIME - x


def _base() -> Point:
    y = 4 * pow(5, -1, _PRIME) % _PRIME
    x = _x_of(y, 0)
    assert x is not None
    return x, y, 1, x * y % _PRIME
