"""What an installed version brings along, taken into the store once: patches and trusted keys.

    DIR/patches/*.bkp, DIR/keys/NAME.pub      the seed; a version's own folder (docs/bundle.md)
    STORE/seeded.json                         what of it was taken last

A person's own pushes and keys win: a patch is replaced only while it is still the one that an
earlier seed brought; what was removed since, or revoked, does not come back with every start; and
a key that an earlier seed brought and this one does not is trusted no more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bankai_edge._link import DeviceError
from bankai_edge.agent.journal import Journal
from bankai_edge.agent.refusals import error_text
from bankai_edge.durable import write_atomically
from bankai_edge.errors import BankaiError
from bankai_edge.patch import files
from bankai_edge.patch.bkp import decode
from bankai_edge.patch.keys import PUBLIC, TrustStore, read_public
from bankai_edge.patch.sign import payload_of

RECORD = "seeded.json"


class Uploads(Protocol):
    """How a patch comes in: a device's own way, with all its checks."""

    def upload_begin(self, name: str, total: int) -> None:
        """Start; raises DeviceError."""

    def upload_write(self, name: str, off: int, data: bytes) -> None:
        """Send a piece; raises DeviceError."""

    def upload_finish(self, name: str) -> None:
        """Check it and store it; raises DeviceError."""


@dataclass(frozen=True)
class Seed:
    """One seed: name -> public key in hex, and name -> SHA-256 of the patch's file in hex."""

    keys: Mapping[str, str] = field(default_factory=dict)
    patches: Mapping[str, str] = field(default_factory=dict)


class Seeding:
    """Takes what a folder brings into one store: the keys first, then, with a device, the patches.

    `log` takes one sentence for the operator. Nothing here stops a start: what cannot be taken is
    told, and tried again at the next one.
    """

    def __init__(self, folder: Path, store: Path, log: Callable[[str], None]) -> None:
        self._store = store
        self._log = log
        self._before = recorded(store)
        self._files: dict[str, bytes] = {}
        self._keys: dict[str, str] = {}
        self._taken: dict[str, str] = {}
        for path in sorted((folder / "keys").glob(f"*{PUBLIC}")):
            with self._told():
                self._keys[path.name.removesuffix(PUBLIC)] = read_public(path).hex()
        for path in sorted((folder / "patches").glob("*.bkp")):
            with self._told():
                data = files.read_bytes(path)
                self._files[decode(payload_of(data, str(path)), str(path)).name] = data

    def keys(self, trust: TrustStore) -> None:
        """Trust the seed's keys, and no more those that only the seed before it brought."""
        for name, key in self._before.keys.items():
            ours = trust.trusted().get(name, b"").hex() == key
            if ours and key not in self._keys.values():
                with contextlib.suppress(OSError):
                    (trust.directory / f"{name}{PUBLIC}").unlink()
                    self._log(f"{name} ({key[:16]}) is trusted no more, as this version has it")
        for name, key in self._keys.items():
            if self._before.keys.get(name) == key or key in _hex(trust.trusted()):
                continue
            with self._told():
                trust.trust(name, bytes.fromhex(key))
                self._log(f"{name} ({key[:16]}) is trusted, as this version has it")

    def patches(self, journal: Callable[[], Journal], device: Uploads) -> None:
        """Store the patches as if they were pushed, and note what was taken."""
        for name, data in self._files.items():
            digest, there = hashlib.sha256(data).hexdigest(), journal().patches.get(name)
            known = self._before.patches.get(name)
            if known != digest and not (there and there.sha256 == digest):
                if there and there.sha256 != known:
                    self._log(f"{name} stays as it was pushed; this version brought another")
                elif not self._pushed(name, data, device):
                    continue
            self._taken[name] = digest
        self._record()

    def _pushed(self, name: str, data: bytes, device: Uploads) -> bool:
        try:
            device.upload_begin(name, len(data))
            device.upload_write(name, 0, data)
            device.upload_finish(name)
        except DeviceError as error:
            self._log(f"{name} of this version was not stored: {error_text(error)}")
            return False
        self._log(f"{name} is stored, as this version has it")
        return True

    def _record(self) -> None:
        seed = Seed(self._keys, self._taken)
        if seed == self._before:
            return
        os.sync()  # the keys' files, too, before the record that says they are there
        text = json.dumps({"keys": seed.keys, "patches": seed.patches}, indent=1, sort_keys=True)
        with self._told():
            write_atomically(self._store / RECORD, text.encode() + b"\n")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BankaiError as error:
            self._log(str(error))


def recorded(store: Path) -> Seed:
    """What was taken last; empty when nothing was."""
    try:
        fields = json.loads((store / RECORD).read_text(encoding="utf-8"))
        return Seed(dict(fields["keys"]), dict(fields["patches"]))
    except (OSError, ValueError, TypeError, KeyError):
        return Seed()


def _hex(keys: Mapping[str, bytes]) -> set[str]:
    return {key.hex() for key in keys.values()}
