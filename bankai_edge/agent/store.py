"""The patch store: a directory that is, at every instant, the old state or the new one, whole.

    DIR/patches/NAME.bkp    what was uploaded, checked and accepted
    DIR/tmp/                uploads under way and files about to be renamed; emptied at start
    DIR/journal.json        the active set and the one before it

Every change is: write a temporary, fsync, rename, fsync the directory. All of it goes through one
`Disk`, so that a test can count the operations and fail any of them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bankai_edge.errors import BankaiError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
SUFFIX = ".bkp"
JOURNAL_VERSION = 1


class StoreError(BankaiError):
    """The store refused or failed; what it held before, it still holds.

    `reason` says which way: "name", "absent", "active", "full" or "io".
    """

    def __init__(self, reason: str, found: str, *, expected: str = "", next_step: str = "") -> None:
        self.reason = reason
        super().__init__(found, expected=expected, next_step=next_step)


class Disk:
    """The file-system operations a store makes, one method each."""

    def create(self, path: Path) -> int:
        """Create (or empty) a file for writing; return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Force a file's bytes to the medium."""
        os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, at once."""
        source.rename(target)

    def remove(self, path: Path) -> None:
        """Delete a file."""
        path.unlink()

    def sync_directory(self, path: Path) -> None:
        """Force a directory's entries to the medium."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Journal:
    """What is to be active after a restart, and what was before the last change."""

    active: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()


def check_name(name: str) -> str:
    """Return `name` when it may name a patch; raises StoreError("name")."""
    if not NAME.fullmatch(name):
        raise StoreError(
            "name",
            f"{name!r} is not a patch name",
            expected="1 to 32 of a-z 0-9 . _ - and no slash, beginning with a letter or digit",
        )
    return name


class Upload:
    """A file on its way in. Nothing is visible in the store until `Store.commit`."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._descriptor = disk.create(path)

    def write(self, chunk: bytes) -> None:
        """Append a chunk; raises StoreError("full" or "io")."""
        try:
            self._disk.write(self._descriptor, chunk)
        except OSError as error:
            raise _failed("receiving an upload", error) from error

    def close(self) -> Path:
        """Force the bytes to the medium and return where they lie."""
        try:
            self._disk.sync(self._descriptor)
        except OSError as error:
            raise _failed("receiving an upload", error) from error
        finally:
            self._release()
        return self._path

    def abandon(self) -> None:
        """Forget the upload. What cannot be deleted now is deleted at the next start."""
        self._release()
        with contextlib.suppress(OSError):
            self._disk.remove(self._path)

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Store:
    """The patches of one device and its journal. One process at a time: the directory is locked.

    `note` is told, in one sentence each, what had to be repaired at start or is less durable.
    """

    def __init__(
        self,
        root: Path,
        disk: Disk | None = None,
        *,
        note: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._disk = disk or Disk()
        self._note = note
        self._patches = root / "patches"
        self._tmp = root / "tmp"
        self._journal_path = root / "journal.json"
        self.root = root
        try:
            for directory in (root, self._patches, self._tmp):
                directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(
                "io",
                f"the store {root} cannot be opened: {error.strerror}",
                next_step="Give --store a directory that this user may write.",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StoreError(
                "io",
                f"the store {root} is in use by another agent",
                next_step="Stop that agent, or give this one another --store.",
            ) from error
        self._sweep()
        self._journal = self._load()

    def close(self) -> None:
        """Give the directory back."""
        os.close(self._lock)

    # -- what is there -------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The recorded active set and the one before it."""
        return self._journal

    def names(self) -> list[str]:
        """The stored patches' names, sorted."""
        found = (path.name.removesuffix(SUFFIX) for path in self._patches.glob("*" + SUFFIX))
        return sorted(name for name in found if NAME.fullmatch(name))

    def __contains__(self, name: str) -> bool:
        return NAME.fullmatch(name) is not None and self._path(name).is_file()

    def read(self, name: str) -> bytes:
        """A stored patch's bytes; raises StoreError("name", "absent" or "io")."""
        check_name(name)
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            have = ", ".join(self.names()) or "it is empty"
            raise StoreError(
                "absent", f"no patch {name!r} in the store", expected=f"one of: {have}"
            ) from None
        except OSError as error:
            raise _failed(f"reading {name}", error) from error

    # -- changes -------------------------------------------------------------------------------

    def begin(self) -> Upload:
        """Start an upload, dropping any unfinished one; raises StoreError("full" or "io")."""
        try:
            return Upload(self._disk, self._tmp / "upload")
        except OSError as error:
            raise _failed("starting an upload", error) from error

    def commit(self, name: str, finished: Path) -> None:
        """Move a finished upload into the store as `name`, replacing what had that name."""
        check_name(name)
        try:
            self._disk.rename(finished, self._path(name))
        except OSError as error:
            raise _failed(f"storing {name}", error) from error
        self._settle(self._patches)

    def remove(self, name: str) -> None:
        """Delete a patch; raises StoreError("absent", "active" or "io")."""
        check_name(name)
        if name not in self:
            self.read(name)
        if name in self._journal.active:
            raise StoreError(
                "active",
                f"{name} is active",
                next_step="Switch it off first: bankai-edge off, or use with the others.",
            )
        try:
            self._disk.remove(self._path(name))
        except OSError as error:
            raise _failed(f"removing {name}", error) from error
        self._settle(self._patches)

    def record(self, active: Sequence[str], previous: Sequence[str] | None = None) -> None:
        """Write the journal: a new active set, and the one to roll back to (the present one).

        Raises StoreError("full" or "io"); the journal is then as before.
        """
        journal = Journal(
            tuple(active), self._journal.active if previous is None else tuple(previous)
        )
        fields = {
            "version": JOURNAL_VERSION,
            "active": list(journal.active),
            "previous": list(journal.previous),
        }
        temporary = self._tmp / "journal"
        try:
            descriptor = self._disk.create(temporary)
            try:
                self._disk.write(descriptor, json.dumps(fields).encode() + b"\n")
                self._disk.sync(descriptor)
            finally:
                os.close(descriptor)
            self._disk.rename(temporary, self._journal_path)
        except OSError as error:
            raise _failed("writing the journal", error) from error
        self._journal = journal
        self._settle(self.root)

    def _settle(self, directory: Path) -> None:
        # The change has happened and cannot be undone: a failing sync only means that a power cut
        # soon after may bring the old state back, whole.
        try:
            self._disk.sync_directory(directory)
        except OSError as error:
            self._note(f"a change of {directory} may not outlast a power cut: {error.strerror}")

    # -- at start ------------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        return self._patches / (name + SUFFIX)

    def _sweep(self) -> None:
        for leftover in self._tmp.iterdir():
            try:
                self._disk.remove(leftover)
            except OSError as error:
                self._note(f"leftover {leftover.name} stays: {error.strerror}")

    def _load(self) -> Journal:
        try:
            fields = json.loads(self._journal_path.read_bytes())
            active, previous = fields["active"], fields["previous"]
            if fields["version"] != JOURNAL_VERSION or not all(
                isinstance(name, str) for name in (*active, *previous)
            ):
                raise ValueError("not a journal of this version")
        except FileNotFoundError:
            return Journal()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._note(f"the journal is unreadable ({error}): nothing is active")
            return Journal()
        return Journal(tuple(active), tuple(previous))


def _failed(doing: str, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            "full",
            f"{doing}: the device's disk is full; the store is as it was",
            next_step="Remove a patch (bankai-edge rm NAME) or free space, then push again.",
        )
    return StoreError(
        "io",
        f"{doing}: {error.strerror or error}; the store is as it was",
        next_step="Check the device's storage.",
    )
