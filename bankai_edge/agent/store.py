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
from dataclasses import replace
from pathlib import Path

from bankai_edge._device import DeviceError
from bankai_edge._facts import NAME_RULE, name_ok
from bankai_edge._link import RC
from bankai_edge.agent.journal import Journal, JournalFile, Stored
from bankai_edge.agent.limits import MAX_PATCH_BYTES, Quota
from bankai_edge.durable import Disk
from bankai_edge.errors import BankaiError

Entry = tuple[str, int, int]  # name, id, bytes
_REASONS = {
    "name": "BAD_NAME",
    "absent": "NO_SUCH_PATCH",
    "full": "NO_SPACE",
    "read_only": "READ_ONLY",
    "damaged": "MALFORMED",
    "io": "IO",
}


class StoreError(BankaiError):
    """The store refused or failed; what it held before, it still holds.

    `reason` says which way: "name", "absent", "full", "read_only", "damaged" or "io".
    `rc` and `detail` are what a device answers for it.
    """

    def __init__(self, reason: str, found: str, *, expected: str = "", next_step: str = "") -> None:
        self.reason = reason
        self.rc, self.detail = RC[_REASONS[reason]], found
        super().__init__(found, expected=expected, next_step=next_step)


class Upload:
    """A file on its way in. Nothing is visible in the store until it is committed.

    `stored` says which bytes came, once all of them are on the medium.
    """

    def __init__(self, disk: Disk, path: Path, name: str) -> None:
        self.path = path
        self.stored: Stored | None = None
        self._disk = disk
        self._name = name
        self._descriptor = disk.create(path)
        self._hash = hashlib.sha256()
        self._size_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Append a chunk; raises StoreError("full", "read_only" or "io")."""
        with _changing("receiving an upload"):
            self._disk.write(self._descriptor, chunk)
        self._hash.update(chunk)
        self._size_bytes += len(chunk)

    def close(self) -> Stored:
        """Force the bytes to the medium, if they are not there yet, and say which they are."""
        if self.stored is None:
            try:
                with _changing("receiving an upload"):
                    self._disk.sync(self._descriptor)
            finally:
                self._release()
            self.stored = Stored(self._name, self._hash.hexdigest(), self._size_bytes)
        return self.stored

    def abandon(self) -> None:
        """Forget the upload. What cannot be deleted now is deleted at the next start."""
        self._release()
        with contextlib.suppress(OSError):
            if self.path.exists():
                self._disk.remove(self.path)

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Store:
    """The patches of one device and its journal: a `_device.StorePort`.

    One process at a time: the directory is locked. `limits` may be changed at any time. `note` is
    told, in one sentence each, what had to be repaired at start or is less durable.
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
        self.limits = quota or Quota()
        self._note = note
        self._patches = root / "patches"
        self._tmp = root / "tmp"
        self.root = root
        self._upload: Upload | None = None
        self._ids: dict[Stored, int] = {}
        self._sorted: tuple[Journal | None, list[str]] = (None, [])
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

    def quota(self) -> tuple[int, int, int]:
        """What the operator allows: patches, bytes of one, bytes of all."""
        return self.limits.patches, MAX_PATCH_BYTES, self.limits.total_bytes

    def names(self) -> list[str]:
        """The stored patches' names, sorted."""
        if self._sorted[0] is not self.journal:
            self._sorted = self.journal, sorted(self.journal.patches)
        return self._sorted[1]

    def at(self, index: int) -> Entry | None:
        """Name, id and bytes of the patch at `index` in the order of names."""
        names = self.names()
        return self.find(names[index]) if index < len(names) else None

    def find(self, name: str) -> Entry | None:
        """The same of the stored patch of a name."""
        stored = self.journal.patches.get(name)
        return None if stored is None else (name, self._id(stored), stored.size_bytes)

    def by_id(self, ident: int) -> Entry | None:
        """The same of the patch of an id, while the journal needs it."""
        stored = self._of(ident)
        needed = stored is not None and stored.file_name in self.journal.files
        return (stored.name, ident, stored.size_bytes) if stored and needed else None

    def sets(self) -> tuple[Sequence[int], Sequence[int], int]:
        """The active and the previous set, and the starts counted."""
        journal = self.journal
        return [*map(self._id, journal.active)], [*map(self._id, journal.previous)], journal.starts

    def sequence(self, name: str) -> int | None:
        """The highest sequence number that a name has had."""
        return self.journal.sequences.get(name)

    def read(self, what: int | str | Stored) -> bytes:
        """The bytes of a name, or of a member of a set; raises StoreError.

        Its reason is "absent", "io", or "damaged" when the disk holds other bytes.
        """
        if isinstance(what, int):
            stored = self._of(what)
        else:
            stored = self.journal.patches.get(what) if isinstance(what, str) else what
        if stored is None:
            raise StoreError("absent", f"no patch {what!r} in the store")
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

    def begin(self, name: str, size_bytes: int) -> None:
        """Start an upload, dropping any unfinished one; raises StoreError.

        "full" when the disk has no room for it, beside what stays free for the journal and others.
        """
        if not name_ok(name):
            raise StoreError("name", f"{name!r} is not a patch name", expected=NAME_RULE)
        self.abort()
        with _changing("looking for room"):
            self._refuse_read_only()
            free = self._disk.free_bytes(self.root) - self.limits.spare_bytes
        if size_bytes > free:
            raise StoreError(
                "full",
                f"the store is full: the disk has room for {max(0, free)} bytes, "
                f"{name} needs {size_bytes}",
                next_step="Remove a patch with bankai-edge rm NAME, then push again.",
            )
        with _changing("starting an upload"):
            self._upload = Upload(self._disk, self._tmp / "upload", name)

    def append(self, chunk: bytes) -> None:
        """Add to the upload; raises StoreError("full", "read_only" or "io")."""
        self._open_upload().write(chunk)

    def abort(self) -> None:
        """Drop the upload, if one is open."""
        if self._upload is not None:
            self._upload.abandon()
            self._upload = None

    def pending(self) -> bytes:
        """All of the upload's bytes, forced to the medium."""
        upload = self._open_upload()
        upload.close()
        with _changing("receiving an upload"):
            return upload.path.read_bytes()

    def commit(self, sequence: int | None = None) -> int:
        """Move the upload into the store, replacing what had its name; returns the id.

        Where its name is active, its new bytes are from this instant, and the previous set is the
        present one with the old. `sequence` is remembered as the highest of that name.
        """
        upload = self._open_upload()
        stored = upload.close()
        before = self.journal
        active = tuple(stored if old.name == stored.name else old for old in before.active)
        after = replace(
            before,
            patches={**before.patches, stored.name: stored},
            active=active,
            previous=before.previous if active == before.active else before.active,
            starts=before.starts if active == before.active else 0,
        )
        if sequence is not None:
            highest = max(sequence, after.sequences.get(stored.name, 0))
            after = replace(after, sequences={**after.sequences, stored.name: highest})
        try:
            with _changing(f"storing {stored.name}"):
                self._refuse_read_only()
                self._disk.rename(upload.path, self._patches / stored.file_name)
                self._disk.sync_directory(self._patches)
                self._file.commit(after)
        finally:
            self._clean({*before.files, stored.file_name})
        return self._id(stored)

    def remove(self, name: str, forget: bool = True) -> None:
        """Delete a patch; raises StoreError("full", "read_only" or "io").

        The previous set keeps its bytes for as long as it is the previous set. Without `forget`,
        its sequence number is still remembered as the highest of its name.
        """
        before = self.journal
        left = {key: stored for key, stored in before.patches.items() if key != name}
        numbers = {key: n for key, n in before.sequences.items() if not (forget and key == name)}
        self._change(f"removing {name}", replace(before, patches=left, sequences=numbers))

    def use(self, ids: Sequence[int], gave_way: bool = False) -> None:
        """Note a new active set, and the one to roll back to: the present one, unless it gave way.

        Members that were replaced or removed since are stored again under their names. Raises
        StoreError("full", "read_only" or "io"); the journal is then as before.
        """
        before, active = self.journal, self._members(ids)
        self._change(
            "writing the journal",
            replace(
                before,
                patches={**before.patches, **{member.name: member for member in active}},
                active=active,
                previous=() if gave_way else before.active,
                starts=0,
            ),
        )

    def count_start(self) -> None:
        """Count a start with the active set: raises StoreError when that cannot be noted."""
        self._change("counting a start", replace(self.journal, starts=self.journal.starts + 1))

    def settle(self) -> None:
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

    def _open_upload(self) -> Upload:
        if self._upload is None:
            raise DeviceError(RC["BAD_OFFSET"], "no upload is open")
        return self._upload

    def _id(self, stored: Stored) -> int:
        return self._ids.setdefault(stored, len(self._ids) + 1)

    def _of(self, ident: int) -> Stored | None:
        return next((stored for stored, known in self._ids.items() if known == ident), None)

    def _members(self, ids: Sequence[int]) -> tuple[Stored, ...]:
        known = {ident: stored for stored, ident in self._ids.items()}
        return tuple(known[ident] for ident in ids)

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
                if _version(path) and path.name not in self.journal.files
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
            match = _version(path)
            data = path.read_bytes() if match else b""
            digest = hashlib.sha256(data).hexdigest()
            if match and digest.startswith(match[2]):
                found[match[1]] = Stored(match[1], digest, len(data))
        return found


def _version(path: Path) -> re.Match[str] | None:
    """The name and the hash in a file's name; None for a file that no store wrote."""
    match = re.fullmatch(r"(.+)\.([0-9a-f]{32})\.bkp", path.name)
    return match if match and name_ok(match[1]) else None


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
