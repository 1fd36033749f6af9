"""A store as the device sees it: every patch's bytes under a number of their own."""

from __future__ import annotations

from collections.abc import Sequence

from bankai_edge._device import DeviceError
from bankai_edge._link import RC
from bankai_edge.agent.journal import Stored
from bankai_edge.agent.limits import MAX_PATCH_BYTES, Quota
from bankai_edge.agent.store import Finished, Store, Upload


class Shelf:
    """One Store behind `_device.StorePort`; `quota` may be set while the device runs."""

    def __init__(self, store: Store, quota: Quota) -> None:
        self.store = store
        self.limits = quota
        self._ids: dict[Stored, int] = {}
        self._names: dict[int, Stored] = {}
        self._running: dict[Stored, bytes] = {}
        self._upload: tuple[str, Upload] | None = None
        self._finished: Finished | None = None

    def quota(self) -> tuple[int, int, int]:
        """What the operator allows."""
        return self.limits.patches, MAX_PATCH_BYTES, self.limits.total_bytes

    # -- what is there -------------------------------------------------------------------------

    def at(self, index: int) -> tuple[str, int, int] | None:
        """The stored patch at `index` in the order of names."""
        names = self.store.names()
        return self.find(names[index]) if index < len(names) else None

    def find(self, name: str) -> tuple[str, int, int] | None:
        """The stored patch of a name."""
        stored = self.store.journal.patches.get(name)
        return stored and (name, self._id(stored), stored.size_bytes)

    def by_id(self, ident: int) -> tuple[str, int, int] | None:
        """The patch of an id, while the journal needs it."""
        stored = self._names.get(ident)
        if stored is None or stored.file_name not in self.store.journal.files:
            return None
        return stored.name, ident, stored.size_bytes

    def read(self, ident: int) -> bytes:
        """Its bytes: from memory while it is active, and whatever has become of its file."""
        stored = self._names[ident]
        active = stored in self.store.journal.active
        if not active or stored not in self._running:
            self._running = {
                key: data for key, data in self._running.items() if key in self.store.journal.active
            } | {stored: self.store.read(stored)}
        return self._running[stored]

    def sets(self) -> tuple[Sequence[int], Sequence[int], int]:
        """(active, previous, starts counted) as the journal has them."""
        journal = self.store.journal
        active, previous = (
            [self._id(stored) for stored in members]
            for members in (journal.active, journal.previous)
        )
        return active, previous, journal.starts

    def sequence(self, name: str) -> int | None:
        """The highest sequence number that a name has had."""
        return self.store.journal.sequences.get(name)

    def _id(self, stored: Stored) -> int:
        ident = self._ids.setdefault(stored, len(self._ids) + 1)
        self._names[ident] = stored
        return ident

    # -- changes -------------------------------------------------------------------------------

    def begin(self, name: str, size_bytes: int) -> None:
        """Start an upload, dropping one that is open."""
        self.abort()
        self._upload = name, self.store.begin(name, size_bytes)

    def append(self, chunk: bytes) -> None:
        """Add to it."""
        self._open()[1].write(chunk)

    def abort(self) -> None:
        """Drop it, if one is open."""
        if self._upload is not None:
            self._upload[1].abandon()
        self._upload = self._finished = None

    def pending(self) -> bytes:
        """All of its bytes, forced to the medium."""
        if self._finished is None:
            self._finished = self._open()[1].close()
        return self._finished.path.read_bytes()

    def commit(self, sequence: int | None) -> int:
        """Make it the patch of its name; returns the id."""
        assert self._finished is not None
        return self._id(self.store.commit(self._open()[0], self._finished, sequence))

    def use(self, ids: Sequence[int], gave_way: bool) -> None:
        """Record a new active set; what gave way has no place in the journal any more."""
        wanted = [self._names[ident] for ident in ids]
        self.store.record(wanted, () if gave_way else None)

    def remove(self, name: str, forget: bool) -> None:
        """Delete a patch."""
        self.store.remove(name, forget=forget)

    def count_start(self) -> None:
        """Count a start with the active set."""
        self.store.starting()

    def settle(self) -> None:
        """The active set has started well."""
        self.store.healthy()

    def _open(self) -> tuple[str, Upload]:
        if self._upload is None:
            raise DeviceError(RC["BAD_OFFSET"], "no upload is open")
        return self._upload
