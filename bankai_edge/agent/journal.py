"""The store's journal: the whole truth about a store in one record, replaced in one step.

Two files, `journal.0` and `journal.1`, hold a record each: the newest and the one before. A change
overwrites the older one and forces it to the medium: one write, one sync. A record torn by a power
cut fails its checksum, and the other one counts. A record is a line, then JSON:

    bankai-edge journal 2 GENERATION LENGTH CRC32C

LENGTH is the JSON's in bytes; the CRC is over "GENERATION LENGTH" and the JSON. Bytes behind it are
of older, longer records and mean nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bankai_edge._link import crc32c
from bankai_edge.durable import Disk

VERSION = 2
SLOTS = ("journal.0", "journal.1")
_MAGIC = b"bankai-edge journal"


@dataclass(frozen=True, order=True)
class Stored:
    """One stored file: a patch's name and exactly which bytes. `sha256` is in hex."""

    name: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """Where it lies: the name, for people, and enough of the hash to tell versions apart."""
        return f"{self.name}.{self.sha256[:32]}.bkp"


@dataclass(frozen=True)
class Journal:
    """What a store holds and what is to be active.

    `previous` is the set that was active before the last change, with the bytes it had then.
    `sequences` is the highest sequence number that a trusted signature gave each name. `starts`
    counts starts with this active set since the last one that was healthy.
    """

    patches: Mapping[str, Stored] = field(default_factory=dict)
    active: tuple[Stored, ...] = ()
    previous: tuple[Stored, ...] = ()
    sequences: Mapping[str, int] = field(default_factory=dict)
    starts: int = 0

    @property
    def files(self) -> set[str]:
        """The files that this state needs."""
        needed = (*self.patches.values(), *self.active, *self.previous)
        return {stored.file_name for stored in needed}


class JournalFile:
    """The two slots on a disk.

    `fresh`: none of them held a whole record when opened; `damaged`: but there was something.
    `on_medium`: the newest record is known to outlast a power cut.
    """

    def __init__(self, disk: Disk, root: Path, note: Callable[[str], None]) -> None:
        """Open the slots and read the journal; raises OSError.

        A disk that is read-only gives a journal that cannot be changed.
        """
        self._disk = disk
        self._note = note
        self._paths = [root / slot for slot in SLOTS]
        self.read_only = False
        self._descriptors: list[int] = []
        fresh = not any(path.exists() for path in self._paths)
        try:
            self._descriptors += (disk.open(path) for path in self._paths)
        except OSError as error:
            self.close()
            if error.errno != errno.EROFS:
                raise
            self.read_only = True
        records = [self._readable(path) for path in self._paths]
        self._slot = max((0, 1), key=lambda slot: records[slot][0])
        self._generation, self.journal = records[self._slot]
        self.fresh = self._generation == 0
        self.damaged = self.fresh and not fresh
        self.on_medium = self.fresh or self.read_only or self._settle(root)

    def _readable(self, path: Path) -> tuple[int, Journal]:
        try:
            return read_record(path)
        except OSError as error:
            # What cannot be read now may be whole, and must not be begun anew.
            self._note(f"{path.name} cannot be read ({error.strerror}): nothing can be changed")
            self.read_only = True
            return 0, Journal()

    def close(self) -> None:
        """Close the slots."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def commit(self, journal: Journal) -> None:
        """Replace the journal; raises OSError, and it is then as before."""
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        slot = 1 - self._slot
        record = _encode(self._generation + 1, journal)
        try:
            self._disk.overwrite(self._descriptors[slot], record)
            self._disk.sync(self._descriptors[slot])
        except OSError as error:
            if not self._retracted(slot):
                # A disk that takes the record back neither: it is the one that a start will find.
                self._note(f"a change may not outlast a power cut: {error.strerror}")
                self.on_medium = False
            else:
                raise
        else:
            self.on_medium = True
        self._slot = slot
        self._generation += 1
        self.journal = journal

    def _settle(self, root: Path) -> bool:
        # A predecessor that was killed may have left its last record in the cache alone. The next
        # change overwrites the record before it, so this one has to be on the medium by then.
        try:
            for descriptor in self._descriptors:
                self._disk.sync(descriptor)
            self._disk.sync_directory(root)
        except OSError as error:
            self._note(f"the journal may not outlast a power cut: {error.strerror}")
            return False
        return True

    def _retracted(self, slot: int) -> bool:
        """Spoil a record whose sync failed, so that no start takes it for the newest."""
        with contextlib.suppress(OSError):
            self._disk.overwrite(self._descriptors[slot], bytes(len(_MAGIC)))
            self._disk.sync(self._descriptors[slot])
        try:
            return read_record(self._paths[slot])[0] <= self._generation
        except OSError:
            return True


def _crc(generation: int, body: bytes) -> int:
    return crc32c(body, crc32c(b"%d %d" % (generation, len(body))))


def _encode(generation: int, journal: Journal) -> bytes:
    fields = {
        "patches": [_as_list(stored) for _, stored in sorted(journal.patches.items())],
        "active": [_as_list(stored) for stored in journal.active],
        "previous": [_as_list(stored) for stored in journal.previous],
        "sequences": dict(sorted(journal.sequences.items())),
        "starts": journal.starts,
    }
    body = json.dumps(fields).encode() + b"\n"
    head = b"%d %d %08x\n" % (generation, len(body), _crc(generation, body))
    return b"%s %d %s" % (_MAGIC, VERSION, head) + body


def read_record(path: Path) -> tuple[int, Journal]:
    """A slot's generation and journal; (0, empty) when it holds no whole record. Raises OSError."""
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
        *magic, version, generation, length, crc = head.split(b" ")
        body = rest[: int(length)]
        if b" ".join(magic) != _MAGIC or int(version) != VERSION or int(generation) < 1:
            raise ValueError("not a journal of this version")
        if len(body) != int(length) or int(crc, 16) != _crc(int(generation), body):
            raise ValueError("torn")
        return int(generation), _decode(json.loads(body))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0, Journal()


def _decode(fields: Mapping[str, Any]) -> Journal:
    patches = [Stored(*item) for item in fields["patches"]]
    return Journal(
        {stored.name: stored for stored in patches},
        tuple(Stored(*item) for item in fields["active"]),
        tuple(Stored(*item) for item in fields["previous"]),
        dict(fields["sequences"]),
        int(fields["starts"]),
    )


def _as_list(stored: Stored) -> list[str | int]:
    return [stored.name, stored.sha256, stored.size_bytes]
