"""The patch store: the old state or the new one, whole, whatever fails."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bankai_edge.agent.journal import SLOTS
from bankai_edge.agent.limits import Quota
from bankai_edge.agent.store import Store, StoreError
from bankai_edge.durable import Disk
from support import ROOT
from support.disks import FailingDisk
from support.stores import content, fill, put, rollback, state, use


def test_what_is_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "arith", b"one", 7)
    put(store, "units", b"two")
    use(store, "arith")
    use(store, "arith", "units")
    store.close()
    one, both = {"arith": b"one"}, {"arith": b"one", "units": b"two"}
    assert state(tmp_path) == (both, both, one, {"arith": 7})


CHANGES: dict[str, Callable[[Store], None]] = {
    "store a new patch": lambda store: put(store, "home", b"home bytes", 3),
    "overwrite an active patch": lambda store: put(store, "arith", b"new bytes"),
    "overwrite another patch": lambda store: put(store, "units", b"new bytes"),
    "record a set": lambda store: use(store, "units", "arith"),
    "roll back": rollback,
    "remove a patch": lambda store: store.remove("units"),
}


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("change", CHANGES)
def test_a_failure_at_any_operation_leaves_the_old_state_or_the_new(
    tmp_path: Path, change: str, number: int, lasting: bool
) -> None:
    fill(tmp_path / "counted")
    before = state(tmp_path / "counted")
    disk = FailingDisk()
    store = Store(tmp_path / "counted", disk)
    disk.arm(None)
    CHANGES[change](store)
    store.close()
    after = state(tmp_path / "counted")
    assert before != after and disk.count >= 2

    failed = 0
    for fail_at in range(disk.count):
        root = tmp_path / str(fail_at)
        fill(root)
        failing = FailingDisk()
        store = Store(root, failing)
        failing.arm(fail_at, number, lasting)
        told = False
        try:
            CHANGES[change](store)
        except StoreError as error:
            told = True
            reasons = {errno.ENOSPC: "full", errno.EIO: "io", errno.EROFS: "read_only"}
            assert error.reason == reasons[number]
        failing.arm(None)
        in_memory = content(store)
        # and the store goes on
        if told and not lasting:
            CHANGES[change](store)
            assert content(store) == after
            store.close()
            assert state(root) == after
        else:
            store.close()
            assert in_memory == state(root) == (before if told else after)
        failed += told
    assert failed >= 1


def test_a_write_that_fails_is_a_clear_error(tmp_path: Path) -> None:
    disk = FailingDisk()
    store = Store(tmp_path, disk)
    disk.arm(1)
    with pytest.raises(StoreError, match=r"disk is full.*Remove a patch") as caught:
        put(store, "arith", b"bytes")
    assert caught.value.reason == "full"
    assert store.names() == []


def test_a_rollback_brings_back_what_was_replaced_or_removed(tmp_path: Path) -> None:
    fill(tmp_path)
    store = Store(tmp_path)
    put(store, "arith", b"new bytes")  # active: the previous set is now arith with the old ones
    assert content(store)[1:3] == ({"arith": b"new bytes"}, {"arith": b"old bytes"})
    rollback(store)
    assert store.read("arith") == b"old bytes"
    rollback(store)
    assert store.read("arith") == b"new bytes"
    use(store, "units")
    store.remove("arith")
    assert store.names() == ["units"]
    rollback(store)
    assert content(store)[:3] == (
        {"arith": b"new bytes", "units": b"units"},
        {"arith": b"new bytes"},
        {"units": b"units"},
    )
    store.close()
    assert len(list((tmp_path / "patches").iterdir())) == 2


def test_identical_bytes_pushed_again_are_one_file(tmp_path: Path) -> None:
    fill(tmp_path)
    before = state(tmp_path)
    store = Store(tmp_path)
    put(store, "arith", b"old bytes")
    store.close()
    assert state(tmp_path) == before


def test_the_highest_sequence_number_is_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "arith", b"five", 5)
    put(store, "arith", b"none")
    assert store.journal.sequences == {"arith": 5}
    store.remove("arith", forget=False)
    assert store.journal.sequences == {"arith": 5}
    put(store, "arith", b"six", 6)
    store.remove("arith")
    assert store.journal.sequences == {}


@pytest.mark.parametrize(
    "name", ["", "a/b", "../x", ".hidden", "-dash", "UPPER", "a" * 33, "é", "a b", "a\n", "a\0"]
)
def test_a_bad_name_touches_nothing(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="not a patch name"):
        store.begin(name, 1)
    assert store.find(name) is None
    assert store.names() == [] and not list((tmp_path / "tmp").iterdir())


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    fill(tmp_path)
    store = Store(tmp_path)
    assert store.find("home") is None and store.at(2) is None and store.by_id(99) is None
    with pytest.raises(StoreError, match="no patch 'home'"):
        store.read("home")


def test_a_walk_over_the_patches_sorts_them_once(tmp_path: Path) -> None:
    """The device walks by index, for `info` too: it must not take the square of their number."""
    fill(tmp_path)
    store = Store(tmp_path)
    names = store.names()
    for index, name in enumerate(names):
        found = store.at(index)
        assert found is not None and found[0] == name
    assert store.names() is names
    store.remove("units")
    assert store.names() == [name for name in names if name != "units"]
    store.close()


def test_leftovers_of_uploads_are_swept_at_start(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin("arith", 100)
    store.append(b"half of a")
    store.close()
    assert list((tmp_path / "tmp").iterdir())
    (tmp_path / "patches" / f"arith.{'0' * 32}.bkp").write_bytes(b"nobody needs me")
    assert state(tmp_path) == ({}, {}, {}, {})


def spoil(root: Path, how: Callable[[bytes], bytes], slots: Sequence[str] = SLOTS) -> None:
    for slot in slots:
        path = root / slot
        path.write_bytes(how(path.read_bytes()))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "cut": lambda data: data[:-2],
    "a flipped bit": lambda data: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
    "a flipped bit in the head": lambda data: data.replace(b" 2 ", b" 3 ", 1),
    "another generation": lambda data: data.replace(b" 2 ", b" 2 9", 1),
    "no text": lambda data: b"\xff\xfe",
    "JSON": lambda data: json.dumps({"active": ["a"]}).encode(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_never_blocks_the_start(tmp_path: Path, damage: str) -> None:
    fill(tmp_path)
    spoil(tmp_path, DAMAGES[damage])
    notes: list[str] = []
    store = Store(tmp_path, note=notes.append)
    assert store.journal.active == ()
    assert store.names() == ["arith", "units"]
    assert store.read("arith") == b"old bytes"
    assert "journal" in notes[0]
    store.close()
    assert state(tmp_path)[0] == {"arith": b"old bytes", "units": b"units"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damaged_slot_costs_one_change_at_most(tmp_path: Path, damage: str) -> None:
    for index, slot in enumerate(SLOTS):
        root = tmp_path / slot
        fill(root)
        now = state(root)
        spoil(root, DAMAGES[damage], [slot])
        then = state(root)
        newest = index == 1  # of five records, the first one ever included
        assert (then == now) != newest
        assert then[1] in ({"arith": b"old bytes"}, {"units": b"units"})


def test_a_journal_that_cannot_be_read_now_is_not_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    before = state(tmp_path)
    whole = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name in SLOTS:
            raise OSError(errno.EIO, "Input/output error")
        return whole(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", failing)
        notes: list[str] = []
        store = Store(tmp_path, note=notes.append)
        assert "journal.0 cannot be read (Input/output error)" in notes[0]
        assert store.journal.active == ()
        for change in (lambda: store.begin("a", 1), lambda: store.use(())):
            with pytest.raises(StoreError) as caught:
                change()
            assert caught.value.reason == "read_only"
        store.close()
    assert state(tmp_path) == before


def test_a_longer_record_before_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for index in range(30):
        put(store, f"patch-{index}", b"x")
    for index in range(30):
        store.remove(f"patch-{index}")
    store.close()
    assert state(tmp_path) == ({}, {}, {}, {})


def test_a_patch_whose_file_is_gone_or_damaged_is_told(tmp_path: Path) -> None:
    fill(tmp_path)
    store = Store(tmp_path)
    paths = sorted((tmp_path / "patches").iterdir())
    paths[0].unlink()
    paths[1].write_bytes(b"Units")
    for name, problem in (("arith", "gone"), ("units", "damaged")):
        with pytest.raises(StoreError, match=problem) as caught:
            store.read(name)
        assert caught.value.reason == "damaged"
    put(store, "arith", b"old bytes")
    assert store.read("arith") == b"old bytes"


def test_a_full_disk_is_told_before_the_first_byte(tmp_path: Path) -> None:
    class Small(Disk):
        def free_bytes(self, path: Path) -> int:
            return 1000

    store = Store(tmp_path, Small(), quota=Quota(spare_bytes=900))
    store.begin("a", 100)
    store.abort()
    with pytest.raises(StoreError, match="room for 100 bytes, a needs 101") as caught:
        store.begin("a", 101)
    assert caught.value.reason == "full"


ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from bankai_edge.agent.limits import Quota
from bankai_edge.agent.store import Store, StoreError
from support.stores import fill, put, state, use

root = Path(sys.argv[1])
fill(root)
before = state(root)
store = Store(root, quota=Quota(spare_bytes=0))
full = 0
for step in range(400):
    try:
        put(store, f"big-{step}", bytes([step % 251]) * 7000)
        store.remove(f"big-{step - 1}") if step % 3 == 0 and store.find(f"big-{step - 1}") else None
        use(store, "arith", "units") if step % 2 else use(store, "arith")
    except StoreError as error:
        assert error.reason == "full", error
        full += 1
        if full % 5 == 0:
            names = [name for name in store.names() if name.startswith("big")]
            store.remove(names[0])
    assert store.read("arith") == b"old bytes"
assert full > 20, full
store.close()
after = state(root)
assert {name: after[0][name] for name in ("arith", "units")} == before[0]
"""

ON_A_READ_ONLY_DISK = """
import subprocess, sys
from pathlib import Path
from bankai_edge.agent.store import Store, StoreError
from support.stores import fill, content, state

root = Path(sys.argv[1])
fill(root)
before = state(root)
subprocess.run(["mount", "-o", "remount,ro", root.parent], check=True)
notes = []
store = Store(root, note=notes.append)
assert "read-only" in notes[0] and store.read_only
assert content(store) == before
changes = [lambda: store.begin("a", 1), lambda: store.remove("units"), lambda: store.use(()),
           store.count_start]
for change in changes:
    try:
        change()
    except StoreError as error:
        assert error.reason == "read_only", error
    else:
        raise AssertionError("changed")
assert content(store) == before
store.close()
"""


@pytest.mark.parametrize("code", [ON_A_SMALL_DISK, ON_A_READ_ONLY_DISK], ids=["small", "read-only"])
def test_on_a_real_file_system(tmp_path: Path, code: str) -> None:
    """A tmpfs of 192 KB that fills up, or turns read-only under the store."""
    mount = f"mount -t tmpfs -o size=192k none {tmp_path}"
    namespace = ["unshare", "-rm", "sh", "-c"]
    if subprocess.run([*namespace, mount], capture_output=True).returncode:
        pytest.skip("this machine lets no user mount a tmpfs of his own")
    done = subprocess.run(
        [*namespace, f'{mount} && "$1" -c "$2" {tmp_path}/store', "sh", sys.executable, code],
        capture_output=True,
        text=True,
        cwd=ROOT / "tests",
    )
    assert done.returncode == 0, done.stderr


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
