"""Ed25519 keys as files: one's own to sign with, and a directory of those that a device trusts.

Public keys are PEM (SubjectPublicKeyInfo), private ones PEM (PKCS 8), as OpenSSL writes them. A
public key is 32 fixed-place bytes in that form, so that listing and trusting need no library.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bankai_edge import folders
from bankai_edge._facts import NAME_RULE, name_ok
from bankai_edge.durable import write_atomically
from bankai_edge.ed25519 import PEM_PREFIX, public_key_of_pem
from bankai_edge.errors import BankaiError
from bankai_edge.patch import files
from bankai_edge.patch.sign import ed25519, short_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE, PUBLIC, REVOKED = ".key", ".pub", ".revoked"


def own_keys() -> Path:
    """Where this user's own keys lie."""
    return folders.config("keys")


def public_pem(public_key: bytes) -> bytes:
    """The 32 bytes of a public key as PEM."""
    body = base64.b64encode(PEM_PREFIX + public_key)
    return b"-----BEGIN PUBLIC KEY-----\n" + body + b"\n-----END PUBLIC KEY-----\n"


def read_public(path: Path) -> bytes:
    """The 32 bytes of a PEM public key; raises BankaiError for anything else."""
    key = public_key_of_pem(files.read_bytes(path).decode("latin-1"))
    if key is None:
        raise BankaiError(
            f"{path} is no public key",
            expected="an Ed25519 public key in PEM, as `bankai-edge keys new` writes it",
        )
    return key


def new(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a key pair NAME.key (which only this user may read) and NAME.pub; returns both paths.

    Raises BankaiError when there is one of that name, which is never overwritten.
    """
    private_path, public_path = (directory / (_checked(name) + end) for end in (PRIVATE, PUBLIC))
    key = ed25519().Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives import serialization

    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise BankaiError(
            f"there is a key {name} already: {private_path}", next_step="Choose another name."
        ) from error
    except OSError as error:
        raise BankaiError(
            f"{private_path} cannot be written ({error.strerror})",
            next_step="Name another directory with --dir.",
        ) from error
    write_atomically(public_path, public_pem(key.public_key().public_bytes_raw()))
    return private_path, public_path


def find_private(key: str) -> Ed25519PrivateKey:
    """One's own key of this name, or else the private key in this file; raises BankaiError."""
    own = own_keys() / f"{key}{PRIVATE}"
    return read_private(own if name_ok(key) and own.exists() else Path(key))


def read_private(path: Path) -> Ed25519PrivateKey:
    """A private key to sign with; raises BankaiError for anything else."""
    ed25519()  # says so when the library is missing
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(files.read_bytes(path), None)
    except (ValueError, TypeError) as error:
        raise BankaiError(
            f"{path} is no private key ({error})", expected="an Ed25519 key in PEM, unencrypted"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BankaiError(f"{path} holds another kind of key", expected="an Ed25519 private key")
    return key


@dataclass(frozen=True)
class TrustStore:
    """A directory of public keys: NAME.pub is trusted, NAME.revoked never again.

    It is read anew at every question, so that a change counts at once.
    """

    directory: Path

    def trusted(self) -> dict[str, bytes]:
        """Name -> public key. A file that is no key counts for nothing."""
        revoked = set(self.revoked().values())
        found = self._read(PUBLIC)
        return {name: key for name, key in found.items() if key not in revoked}

    def revoked(self) -> dict[str, bytes]:
        """Name -> public key."""
        return self._read(REVOKED)

    def trust(self, name: str, public_key: bytes) -> Path:
        """Add a key; returns its file. Raises BankaiError for a taken name or a revoked key."""
        path = self.directory / (_checked(name) + PUBLIC)
        for other, key in self.revoked().items():
            if key == public_key:
                raise BankaiError(
                    f"the key {short_key(key)} was revoked as {other}",
                    next_step=f"If that was a mistake, delete {self.directory / other}{REVOKED}.",
                )
        there = path.exists() and read_public(path)
        if there and there != public_key:
            raise BankaiError(
                f"another key is trusted as {name}", next_step="Choose another --name."
            )
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BankaiError(f"{self.directory} cannot be made ({error.strerror})") from error
        write_atomically(path, public_pem(public_key))
        return path

    def revoke(self, name: str) -> bytes:
        """Trust a key no more, whatever the policy; returns it. Raises BankaiError when absent."""
        path = self.directory / (_checked(name) + PUBLIC)
        if not path.exists():
            have = ", ".join(self.trusted()) or "none"
            raise BankaiError(f"no key {name} in {self.directory}", expected=f"one of: {have}")
        key = read_public(path)
        write_atomically(path.with_name(name + REVOKED), public_pem(key))
        path.unlink()
        return key

    def _read(self, end: str) -> dict[str, bytes]:
        found = {}
        try:
            paths = sorted(self.directory.iterdir())
        except OSError:
            return {}
        for path in paths:
            name = path.name.removesuffix(end)
            if name != path.name and name_ok(name):
                try:
                    found[name] = read_public(path)
                except BankaiError:
                    continue
        return found


def _checked(name: str) -> str:
    if not name_ok(name):
        raise BankaiError(f"{name!r} cannot name a key", expected=NAME_RULE)
    return name
