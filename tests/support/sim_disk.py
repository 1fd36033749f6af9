"""A disk whose power can be cut at any operation, and what may be left on it then.

Reads go to a real directory, which holds what a running system sees. Beside it, this disk remembers
what is on the medium: the bytes of synced files, the entries of synced directories, and every write
and entry since, which a cut may keep, lose or tear in any combination. That is less than any file
system promises.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from support.disks import CountedDisk

Fate = Literal["lost", "kept", "random"]
PIECE = 16  # bytes that a torn write leaves written or not


class PowerCut(BaseException):
    """The power is gone. Not an Exception: nothing in the agent may catch it."""


@dataclass(eq=False)
class File:
    """The bytes of a file on the medium, and the writes that are not there yet."""

    durable: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)  # offset, bytes; -1: emptied

    def after(self, writes: list[tuple[int, bytes]]) -> bytes:
        content = bytearray(self.durable)
        for offset, data in writes:
            if offset < 0:
                content.clear()
                continue
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset : offset + len(data)] = data
        return bytes(content)

    def survive(self, fate: Fate, rng: random.Random) -> bytes:
        if fate == "lost":
            return self.durable
        if fate == "kept":
            return self.after(self.pending)
        writes = []
        for offset, data in self.pending:
            whole = rng.random() < 0.3
            if offset < 0:
                writes += [(offset, data)] if whole else []
                continue
            for at in range(0, len(data), PIECE):
                if whole or rng.random() < 0.5:
                    writes.append((offset + at, data[at : at + PIECE]))
        return self.after(writes)


class CutDisk(CountedDisk):
    """Cuts the power before operation `cut_at`, counted from `arm`; a write in its middle."""

    def __init__(self) -> None:
        super().__init__()
        self._cut_at: int | None = None
        self._dead = False

    def arm(self, cut_at: int | None) -> None:
        """Count from here; None: never cut."""
        self.count, self._cut_at = 0, cut_at

    def step(self) -> None:
        if self._dead or self.count == self._cut_at:
            self._dead = True
            raise PowerCut
        super().step()


Name = TypeVar("Name")
Node = TypeVar("Node")


def surviving(
    durable: Mapping[Name, Node],
    changed: Iterable[tuple[Name, Node | None]],
    fate: Fate,
    rng: random.Random,
) -> dict[Name, Node]:
    """The entries of a directory after a cut: the durable ones, and what fate leaves of changes."""
    kept = dict(durable)
    stopped: set[Name] = set()
    for name, node in changed:
        # One entry's changes happen in their order; different entries' in any.
        if name in stopped or fate == "lost":
            continue
        if fate == "random" and rng.random() < 0.5:
            stopped.add(name)
        elif node is None:
            kept.pop(name, None)
        else:
            kept[name] = node
    return kept


class SimDisk(CutDisk):
    """After a cut, `restart` makes the directory what the medium holds."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._names: dict[Path, File] = {}  # as seen
        self._durable: dict[Path, File] = {}  # on the medium
        self._entries: list[tuple[Path, File | None]] = []  # since; None: deleted
        self._open: dict[int, File] = {}
        self._end: dict[int, int] = {}

    def restart(self, names: Fate, data: Fate, rng: random.Random) -> None:
        """Power is back: what is left is what the fates of entries and bytes make of it."""
        kept = surviving(self._durable, self._entries, names, rng)
        content = {path: file.survive(data, rng) for path, file in kept.items()}
        for path in self._names:
            path.unlink(missing_ok=True)
        self.__init__(self._root)  # type: ignore[misc]
        for path, survived in content.items():
            path.write_bytes(survived)
            self._names[path] = self._durable[path] = File(survived)

    def revive(self) -> None:
        """The process was killed, the system runs on: all is as seen, and unsynced as before."""
        self._dead = False
        self._open.clear()

    # -- operations ----------------------------------------------------------------------------

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        if path in self._names:
            self._names[path].pending.append((-1, b""))
        return self._opened(descriptor, path)

    def open(self, path: Path) -> int:
        return self._opened(super().open(path), path)

    def write(self, descriptor: int, data: bytes) -> None:
        self._write(descriptor, self._end[descriptor], data)
        super().write(descriptor, data)
        self._end[descriptor] += len(data)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        self._write(descriptor, 0, data)
        super().overwrite(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.step()
        file = self._open[descriptor]
        file.durable, file.pending = file.after(file.pending), []

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        file = self._names.pop(source)
        self._names[target] = file
        self._entries += [(target, file), (source, None)]

    def remove(self, path: Path) -> None:
        super().remove(path)
        del self._names[path]
        self._entries.append((path, None))

    def sync_directory(self, path: Path) -> None:
        self.step()
        for entry, file in self._entries:
            if entry.parent == path:
                if file is None:
                    self._durable.pop(entry, None)
                else:
                    self._durable[entry] = file
        self._entries = [change for change in self._entries if change[0].parent != path]

    def _opened(self, descriptor: int, path: Path) -> int:
        if path not in self._names:
            self._names[path] = File()
            self._entries.append((path, self._names[path]))
        self._open[descriptor] = self._names[path]
        self._end[descriptor] = 0
        return descriptor

    def _write(self, descriptor: int, offset: int, data: bytes) -> None:
        if not self._dead and self.count == self._cut_at:
            torn = data[: len(data) // 2]
            self._open[descriptor].pending.append((offset, torn))
            os.pwrite(descriptor, torn, offset)
        else:
            self._open[descriptor].pending.append((offset, data))
