"""The agent's device: weights, journal and files stay in step, whatever fails or interleaves."""

from __future__ import annotations

import errno
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from bankai_edge._device import DeviceError
from bankai_edge._link import RC
from bankai_edge._patch import Patch
from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.limits import MAX_PATCH_BYTES
from bankai_edge.agent.store import Store
from bankai_edge.errors import BankaiError
from bankai_edge.model import Model, Session
from bankai_edge.patch import decode, encode
from support.agents import COMMAND, HERE, Agent, bankai, make_patch
from support.direct import Direct
from support.disks import FailingDisk

Mode = Literal["overlay", "in-place"]
PROMPT = "what is 17 plus 25?"


class SpySession(Session):
    """A session that remembers which bytes it was last told to use."""

    used: tuple[bytes, ...] = ()

    def use(self, patches: Sequence[bytes | Patch], *, allow_unbound: bool = False) -> int:
        took_ns = super().use(patches, allow_unbound=allow_unbound)
        self.used = tuple(map(bytes, patches))
        return took_ns


class Rig:
    """A device over a real model and a disk that can be made to fail."""

    def __init__(self, nano: Path, root: Path, mode: Mode) -> None:
        self.model = Model(nano, writable=mode == "in-place")
        self.pristine = Model(nano)
        self.session = SpySession(self.model, mode=mode)
        self.disk = FailingDisk()
        self.store = Store(root, self.disk)
        self.log: list[str] = []
        self.agent = AgentDevice(
            self.session, self.store, log=self.log.append, on_reset=lambda: None
        )
        self.device = Direct(self.agent)

    def push(self, name: str, data: bytes) -> None:
        self.agent.push(name, data)

    def in_step(self) -> tuple[str, ...]:
        """Assert that weights, journal, files and report agree; return the active set."""
        journal = self.store.journal
        active = tuple(member.name for member in journal.active)
        assert self.session.used == tuple(self.store.read(name) for name in active)
        assert journal.active == tuple(self.store.journal.patches[name] for name in active)
        assert self.device.info()["active"] == list(active)
        assert self.session.weights_intact()
        return active

    def stored(self) -> dict[str, bytes]:
        return {name: self.store.read(name) for name in self.store.names()}

    def answer(self) -> str:
        self.device.generate(PROMPT, 24)
        return self.rest()

    def rest(self) -> str:
        """The text of the running answer, waited for."""
        deadline = time.monotonic() + 30
        while not self.device.output(0)[1]:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return self.device.output(0)[0].decode()


@pytest.fixture(params=["overlay", "in-place"])
def rig(request: pytest.FixtureRequest, nano_path: Path, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(nano_path, tmp_path / "store", request.param)
    a, b = (make_patch(rig.pristine, name, rows) for name, rows in (("a", range(80)), ("b", [7])))
    rig.push("a", a)
    rig.push("b", b)
    rig.device.activate(["a"])
    yield rig
    rig.store.close()


def fresh(rig: Rig) -> bytes:
    return make_patch(rig.pristine, "a", range(50, 120))


CHANGES: dict[str, Callable[[Rig], object]] = {
    "use another set": lambda rig: rig.device.activate(["a", "b"]),
    "off": lambda rig: rig.device.deactivate([]),
    "rollback": lambda rig: rig.device.rollback(),
    "replace an active patch": lambda rig: rig.push("a", fresh(rig)),
    "replace another": lambda rig: rig.push("b", make_patch(rig.pristine, "b", [1, 2])),
    "remove": lambda rig: rig.device.remove("b"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_full_disk_at_any_step_leaves_weights_and_journal_in_step(rig: Rig, change: str) -> None:
    before = rig.in_step(), rig.stored(), rig.answer()
    failures = 0
    for operation in range(20):
        rig.disk.arm(operation)
        try:
            CHANGES[change](rig)
        except DeviceError as error:
            assert error.rc == RC["NO_SPACE"]
            failures += 1
            assert (rig.in_step(), rig.stored(), rig.answer()) == before
        else:
            break
    else:
        pytest.fail("the change never succeeded")
    assert failures >= 1
    rig.in_step()
    rig.disk.arm(None)
    assert (rig.in_step(), rig.stored(), rig.answer()) != before


def test_an_unknown_name_in_a_set_changes_nothing(rig: Rig) -> None:
    with pytest.raises(DeviceError) as caught:
        rig.device.activate(["b", "nope"])
    assert caught.value.rc == RC["NO_SUCH_PATCH"]
    assert rig.in_step() == ("a",)


def test_a_name_given_twice_counts_once(rig: Rig) -> None:
    """XOR of a patch with itself is no patch: a set must not do that."""
    assert "active: b " in "".join(rig.agent.shell("use b b"))
    assert rig.in_step() == ("b",)


def test_rollback_is_to_the_set_before_and_back(rig: Rig) -> None:
    rig.device.activate(["a", "b"])
    rig.device.activate(["a", "b"])  # no change: not a set to return to
    rig.device.rollback()
    assert rig.in_step() == ("a",)
    rig.device.rollback()
    assert rig.in_step() == ("a", "b")


def test_an_active_patch_is_not_removed(rig: Rig) -> None:
    with pytest.raises(DeviceError) as caught:
        rig.device.remove("a")
    assert caught.value.rc == RC["ACTIVE"]


@pytest.mark.parametrize(
    ("spoil", "rc"),
    [
        (lambda data, rig: data[:-1], "MALFORMED"),
        (lambda data, rig: b"", "MALFORMED"),
        (lambda data, rig: b"not a patch", "MALFORMED"),
        (lambda data, rig: data[:2] + b"\x02" + data[3:], "VERSION"),
        (lambda data, rig: data.replace(rig.model.id, bytes(32)), "WRONG_MODEL"),
        (lambda data, rig: make_patch(rig.pristine, "other", [1]), "BAD_NAME"),
    ],
)
def test_what_does_not_fit_is_not_stored(
    rig: Rig, spoil: Callable[[bytes, Rig], bytes], rc: str
) -> None:
    with pytest.raises(DeviceError) as caught:
        rig.push("a", spoil(fresh(rig), rig))
    assert caught.value.rc == RC[rc], caught.value
    assert caught.value.detail
    rig.in_step()
    assert list((rig.store.root / "tmp").iterdir()) == []
    assert len(list((rig.store.root / "patches").iterdir())) == 2


def test_rows_out_of_range_are_not_stored(rig: Rig) -> None:
    from dataclasses import replace

    from bankai_edge.patch import decode, encode

    patch = replace(decode(make_patch(rig.pristine, "far", [1])), rows=((0, 4, 1 << 20),))
    with pytest.raises(DeviceError) as caught:
        rig.push("far", encode(patch))
    assert caught.value.rc == RC["RANGE"]
    assert rig.store.find("far") is None


def test_a_huge_upload_is_refused_before_it_starts(rig: Rig) -> None:
    with pytest.raises(DeviceError) as caught:
        rig.agent.push("huge", bytes(MAX_PATCH_BYTES + 1))
    assert caught.value.rc == RC["TOO_LARGE"]


@pytest.mark.parametrize("name", ["", "..", "Arith", "x" * 3000])
def test_a_push_under_no_name_is_refused(rig: Rig, name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        rig.agent.push(name, fresh(rig))
    assert caught.value.rc == RC["BAD_NAME"]
    assert rig.in_step() == ("a",)


def test_an_upload_that_cannot_be_read_back_is_an_error_of_the_disk(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with pytest.raises(DeviceError, match="receiving an upload: Input/output error") as caught:
        rig.agent.push("b", b"some bytes")
    assert caught.value.rc == RC["IO"]


def test_a_switch_gets_its_turn_while_tokens_flow(rig: Rig) -> None:
    """Commands are not starved by the token loop, and the answer goes on to its end."""
    rig.device.activate([])
    plain = rig.answer()
    rig.device.activate(["a"])
    patched = rig.answer()
    assert plain != patched
    pieces = rig.session.generate

    def slow(prompt: str, *, max_tokens: int = 64) -> Iterator[str]:
        for piece in pieces(prompt, max_tokens=max_tokens):
            time.sleep(0.01)
            yield piece

    rig.session.generate = slow  # type: ignore[method-assign]
    rig.device.generate(PROMPT, 200)
    rig.session.generate = pieces  # type: ignore[method-assign]
    switches = 0
    while not rig.device.output(0)[1]:
        rig.device.activate(["b"] if switches % 2 else ["a"])
        switches += 1
    assert switches >= 2
    rig.in_step()
    # what was computed under other patches is not kept
    rig.device.activate(["a"])
    assert rig.answer() == patched
    rig.device.activate([])
    assert rig.answer() == plain


def test_one_prompt_at_a_time(rig: Rig) -> None:
    hold = threading.Event()
    pieces = rig.session.generate

    def slow(prompt: str, *, max_tokens: int = 64) -> Iterator[str]:
        for piece in pieces(prompt, max_tokens=max_tokens):
            hold.wait(10)
            yield piece

    rig.session.generate = slow  # type: ignore[method-assign]
    rig.device.generate(PROMPT, 3)
    with pytest.raises(DeviceError) as caught:
        rig.device.generate(PROMPT, 3)
    assert caught.value.rc == RC["BUSY"]
    hold.set()
    rig.rest()
    rig.device.generate(PROMPT, 3)
    rig.rest()


def test_prompts_that_cannot_be_answered(rig: Rig) -> None:
    for prompt, rc in (("", "BAD_ARGUMENT"), (" \n", "BAD_ARGUMENT"), ("7+8=" * 500, "CONTEXT")):
        with pytest.raises(DeviceError) as caught:
            rig.device.generate(prompt, 8)
        assert caught.value.rc == RC[rc]
    assert rig.answer()


def test_a_failure_while_generating_reaches_the_reader(rig: Rig) -> None:
    def failing(prompt: str, *, max_tokens: int = 64) -> Iterator[str]:
        yield "some"
        raise BankaiError("the engine stopped")

    rig.session.generate = failing  # type: ignore[method-assign]
    rig.device.generate(PROMPT, 8)
    deadline = time.monotonic() + 10
    while len(rig.device.output(0)[0]) < 4:
        assert time.monotonic() < deadline
    with pytest.raises(DeviceError, match="the engine stopped"):
        while True:
            assert not rig.device.output(4)[1]
            assert time.monotonic() < deadline


def test_a_stored_patch_gone_bad_is_found(rig: Rig) -> None:
    assert rig.device.verify()["ok"] is True
    (path,) = (rig.store.root / "patches").glob("b.*.bkp")
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.write_bytes(data)
    report = rig.device.verify()
    assert report["ok"] is False and report["bad_patches"] == ["b"]
    assert report["weights_intact"] is True


def lose(rig: Rig, name: str) -> None:
    """The file of a patch goes away."""
    (path,) = (rig.store.root / "patches").glob(f"{name}.*.bkp")
    path.unlink()


def test_an_active_patch_gone_bad_is_found_and_pushed_again(rig: Rig) -> None:
    data = rig.store.read("a")
    assert rig.device.verify()["ok"] is True
    lose(rig, "a")
    assert rig.device.verify()["bad_patches"] == ["a"]
    with pytest.raises(DeviceError, match="the file of a is gone"):
        rig.device.read("a")
    rig.push("a", data)
    assert rig.device.verify()["ok"] is True
    assert rig.in_step() == ("a",)


def failing_probe(rig: Rig) -> None:
    patch = decode(make_patch(rig.pristine, "c", [3]))
    rig.push("c", encode(replace(patch, canaries=((PROMPT, "no such answer"),))))
    rig.device.activate(["c"])


def full_disk(rig: Rig) -> None:
    rig.disk.arm(0)
    rig.device.activate(["b"])


@pytest.mark.parametrize("change", [failing_probe, full_disk])
def test_what_runs_is_switched_back_without_its_file(
    rig: Rig, change: Callable[[Rig], None]
) -> None:
    running = rig.session.used
    lose(rig, "a")
    with pytest.raises(DeviceError):
        change(rig)
    assert rig.log == [] and rig.session.used == running


def test_what_runs_stays_in_a_set_without_its_file(rig: Rig) -> None:
    running = rig.session.used
    lose(rig, "a")
    rig.device.activate(["b", "a"])
    assert rig.log == [] and rig.session.used[1:] == running
    rig.push("a", fresh(rig))
    assert rig.log == [] and rig.in_step() == ("b", "a")


def test_what_the_agent_cannot_open_is_told(nano_path: Path, tmp_path: Path) -> None:
    def refused(*args: str | Path) -> str:
        done = bankai("agent", *args)
        assert done.returncode in (1, 2, 3, 4) and "Traceback" not in done.stderr
        return done.stderr

    store = ("--store", tmp_path / "store")
    assert "nothing.gguf" in refused("--model", tmp_path / "nothing.gguf", *store)
    model = ("--model", nano_path)
    assert "/dev/no-port" in refused(*model, *store, "--serial", "/dev/no-port")
    assert "is not a socket" in refused(*model, *store, "--unix", __file__)
    assert "names no place" in refused(*model, *store, "--udp", "")
    assert "cannot be opened" in refused(*model, "--store", Path(__file__) / "store")
    with Agent(nano_path, tmp_path / "a", "--udp", "0") as first:
        assert "cannot be opened" in refused(*model, *store, "--udp", str(first.udp_port))
        assert "in use by another" in refused(*model, "--store", tmp_path / "a", "--udp", "0")


def test_quotas_are_the_operators_to_choose(nano_path: Path, tmp_path: Path) -> None:
    model, place = Model(nano_path), f"unix:{tmp_path / 's'}"
    for name, rows in (("a", [1]), ("b", [2]), ("c", range(200))):
        (tmp_path / f"{name}.bkp").write_bytes(make_patch(model, name, rows))
    limits = ("--max-patches", "2", "--max-bytes", "150")
    with Agent(nano_path, tmp_path / "store", "--unix", tmp_path / "s", *limits):
        assert bankai("push", tmp_path / "a.bkp", "-d", place).returncode == 0
        done = bankai("push", tmp_path / "c.bkp", "-d", place)
        assert done.returncode == 1 and "of the 150 bytes allowed are used" in done.stderr
        assert bankai("push", tmp_path / "b.bkp", "-d", place).returncode == 0
        (tmp_path / "c.bkp").write_bytes(make_patch(model, "c", [3]))
        done = bankai("push", tmp_path / "c.bkp", "-d", place)
        assert done.returncode == 1 and "2 patches are stored" in done.stderr
        assert "bankai-edge rm NAME" in done.stderr
        assert bankai("rm", "a", "-d", place).returncode == 0
        assert bankai("push", tmp_path / "c.bkp", "-d", place).returncode == 0


def test_a_dead_agents_socket_is_replaced(nano_path: Path, tmp_path: Path) -> None:
    place = tmp_path / "s"
    with Agent(nano_path, tmp_path / "store", "--unix", place) as agent:
        agent.stop(9)
    assert place.exists()
    with Agent(nano_path, tmp_path / "store", "--unix", place):
        assert bankai("info", "-d", f"unix:{place}").returncode == 0


def test_a_reset_restarts_with_the_same_set(nano_path: Path, tmp_path: Path) -> None:
    from bankai_edge.host.address import Address
    from bankai_edge.host.client import Client
    from bankai_edge.host.transports import open_transport

    address = Address("unix", str(tmp_path / "s"))
    with Agent(nano_path, tmp_path / "other", "--unix", tmp_path / "s") as agent:
        with Client(open_transport(address)) as client:
            client.push("b", make_patch(Model(nano_path), "b", [3]))
            client.activate(["b"])
            client.reset()
        agent.wait_for("stopped")
        deadline = time.monotonic() + 20
        while agent.log.count(": ready on ") < 2:
            assert time.monotonic() < deadline, agent.log
            time.sleep(0.02)
        with Client(open_transport(address)) as client:
            assert client.info()["active"] == ["b"]


def test_control_commands_import_neither_numpy_nor_the_engine() -> None:
    code = (
        "import sys; from bankai_edge.cli.main import main\n"
        "try: main(['list', '-d', 'unix:/nowhere'])\n"
        "except SystemExit as stop: assert stop.code == 3, stop.code\n"
        "heavy = {'numpy', 'rich', 'serial', 'bankai_edge._engine', 'bankai_edge.model'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", code], capture_output=True, text=True, cwd=HERE, timeout=30
    )
    assert done.returncode == 0, done.stderr
