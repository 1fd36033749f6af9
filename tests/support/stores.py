"""A patch store filled, changed and looked at."""

from __future__ import annotations

from pathlib import Path

from bankai_edge.agent.journal import SLOTS, Journal, read_record
from bankai_edge.agent.limits import Quota
from bankai_edge.agent.store import Store

State = tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes], dict[str, int]]


def peek(root: Path) -> Journal:
    """The journal of a store that another process may have open; empty when there is none."""
    return max((read_record(root / slot) for slot in SLOTS), key=lambda record: record[0])[1]


def put(store: Store, name: str, data: bytes, sequence: int | None = None) -> None:
    store.begin(name, len(data))
    try:
        store.append(data)
        store.pending()
        store.commit(sequence)
    finally:
        store.abort()


def use(store: Store, *names: str) -> None:
    store.use([found[1] for name in names if (found := store.find(name))])


def rollback(store: Store) -> None:
    store.use(store.sets()[1])


def content(store: Store) -> State:
    """Stored, active and previous patches with their bytes, and the sequence numbers."""
    journal = store.journal
    return (
        {name: store.read(name) for name in store.names()},
        {member.name: store.read(member) for member in journal.active},
        {member.name: store.read(member) for member in journal.previous},
        dict(journal.sequences),
    )


def state(root: Path) -> State:
    """What an agent that starts on this directory finds, which leaves nothing needless there."""
    notes: list[str] = []
    store = Store(root, note=notes.append)
    try:
        assert notes == []
        assert list((root / "tmp").iterdir()) == []
        assert {path.name for path in (root / "patches").iterdir()} == store.journal.files
        return content(store)
    finally:
        store.close()


def fill(root: Path) -> None:
    store = Store(root, quota=Quota(spare_bytes=0))
    put(store, "arith", b"old bytes")
    put(store, "units", b"units")
    use(store, "units")
    use(store, "arith")
    store.close()
