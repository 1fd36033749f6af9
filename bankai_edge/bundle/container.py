"""The bundle's container: a zip file of one form only, which Python can also run.

    two lines of shell            so that `sh site.bkb` runs it as `python3 site.bkb` does
    manifest.json, manifest.sig   (manifest.py; the signature only when there is one)
    every other file              in the manifest's order, stored as it is
    zip's directory               at the end, where Python and unzip look for it

All times, flags and offsets are fixed, so the whole file follows from the manifest and the files'
bytes. A reader therefore needs no directory: it computes where everything lies, and what every
header must be, and compares. No byte of a bundle is left unchecked, and two readers cannot disagree
about what it holds. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bankai_edge import ed25519
from bankai_edge.bundle.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    Manifest,
    Member,
    damaged,
    parse,
)
from bankai_edge.errors import BankaiError, IncompatibleError, SignatureError

PRELUDE = b'#!/bin/sh\nexec python3 "$0" "$@"\n'
PIECE_BYTES = 1 << 20
# What a signature covers: a word that no other signature of these keys begins with, the manifest.
SIGNED_HEAD = b"bankai-edge bundle 1\n"
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_DAY = 0x21  # 1 January 1980, zip's first day; at midnight
_MODE = 0o100644 << 16


@dataclass(frozen=True)
class Signature:
    """A manifest's signature: whose, and the 64 bytes."""

    public_key: bytes
    signature: bytes

    def encode(self) -> bytes:
        """The bytes of manifest.sig."""
        fields = {"key": self.public_key.hex(), "signature": self.signature.hex()}
        return json.dumps(fields, indent=1).encode() + b"\n"


@dataclass(frozen=True)
class Part:
    """One file on its way into a container. `crc` is zip's CRC-32; `chunks` reads it."""

    path: str
    size_bytes: int
    crc: int
    chunks: Callable[[], Iterable[bytes]]


def part_of(path: str, data: bytes) -> Part:
    """A part whose bytes are at hand."""
    return Part(path, len(data), zlib.crc32(data), lambda: (data,))


def write(out: BinaryIO, parts: Iterable[Part]) -> None:
    """Write the container of these parts, manifest first; raises OSError."""
    out.write(PRELUDE)
    at, entries = len(PRELUDE), []
    for part in parts:
        out.write(_local(part.path, part.size_bytes, part.crc))
        for chunk in part.chunks():
            out.write(chunk)
        entries.append(_central(part.path, part.size_bytes, part.crc, at))
        at += _local_bytes(part.path) + part.size_bytes
    out.write(_directory(entries, at))


class Bundle:
    """An opened bundle. `manifest` is parsed; nothing else is checked before `check`."""

    def __init__(self, path: Path) -> None:
        """Open a bundle; raises BankaiError, IncompatibleError (exit 4), SignatureError (5).

        The latter when its signature is not its own key's over this manifest.
        """
        self.path = path
        self.what = path.name
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise BankaiError(
                f"{path} cannot be read ({error.strerror})", next_step="Check the path given"
            ) from error
        try:
            self.size_bytes = self._file.seek(0, 2)
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        self._headers: list[tuple[str, int, int]] = []  # path, size, offset; in order
        self._at = len(PRELUDE)
        if self._at_offset(0, len(PRELUDE)) != PRELUDE:
            raise IncompatibleError(
                f"{self.what} is no bundle", expected="a file that bankai-edge image bundle made"
            )
        encoded = self._next(MANIFEST)
        if encoded is None:
            raise damaged(self.what, "it does not begin with a manifest")
        self.manifest: Manifest = parse(encoded, self.what)
        self.signature = self._signature(self._next(SIGNATURE), encoded)
        for member in self.manifest.files:
            self._headers.append((member.path, member.size_bytes, self._at))
            self._at += _local_bytes(member.path) + member.size_bytes
        self._offset = {path: at + _local_bytes(path) for path, _, at in self._headers}
        entries = [_central(path, size, 0, at) for path, size, at in self._headers]
        end = self._at + len(_directory(entries, self._at))
        if self.size_bytes < end:
            raise damaged(self.what, f"it ends after {self.size_bytes:,} of {end:,} bytes")
        if self.size_bytes > end:
            raise damaged(self.what, f"{self.size_bytes - end:,} bytes follow its end")

    def _next(self, path: str) -> bytes | None:
        """The member at this place when it is `path`, for those that no manifest describes."""
        header = self._at_offset(self._at, _local_bytes(path))
        size = int.from_bytes(header[18:22], "little")
        if header[30:] != path.encode() or size > MAX_MANIFEST_BYTES:
            return None
        data = self._at_offset(self._at + len(header), size)
        if len(data) < size:
            raise damaged(self.what, f"it ends after {self.size_bytes:,} bytes")
        self._headers.append((path, size, self._at))
        self._at += len(header) + size
        return data

    def _signature(self, encoded: bytes | None, manifest: bytes) -> Signature | None:
        if encoded is None:
            return None
        try:
            fields = json.loads(encoded)
            found = Signature(bytes.fromhex(fields["key"]), bytes.fromhex(fields["signature"]))
        except (ValueError, TypeError, KeyError):
            found = Signature(b"", b"")
        if encoded == found.encode() and ed25519.verify(
            found.public_key, found.signature, SIGNED_HEAD + manifest
        ):
            return found
        raise SignatureError(
            f"{self.what} is not as it was signed: its signature does not fit",
            next_step="Copy it again from where it was made; do not install it",
        )

    # -- reading -------------------------------------------------------------------------------

    def chunks(self, member: Member) -> Iterator[bytes]:
        """A file's bytes, piece by piece; IncompatibleError at the end if they are not its own."""
        digest, at, left = hashlib.sha256(), self._offset[member.path], member.size_bytes
        while left:
            chunk = self._at_offset(at, min(left, PIECE_BYTES))
            if not chunk:
                raise damaged(self.what, f"it ends within {member.path}")
            digest.update(chunk)
            at, left = at + len(chunk), left - len(chunk)
            yield chunk
        if digest.hexdigest() != member.sha256:
            raise damaged(self.what, f"{member.path} does not have the SHA-256 of its manifest")

    def read(self, path: str) -> bytes:
        """A whole file; KeyError when there is none, IncompatibleError when it is damaged."""
        return b"".join(self.chunks(self.manifest.member(path)))

    def check(self, progress: Callable[[int], None] = lambda n_bytes: None) -> None:
        """Check every byte; raises IncompatibleError (exit 4). `progress` is told of each piece."""
        members = {member.path: member for member in self.manifest.files}
        entries = []
        for path, size, at in self._headers:
            crc, start = 0, at + _local_bytes(path)
            member = members.get(path)
            whole = self.chunks(member) if member else (self._at_offset(start, size),)
            for chunk in whole:
                crc = zlib.crc32(chunk, crc)
                progress(len(chunk))
            if self._at_offset(at, _local_bytes(path)) != _local(path, size, crc):
                raise damaged(self.what, f"the header of {path} is not as it was written")
            entries.append(_central(path, size, crc, at))
        directory = _directory(entries, self._at)
        if self._at_offset(self._at, len(directory)) != directory:
            raise damaged(self.what, "its directory is not as it was written")

    def _at_offset(self, at: int, n_bytes: int) -> bytes:
        try:
            self._file.seek(at)
            return self._file.read(n_bytes)
        except OSError as error:
            raise BankaiError(
                f"{self.path} cannot be read ({error.strerror})",
                next_step="Copy it to another medium, or again",
            ) from error

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ---- zip's headers (APPNOTE 4.3) ----------------------------------------------------------------


def _local(path: str, size: int, crc: int) -> bytes:
    name = path.encode()
    fields = (_LOCAL, 10, 0, 0, 0, _DAY, crc, size, size, len(name), 0)
    return struct.pack("<4s5H3L2H", *fields) + name


def _local_bytes(path: str) -> int:
    return 30 + len(path)


def _central(path: str, size: int, crc: int, at: int) -> bytes:
    name = path.encode()
    made_by = 3 << 8 | 10  # Unix: the mode means what it says
    fields = (_CENTRAL, made_by, 10, 0, 0, 0, _DAY, crc, size, size, len(name), 0, 0, 0, 0)
    return struct.pack("<4s6H3L5H2L", *fields, _MODE, at) + name


def _directory(entries: list[bytes], at: int) -> bytes:
    size, n = sum(map(len, entries)), len(entries)
    return b"".join(entries) + struct.pack("<4s4H2LH", _END, 0, 0, n, n, size, at, 0)
