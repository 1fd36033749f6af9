"""A file system whose power can be cut at any operation, and what may be left on it then.

Reads go to a real directory, which holds what a running system sees. Beside it stand the files and
directories as they are on the medium, and every change since: a cut may keep or lose each of them,
in any combination, only not two changes of one name in the wrong order. That is less than any file
system promises. (sim_disk.py does the same for one flat directory.)
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from support.sim_disk import CutDisk, Fate, surviving

PIECE = 512  # bytes that a torn write leaves written, or as zeros
HALVES = 2


@dataclass(eq=False)
class File:
    """Bytes on the medium, and those appended since."""

    mode: int
    durable: bytes = b""
    pending: list[bytes] = field(default_factory=list)

    def survive(self, fate: Fate, rng: random.Random) -> bytes:
        if fate == "lost":
            return self.durable
        written = b"".join(self.pending)
        if fate == "kept" or rng.random() < 0.3:
            return self.durable + written
        pieces = [written[at : at + PIECE] for at in range(0, len(written), PIECE)]
        torn = b"".join(p if rng.random() < 0.5 else bytes(len(p)) for p in pieces)
        return self.durable + torn[: rng.randint(0, len(torn))]


@dataclass(eq=False)
class Link:
    text: str


@dataclass(eq=False)
class Directory:
    """Entries as seen, those on the medium, and the changes between; None: deleted."""

    entries: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[str, Node | None]] = field(default_factory=list)

    def put(self, name: str, node: Node | None) -> None:
        if node is None:
            del self.entries[name]
        else:
            self.entries[name] = node
        self.pending.append((name, node))

    def settle(self) -> None:
        self.durable, self.pending = dict(self.entries), []

    def survive(self, fate: Fate, rng: random.Random) -> dict[str, Node]:
        return surviving(self.durable, self.pending, fate, rng)


Node = File | Link | Directory


class SimTree(CutDisk):
    """After a cut, `restart` makes the tree below `root` what the medium holds."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self._open: dict[int, File] = {}
        self._tree = Directory()
        self.adopt()

    def adopt(self) -> None:
        """Take what lies in the real directory for what is on the medium."""
        self._tree = _adopted(self.root)

    def restart(self, names: Fate, data: Fate, rng: random.Random) -> None:
        """Power is back: what is left is what the fates of names and bytes make of it."""
        for descriptor in self._open:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._open, self._dead, self._cut_at = {}, False, None
        shutil.rmtree(self.root)
        _build(self._tree, self.root, names, data, rng)
        self.adopt()

    # -- operations ----------------------------------------------------------------------------

    def make_directory(self, path: Path) -> None:
        super().make_directory(path)
        self._parent(path).put(path.name, Directory())

    def create_new(self, path: Path, mode: int = 0o644) -> int:
        descriptor = super().create_new(path, mode)
        self._open[descriptor] = file = File(mode)
        self._parent(path).put(path.name, file)
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        if not self._dead and self.count == self._cut_at:
            self._open[descriptor].pending.append(data[: len(data) // HALVES])
        super().write(descriptor, data)
        self._open[descriptor].pending.append(data)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        del self._open[descriptor]

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self._parent(target).put(target.name, self._parent(source).entries[source.name])

    def symlink(self, text: str, path: Path) -> None:
        super().symlink(text, path)
        self._parent(path).put(path.name, Link(text))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        node = self._parent(source).entries[source.name]
        self._parent(target).put(target.name, node)
        self._parent(source).put(source.name, None)

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._parent(path).put(path.name, None)

    def remove_directory(self, path: Path) -> None:
        super().remove_directory(path)
        self._parent(path).put(path.name, None)

    def sync_all(self) -> None:
        self.step()
        _settle(self._tree)

    def sync_directory(self, path: Path) -> None:
        self.step()
        self._directory(path).settle()

    def free_bytes(self, path: Path) -> int:
        return 1 << 40

    def _parent(self, path: Path) -> Directory:
        return self._directory(path.parent)

    def _directory(self, path: Path) -> Directory:
        node: Node = self._tree
        for name in path.relative_to(self.root).parts:
            assert isinstance(node, Directory)
            node = node.entries[name]
        assert isinstance(node, Directory)
        return node


def _settle(directory: Directory) -> None:
    directory.settle()
    for node in directory.entries.values():
        if isinstance(node, Directory):
            _settle(node)
        elif isinstance(node, File):
            node.durable, node.pending = node.durable + b"".join(node.pending), []


def _adopted(path: Path) -> Directory:
    directory = Directory()
    for entry in path.iterdir():
        if entry.is_symlink():
            node: Node = Link(str(entry.readlink()))
        elif entry.is_dir():
            node = _adopted(entry)
        else:
            node = File(entry.stat().st_mode & 0o777, entry.read_bytes())
        directory.entries[entry.name] = node
    directory.settle()
    return directory


def _build(directory: Directory, path: Path, names: Fate, data: Fate, rng: random.Random) -> None:
    path.mkdir()
    for name, node in directory.survive(names, rng).items():
        if isinstance(node, Link):
            (path / name).symlink_to(node.text)
        elif isinstance(node, Directory):
            _build(node, path / name, names, data, rng)
        else:
            (path / name).write_bytes(node.survive(data, rng))
            (path / name).chmod(node.mode)
