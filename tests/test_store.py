"""The patch store: the old state or the new one, whole, whatever fails."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bankai_edge.agent.store import Disk, Store, StoreError


class FailingDisk(Disk):
    """Fails operation number `fail_at` (from 0), and, like a disk gone bad, all after it."""

    def __init__(self, fail_at: int | None = None, number: int = errno.ENOSPC) -> None:
        self.count = 0
        self.fail_at = fail_at
        self.number = number

    def _step(self) -> None:
        failing = self.fail_at is not None and self.count >= self.fail_at
        self.count += 1
        if failing:
            raise OSError(self.number, "injected")

    def create(self, path: Path) -> int:
        self._step()
        return super().create(path)

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            self._step()
        except OSError:
            super().write(descriptor, data[: len(data) // 2])  # torn
            raise
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._step()
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def sync_directory(self, path: Path) -> None:
        self._step()
        super().sync_directory(path)


def put(store: Store, name: str, data: bytes) -> None:
    upload = store.begin()
    try:
        upload.write(data)
        store.commit(name, upload.close())
    except StoreError:
        upload.abandon()
        raise


def state(root: Path) -> tuple[dict[str, bytes], tuple[str, ...], tuple[str, ...]]:
    """What an agent that starts on this directory finds."""
    notes: list[str] = []
    store = Store(root, note=notes.append)
    try:
        assert notes == []
        assert list((root / "tmp").iterdir()) == []
        content = {name: store.read(name) for name in store.names()}
        return content, store.journal.active, store.journal.previous
    finally:
        store.close()


def test_what_is_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "arith", b"one")
    put(store, "units", b"two")
    store.record(["arith"])
    store.record(["arith", "units"])
    store.close()
    assert state(tmp_path) == (
        {"arith": b"one", "units": b"two"},
        ("arith", "units"),
        ("arith",),
    )


def fill(root: Path) -> None:
    store = Store(root)
    put(store, "arith", b"old bytes")
    put(store, "units", b"units")
    store.record(["arith"])
    store.close()


CHANGES: dict[str, Callable[[Store], None]] = {
    "store a new patch": lambda store: put(store, "home", b"home bytes"),
    "overwrite a patch": lambda store: put(store, "arith", b"new bytes"),
    "record a set": lambda store: store.record(["units"]),
    "remove a patch": lambda store: store.remove("units"),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("change", CHANGES)
def test_a_failure_at_any_operation_leaves_the_old_state_or_the_new(
    tmp_path: Path, change: str, number: int
) -> None:
    fill(tmp_path / "counted")
    before = state(tmp_path / "counted")
    disk = FailingDisk()
    store = Store(tmp_path / "counted", disk)
    disk.count = 0
    CHANGES[change](store)
    store.close()
    after = state(tmp_path / "counted")
    assert before != after and disk.count >= 2

    for fail_at in range(disk.count):
        root = tmp_path / str(fail_at)
        fill(root)
        failing = FailingDisk()
        store = Store(root, failing)
        failing.count, failing.fail_at, failing.number = 0, fail_at, number
        told = False
        try:
            CHANGES[change](store)
        except StoreError as error:
            told = True
            assert error.reason == ("full" if number == errno.ENOSPC else "io")
        in_memory = store.journal.active
        store.close()
        found = state(root)
        assert in_memory == found[1]
        assert found == (before if told else after)


def test_a_write_that_fails_is_a_clear_error(tmp_path: Path) -> None:
    disk = FailingDisk()
    store = Store(tmp_path, disk)
    disk.count, disk.fail_at = 0, 1
    with pytest.raises(StoreError, match=r"disk is full.*Remove a patch") as caught:
        put(store, "arith", b"bytes")
    assert caught.value.reason == "full"
    assert store.names() == []


@pytest.mark.parametrize(
    "name", ["", "a/b", "../x", ".hidden", "-dash", "UPPER", "a" * 33, "é", "a b", "a\n", "a\0"]
)
def test_a_bad_name_touches_nothing(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    upload = store.begin()
    upload.write(b"x")
    with pytest.raises(StoreError, match="not a patch name"):
        store.commit(name, upload.close())
    with pytest.raises(StoreError, match="not a patch name"):
        store.read(name)
    with pytest.raises(StoreError, match="not a patch name"):
        store.remove(name)
    assert name not in store
    assert store.names() == []


def test_an_active_patch_is_not_removed(tmp_path: Path) -> None:
    fill(tmp_path)
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=r"active.*off") as caught:
        store.remove("arith")
    assert caught.value.reason == "active"
    assert store.read("arith") == b"old bytes"


def test_an_absent_patch_says_what_is_there(tmp_path: Path) -> None:
    fill(tmp_path)
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="arith, units"):
        store.read("home")
    with pytest.raises(StoreError, match="no patch 'home'"):
        store.remove("home")


def test_leftovers_of_uploads_are_swept_at_start(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin().write(b"half of a")
    store.close()
    assert list((tmp_path / "tmp").iterdir())
    assert state(tmp_path) == ({}, (), ())


@pytest.mark.parametrize(
    "journal",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        json.dumps({"version": 2, "active": ["a"], "previous": []}).encode(),
        json.dumps({"version": 1, "active": [3], "previous": []}).encode(),
        json.dumps({"version": 1, "active": 3, "previous": []}).encode(),
    ],
)
def test_a_damaged_journal_never_blocks_the_start(tmp_path: Path, journal: bytes) -> None:
    fill(tmp_path)
    (tmp_path / "journal.json").write_bytes(journal)
    notes: list[str] = []
    store = Store(tmp_path, note=notes.append)
    assert store.journal.active == ()
    assert store.names() == ["arith", "units"]
    assert "journal" in notes[0]


def test_two_agents_never_share_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="in use by another agent"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


def test_a_store_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "file" / "store")
