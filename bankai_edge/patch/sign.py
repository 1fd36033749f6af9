"""Signed patches: a `.bkp` in a COSE_Sign1 envelope (RFC 9052) with Ed25519.

The envelope's form is bk_cose.h's, which also opens it. The signer's public key
travels as the key id, under the signature: whether a file is as it was signed can be told without
knowing the signer; whether that signer is trusted is a separate question (keys.TrustStore).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import cbor2

from bankai_edge import _patch
from bankai_edge.errors import BankaiError, CoreError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_TAG = 18
_ALGORITHM, _KEY_ID, _EDDSA = 1, 4, -8

is_signed = _patch.is_signed


def short_key(public_key: bytes) -> str:
    """The start of a public key, as shown to people."""
    return public_key.hex()[:16]


@dataclass(frozen=True)
class Envelope:
    """An opened envelope; `verify` tells whether its signature is right."""

    payload: bytes
    public_key: bytes
    signature: bytes
    signed_head: bytes


def unwrap(data: bytes, what: str = "the patch") -> Envelope:
    """Open an envelope, strictly; raises SignatureError (exit 5) for one of another form."""
    try:
        return Envelope(*_patch.unwrap(data))
    except CoreError as error:
        raise SignatureError(
            f"{what} is in an envelope that is damaged or of another kind",
            expected="COSE_Sign1 with Ed25519, both headers protected",
            next_step="Copy it again, or sign the bare patch with bankai-edge patch sign",
        ) from error


def payload_of(data: bytes, what: str = "the patch") -> bytes:
    """The bare `.bkp`, out of its envelope if it is in one.

    The envelope's own signature is verified, where the library for that is installed; whose it is,
    is not asked. Raises SignatureError (exit 5).
    """
    if not is_signed(data):
        return data
    envelope = unwrap(data, what)
    with contextlib.suppress(NoCryptographyError):
        verify(envelope, what)
    return envelope.payload


def sign(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """Put a bare `.bkp` into an envelope signed with `key`; the same input gives the same bytes."""
    public_key = key.public_key().public_bytes_raw()
    header = cbor2.dumps({_ALGORITHM: _EDDSA, _KEY_ID: public_key}, canonical=True)
    signature = key.sign(cbor2.dumps(["Signature1", header, b"", payload]))
    return cbor2.dumps(cbor2.CBORTag(_TAG, [header, {}, payload, signature]))


def verify(envelope: Envelope, what: str = "the patch") -> None:
    """Raise SignatureError (exit 5) unless the signature is its own key's over these bytes."""
    module = ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        key = module.Ed25519PublicKey.from_public_bytes(envelope.public_key)
        key.verify(envelope.signature, envelope.signed_head + envelope.payload)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            f"{what} is not as it was signed: its signature does not fit "
            f"the key {short_key(envelope.public_key)}",
            next_step="Fetch it from its source again; do not use it",
        ) from error


class NoCryptographyError(BankaiError):
    """The library that signs and verifies is not installed."""


def ed25519() -> ModuleType:
    """`cryptography`'s Ed25519; raises NoCryptographyError when it is not installed."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519 as module
    except ImportError as error:
        raise NoCryptographyError(
            "signatures need the package cryptography, which is not installed",
            next_step="Install it: pip install 'bankai-edge[sign]'.",
        ) from error
    return module
