"""What a bundle says about itself: one strict JSON, whose bytes name the bundle and are signed.

A manifest has one encoding only, so that it can be compared, hashed and signed as bytes. It lists
every other file of the bundle with its size and SHA-256. Standard library only: this file travels
in the bundle and runs on a bare system.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bankai_edge.errors import IncompatibleError

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
UNIT = "bankai-edge-agent.service"
MAX_MANIFEST_BYTES = 1 << 20
MAX_BYTES = (1 << 32) - (64 << 20)  # of a whole bundle: zip's plain form ends at 4 GiB
POLICIES = ("open", "warn", "require")
# No part starts with a dot, so that none is hidden or climbs.
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_PYTHON = re.compile(r"3\.[0-9]{1,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Member(NamedTuple):
    """One file of a bundle; `sha256` is in hex."""

    path: str
    size_bytes: int
    sha256: str


class ModelEntry(NamedTuple):
    """The model: its file's path in the bundle, its name, its id in hex, the context it serves."""

    path: str
    name: str
    id: str
    ctx: int


@dataclass(frozen=True)
class Manifest:
    """A bundle's contents. Paths are those of `files`, which stand in the order of the container.

    `pythons` gives, for each CPython as "3.11", the wheels to unpack; `glibc` is the oldest minor
    version 2.x that they run on, 0 when they hold no compiled module; `agent` are further arguments
    of the device's agent.
    """

    version: str
    board: str
    machine: str
    glibc: int
    pythons: Mapping[str, tuple[str, ...]]
    model: ModelEntry
    patches: tuple[str, ...]
    keys: tuple[str, ...]
    policy: str
    agent: tuple[str, ...]
    files: tuple[Member, ...]

    def encode(self) -> bytes:
        """The one encoding."""
        fields: dict[str, Any] = {
            "format": FORMAT,
            "version": self.version,
            "board": self.board,
            "machine": self.machine,
            "glibc": self.glibc,
            "pythons": {python: list(wheels) for python, wheels in self.pythons.items()},
            "model": list(self.model),
            "patches": list(self.patches),
            "keys": list(self.keys),
            "policy": self.policy,
            "agent": list(self.agent),
            "files": [list(file) for file in self.files],
        }
        return json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n"

    @property
    def id(self) -> str:
        """The start of the manifest's SHA-256, in hex: one for each content of a bundle."""
        return hashlib.sha256(self.encode()).hexdigest()[:16]

    def member(self, path: str) -> Member:
        """One file; raises KeyError when there is none of that path."""
        for file in self.files:
            if file.path == path:
                return file
        raise KeyError(path)


def parse(data: bytes, what: str) -> Manifest:
    """Read a manifest; raises IncompatibleError (exit 4) unless it is one, to the byte.

    `what` is what to call the bundle in an error.
    """
    try:
        fields = json.loads(data)
        version = fields["format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise damaged(what, "its manifest cannot be read") from None
    if version != FORMAT:
        raise IncompatibleError(
            f"{what} is of format {version!r}",
            expected=f"format {FORMAT}",
            next_step=f"Install it with what made it, or run it by itself: python3 {what}",
        )
    try:
        manifest = _decode(fields)
        if manifest.encode() == data:
            return manifest
        problem = "its manifest is not as it was written"
    except (KeyError, TypeError, ValueError) as error:
        problem = f"its manifest is wrong ({error})"
    raise damaged(what, problem)


def damaged(what: str, problem: str) -> IncompatibleError:
    """The error of a bundle that is not whole."""
    return IncompatibleError(
        f"{what} is damaged: {problem}", next_step="Copy it again from where it was made"
    )


def _decode(fields: Mapping[str, Any]) -> Manifest:
    model = fields["model"]
    manifest = Manifest(
        version=_text(fields["version"]),
        board=_text(fields["board"]),
        machine=_text(fields["machine"]),
        glibc=_count(fields["glibc"]),
        pythons={python: _texts(wheels) for python, wheels in fields["pythons"].items()},
        model=ModelEntry(_text(model[0]), _text(model[1]), _text(model[2]), _count(model[3])),
        patches=_texts(fields["patches"]),
        keys=_texts(fields["keys"]),
        policy=_text(fields["policy"]),
        agent=_texts(fields["agent"]),
        files=tuple(Member(_text(p), _count(n), _text(h)) for p, n, h in fields["files"]),
    )
    check(manifest)
    return manifest


def check(manifest: Manifest) -> None:
    """Raise ValueError for what no bundle may say: paths that climb, files that are not there."""
    paths = {file.path for file in manifest.files}
    _all("path", paths, _PATH)
    _all("hash", (file.sha256 for file in manifest.files), _SHA256)
    _all("Python", manifest.pythons, _PYTHON)
    if len(paths) != len(manifest.files) or paths & {MANIFEST, SIGNATURE}:
        raise ValueError("a path twice")
    named = [UNIT, manifest.model.path, *manifest.patches, *manifest.keys]
    for path in named + [wheel for wheels in manifest.pythons.values() for wheel in wheels]:
        if path not in paths:
            raise ValueError(f"{path!r} is not among the files")
    if manifest.policy not in POLICIES:
        raise ValueError(f"policy {manifest.policy!r}")
    if sum(file.size_bytes for file in manifest.files) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")


def _all(what: str, texts: Iterable[str], form: re.Pattern[str]) -> None:
    for text in texts:
        if not form.fullmatch(text):
            raise ValueError(f"{what} {text!r}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list")
    return tuple(_text(value) for value in values)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value
