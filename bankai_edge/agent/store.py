"""The patch store: a directory that is, at every instant, the old state or the new one, whole.

    DIR/patches/NAME.HASH.bkp     what was uploaded, checked and accepted; never changed in place
    DIR/tmp/                      uploads under way; emptied at start
    DIR/journal.0, journal.1      which files count, and which are active (journal.py)

A patch's bytes are forced to the medium under a name that says which bytes they are; then the
journal names them, and that one record is the change. What no record needs any more is deleted
afterwards, or at the next start. All of it goes through one `Disk`, so that a test can count the
operations and cut the power at any of them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bankai_edge.agent.journal import Journal, JournalFile, Stored
from bankai_edge.agent.limits import Quota
from bankai_edge.durable import Disk
from bankai_edge.errors import BankaiError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_FILE = re.compile(r"([a-z0-9][a-z0-9._-]{0,31})\.([0-9a-f]{32})\.bkp")


class StoreError(BankaiError):
    """The store refused or failed; what it held before, it still holds.

    `reason` says which way: "name", "absent", "active", "full", "read_only", "damaged" or "io".
    """

    def __init__(self, reason: str, found: str, *, expected: str = "", next_step: str = "") -> None:
        self.reason = reason
        super().__init__(found, expected=expected, next_step=next_step)


@dataclass(frozen=True)
class Finished:
    """A whole upload, on the medium, not yet in the store."""

    path: Path
    sha256: str
    size_bytes: int


class Upload:
    """A file on its way in. Nothing is visible in the store until `Store.commit`."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._descriptor = disk.create(path)
        self._hash = hashlib.sha256()
        self._size_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Append a chunk; raises StoreError("full", "read_only" or "io")."""
        with _changing("receiving an upload"):
            self._disk.write(self._descriptor, chunk)
        self._hash.update(chunk)
        self._size_bytes += len(chunk)

    def close(self) -> Finished:
        """Force the bytes to the medium and say where they lie."""
        try:
            with _changing("receiving an upload"):
                self._disk.sync(self._descriptor)
        finally:
            self._release()
        return Finished(self._path, self._hash.hexdigest(), self._size_bytes)

    def abandon(self) -> None:
        """Forget the upload. What cannot be deleted now is deleted at the next start."""
        self._release()
        with contextlib.suppress(OSError):
            if self._path.exists():
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
        quota: Quota | None = None,
        note: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._disk = disk or Disk()
        self._quota = quota or Quota()
        self._note = note
        self._patches = root / "patches"
        self._tmp = root / "tmp"
        self.root = root
        try:
            for directory in (root, self._patches, self._tmp):
                directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unopened(root, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StoreError(
                "io",
                f"the store {root} is in use by another agent",
                next_step="Stop that agent, or give this one another --store.",
            ) from error
        try:
            self._file = JournalFile(self._disk, root, note)
            self._start()
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError):
                raise _unopened(root, error) from error
            raise

    def close(self) -> None:
        """Give the directory back."""
        self._file.close()
        os.close(self._lock)

    # -- what is there -------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """What is stored, what is active, what was so before the last change."""
        return self._file.journal

    @property
    def read_only(self) -> bool:
        """Whether nothing can be changed."""
        return self._file.read_only

    def names(self) -> list[str]:
        """The stored patches' names, sorted."""
        return sorted(self.journal.patches)

    def __contains__(self, name: str) -> bool:
        return name in self.journal.patches

    def stored(self, name: str) -> Stored:
        """Which bytes a name stands for; raises StoreError("name" or "absent")."""
        check_name(name)
        try:
            return self.journal.patches[name]
        except KeyError:
            have = ", ".join(self.names()) or "it is empty"
            raise StoreError(
                "absent", f"no patch {name!r} in the store", expected=f"one of: {have}"
            ) from None

    def read(self, what: str | Stored) -> bytes:
        """The bytes of a name, or of a member of a set; raises StoreError.

        Its reason is "name", "absent", "io", or "damaged" when the disk holds other bytes.
        """
        stored = self.stored(what) if isinstance(what, str) else what
        try:
            data = (self._patches / stored.file_name).read_bytes()
        except FileNotFoundError:
            data = None
        except OSError as error:
            raise _failed(f"reading {stored.name}", error) from error
        if data is None or hashlib.sha256(data).hexdigest() != stored.sha256:
            raise StoreError(
                "damaged",
                f"the file of {stored.name} is {'gone' if data is None else 'damaged'}",
                next_step="Push the patch again.",
            )
        return data

    # -- changes -------------------------------------------------------------------------------

    def begin(self, name: str, size_bytes: int) -> Upload:
        """Start an upload, dropping any unfinished one; raises StoreError.

        "full" when the quota or the disk has no room for it.
        """
        check_name(name)
        self._make_sure_of_room(name, size_bytes)
        with _changing("starting an upload"):
            return Upload(self._disk, self._tmp / "upload")

    def commit(self, name: str, finished: Finished, sequence: int | None = None) -> Stored:
        """Move a finished upload into the store as `name`, replacing what had that name.

        Where `name` is active, its new bytes are from this instant, and the previous set is the
        present one with the old. `sequence` is remembered as the highest of that name.
        """
        check_name(name)
        stored = Stored(name, finished.sha256, finished.size_bytes)
        before = self.journal
        active = tuple(stored if member.name == name else member for member in before.active)
        after = replace(
            before,
            patches={**before.patches, name: stored},
            active=active,
            previous=before.previous if active == before.active else before.active,
            starts=before.starts if active == before.active else 0,
        )
        if sequence is not None:
            highest = max(sequence, after.sequences.get(name, 0))
            after = replace(after, sequences={**after.sequences, name: highest})
        try:
            with _changing(f"storing {name}"):
                self._refuse_read_only()
                self._disk.rename(finished.path, self._patches / stored.file_name)
                self._disk.sync_directory(self._patches)
                self._file.commit(after)
        finally:
            self._clean({*before.files, stored.file_name})
        return stored

    def remove(self, name: str, *, forget: bool = True) -> None:
        """Delete a patch; raises StoreError("absent", "active", "full", "read_only" or "io").

        The previous set keeps its bytes for as long as it is the previous set. Without `forget`,
        its sequence number is still remembered as the highest of its name.
        """
        self.stored(name)
        before = self.journal
        if name in (member.name for member in before.active):
            raise StoreError(
                "active",
                f"{name} is active",
                next_step="Switch it off first: bankai-edge off, or use with the others.",
            )
        left = {key: stored for key, stored in before.patches.items() if key != name}
        numbers = {key: n for key, n in before.sequences.items() if not (forget and key == name)}
        self._change(f"removing {name}", replace(before, patches=left, sequences=numbers))

    def record(self, active: Sequence[Stored], previous: Sequence[Stored] | None = None) -> None:
        """Note a new active set, and the one to roll back to (the present one).

        Members that were replaced or removed since are stored again under their names. Raises
        StoreError("full", "read_only" or "io"); the journal is then as before.
        """
        before = self.journal
        self._change(
            "writing the journal",
            replace(
                before,
                patches={**before.patches, **{member.name: member for member in active}},
                active=tuple(active),
                previous=before.active if previous is None else tuple(previous),
                starts=0,
            ),
        )

    def starting(self) -> None:
        """Count a start with the active set: raises StoreError when that cannot be noted."""
        self._change("counting a start", replace(self.journal, starts=self.journal.starts + 1))

    def healthy(self) -> None:
        """The active set has started well."""
        self._change("noting a good start", replace(self.journal, starts=0))

    # -- inside --------------------------------------------------------------------------------

    def _change(self, doing: str, after: Journal) -> None:
        before = self.journal
        with _changing(doing):
            self._file.commit(after)
        self._clean(before.files)

    def _clean(self, files: set[str]) -> None:
        """Delete those of `files` that the journal needs no more; what stays goes at a start."""
        if not self._file.on_medium:
            return  # the record that needs them may be the one that a start will find
        for file in sorted(files - self.journal.files):
            with contextlib.suppress(OSError):
                if (self._patches / file).exists():
                    self._disk.remove(self._patches / file)

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def _make_sure_of_room(self, name: str, size_bytes: int) -> None:
        others = [stored for key, stored in self.journal.patches.items() if key != name]
        used = sum(stored.size_bytes for stored in others)
        if len(others) + 1 > self._quota.patches:
            problem = f"{len(others)} patches are stored, and no more than that are allowed"
        elif used + size_bytes > self._quota.total_bytes:
            problem = (
                f"{used} of the {self._quota.total_bytes} bytes allowed are used, "
                f"{name} needs {size_bytes}"
            )
        else:
            with _changing("looking for room"):
                self._refuse_read_only()
                free = self._disk.free_bytes(self.root) - self._quota.spare_bytes
            if size_bytes <= free:
                return
            problem = f"the disk has room for {max(0, free)} bytes, {name} needs {size_bytes}"
        raise StoreError(
            "full",
            f"the store is full: {problem}",
            next_step="Remove a patch with bankai-edge rm NAME, then push again.",
        )

    def _start(self) -> None:
        """Sweep what a predecessor left behind, and begin a journal where there is none."""
        if self.read_only:
            self._note(f"the store {self.root} is read-only")
            return
        if self._file.fresh:
            found = self._salvage()
            if self._file.damaged and found:
                self._note("the journal is unreadable: every patch is kept, none is active")
            self._file.commit(Journal(found))
            for directory in (self.root, self.root.parent):
                self._disk.sync_directory(directory)
        leftovers = [*self._tmp.iterdir()]
        if self._file.on_medium:
            leftovers += (
                path
                for path in self._patches.iterdir()
                if _FILE.fullmatch(path.name) and path.name not in self.journal.files
            )
        for leftover in leftovers:
            try:
                self._disk.remove(leftover)
            except OSError as error:
                self._note(f"leftover {leftover.name} stays: {error.strerror}")

    def _salvage(self) -> dict[str, Stored]:
        """The patches whose files are whole, when no journal names them; the newest of a name."""
        found: dict[str, Stored] = {}
        for path in sorted(self._patches.iterdir(), key=lambda path: path.stat().st_mtime_ns):
            match = _FILE.fullmatch(path.name)
            data = path.read_bytes() if match else b""
            digest = hashlib.sha256(data).hexdigest()
            if match and digest.startswith(match[2]):
                found[match[1]] = Stored(match[1], digest, len(data))
        return found


def check_name(name: str) -> str:
    """Return `name` when it may name a patch; raises StoreError("name")."""
    if not NAME.fullmatch(name):
        raise StoreError(
            "name",
            f"{name!r} is not a patch name",
            expected="1 to 32 of a-z 0-9 . _ - and no slash, beginning with a letter or digit",
        )
    return name


@contextlib.contextmanager
def _changing(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _failed(doing, error) from error


def _unopened(root: Path, error: OSError) -> StoreError:
    return StoreError(
        "io",
        f"the store {root} cannot be opened: {error.strerror}",
        next_step="Give --store a directory that this user may write.",
    )


def _failed(doing: str, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            "full",
            f"{doing}: the device's disk is full; the store is as it was",
            next_step="Remove a patch (bankai-edge rm NAME) or free space, then push again.",
        )
    if error.errno == errno.EROFS:
        return StoreError(
            "read_only",
            f"{doing}: the device's disk is read-only; the store is as it was",
            next_step="Mount it writable on the device.",
        )
    return StoreError(
        "io",
        f"{doing}: {error.strerror or error}; the store is as it was",
        next_step="Check the device's storage.",
    )
