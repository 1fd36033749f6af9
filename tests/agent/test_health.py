"""A set that does not work gives way by itself: probes after a switch, counted starts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bankai_edge._link import RC, DeviceError
from bankai_edge.agent import health
from bankai_edge.agent.device import AgentDevice
from bankai_edge.agent.store import Store
from bankai_edge.errors import UsageError
from bankai_edge.model import Model, Session
from bankai_edge.patch import decode, encode
from support.agents import HERE, Agent, bankai, make_patch
from support.disks import FailingDisk

PROMPT = "what is 17 plus 25?"
Canaries = tuple[tuple[str, str], ...]


class Script:
    """A model that says what it is told to, a character a token, and counts what it was asked."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.tokens = 0
        self.delay_s = 0.0

    def generate(self, prompt: str, *, max_tokens: int = 64) -> Iterator[str]:
        if prompt not in self.answers:
            raise UsageError("an empty prompt")
        time.sleep(self.delay_s)
        for character in self.answers[prompt][:max_tokens]:
            self.tokens += 1
            yield character


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("42", "42", True),
        ("42 is it", "42", True),
        (" 42.", "42", True),
        ("\n42\n", " 42 ", True),
        ("421", "42", False),
        ("4", "42", False),
        ("", "42", False),
        ("24", "42", False),
        ("42.5", "42", True),
        ("yes!", "yes!", True),
        ("yes!no", "yes!", True),
        ("Größe", "Größe", True),
        ("anything", "", True),
    ],
)
def test_what_counts_as_the_expected_answer(answer: str, expected: str, right: bool) -> None:
    problem, asked = health.failing(Script(q=answer), [("p: probe 1 of 1", "q", expected)], 1.0)
    assert asked == 1 and (problem == "") == right
    if not right:
        assert problem.startswith("p: probe 1 of 1, 'q', gave ")


def test_no_more_tokens_are_made_than_tell() -> None:
    model = Script(q="x" * 1000, r="42" + "y" * 1000)
    health.failing(model, [("p", "q", "42")], 1.0)
    assert model.tokens == 1
    health.failing(model, [("p", "r", "42")], 1.0)
    assert model.tokens == 1 + 3


def test_probes_beyond_the_budget_are_not_asked() -> None:
    model = Script(q="1")
    model.delay_s = 0.05
    probes = [("p", "q", "1")] * 10
    assert health.failing(model, probes, 10.0) == ("", 10)
    problem, asked = health.failing(model, probes, 0.12)
    assert problem == "" and 2 <= asked <= 3
    assert health.failing(model, [("p", "q", "2")], 0.0)[0]  # the first one always is


def test_a_probe_that_cannot_be_asked_fails() -> None:
    problem, _ = health.failing(Script(), [("p: probe 1 of 1", "", "x")], 1.0)
    assert "cannot be asked: an empty prompt" in problem


class Board:
    """A device over the real model, restarted at will."""

    def __init__(self, nano: Path, root: Path) -> None:
        self.nano, self.root = nano, root
        self.log: list[str] = []
        self.start()

    def start(self) -> None:
        self.log.clear()
        self.model = Model(self.nano)
        self.session = Session(self.model)
        self.store = Store(self.root, note=self.log.append)
        self.device = AgentDevice(
            self.model,
            self.session,
            self.store,
            mode="overlay",
            ctx=self.session.ctx,
            probe_budget_s=30.0,
            log=self.log.append,
            on_reset=lambda: None,
        )

    def restart(self) -> None:
        self.store.close()
        self.start()

    def patch(self, name: str, rows: range, canaries: Canaries = ()) -> bytes:
        return encode(replace(decode(make_patch(self.model, name, rows)), canaries=canaries))

    def push(self, data: bytes) -> None:
        name = decode(data).name
        self.device.upload_begin(name, len(data))
        self.device.upload_write(name, 0, data)
        self.device.upload_finish(name)

    @property
    def active(self) -> list[str]:
        active = self.device.info()["active"]
        assert active == [member.name for member in self.store.journal.active]
        assert isinstance(active, list)
        return active

    def spoken(self, prompt: str = PROMPT) -> str:
        return "".join(self.session.generate(prompt, max_tokens=8))


@pytest.fixture
def board(nano_path: Path, tmp_path: Path) -> Iterator[Board]:
    board = Board(nano_path, tmp_path / "store")
    board.push(board.patch("plain", range(5)))
    board.device.activate(["plain"])
    yield board
    board.store.close()


def answer_with(board: Board, rows: range) -> str:
    """What the model really says with these rows negated."""
    session = Session(Model(board.nano))
    session.use([make_patch(board.model, "tried", rows)])
    return "".join(session.generate(PROMPT, max_tokens=8))


def test_a_patch_that_passes_its_own_probes_stays(board: Board) -> None:
    said = answer_with(board, range(0, 240))
    board.push(board.patch("good", range(0, 240), ((PROMPT, said),)))
    assert board.device.activate(["good"]) > 0
    assert board.active == ["good"]
    assert board.spoken() == said
    board.restart()
    assert board.active == ["good"] and board.log == []


def test_a_patch_that_fails_its_own_probes_is_rolled_back(board: Board) -> None:
    before = board.spoken(), board.store.journal
    said = answer_with(board, range(0, 240))
    wrong: Canaries = ((PROMPT, said), (PROMPT, "never said"))
    board.push(board.patch("bad", range(0, 240), wrong))
    for names in (["bad"], ["plain", "bad"]):
        with pytest.raises(DeviceError) as caught:
            board.device.activate(names)
        assert caught.value.rc == RC["CANARY"]
        assert "bad: probe " in caught.value.detail and "of 2" in caught.value.detail
        assert len(caught.value.detail.encode()) <= 160  # what the wire carries
        assert board.active == ["plain"]
        assert board.spoken() == before[0]
        assert board.store.journal.active == before[1].active
        assert board.store.journal.previous == before[1].previous
    board.restart()
    assert board.active == ["plain"]


def test_a_client_reads_which_probe_failed(board: Board, nano_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.bkp"
    file.write_bytes(board.patch("bad", range(0, 240), ((PROMPT, "never said"),)))
    place = f"unix:{tmp_path / 's'}"
    with Agent(nano_path, tmp_path / "fresh", "--unix", tmp_path / "s"):
        done = bankai("push", file, "--use", "-d", place)
        assert done.returncode == 4
        assert "failed its own probes (bad: probe 1 of 1, 'what is 17 plus 25?', " in done.stderr
        assert "not 'never said'). The set from before is active." in done.stderr
        assert bankai("list", "-d", place).stdout.startswith("  bad ")


def test_a_failing_version_of_an_active_patch_is_not_stored(board: Board) -> None:
    before = board.store.read("plain")
    with pytest.raises(DeviceError) as caught:
        board.push(board.patch("plain", range(9), ((PROMPT, "never said"),)))
    assert caught.value.rc == RC["CANARY"]
    assert board.store.read("plain") == before
    assert board.active == ["plain"]


def test_a_set_that_fails_its_probes_at_start_gives_way_to_the_one_before(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine whose arithmetic is not what it was."""
    said = answer_with(board, range(0, 240))
    board.push(board.patch("good", range(0, 240), ((PROMPT, said),)))
    board.device.activate(["good"])
    board.store.close()
    with monkeypatch.context() as patched:
        patched.setattr(health, "failing", lambda *a: ("probe 1 says no", 1) if a[1] else ("", 0))
        board.start()
    assert board.active == ["plain"]
    assert any("good does not run: probe 1 says no" in line for line in board.log)
    no_rollback_brings_back(board)


def no_rollback_brings_back(board: Board) -> None:
    """What had to give way is in no set any more."""
    board.device.rollback()
    assert board.active == []
    board.device.rollback()
    assert board.active == ["plain"]


KILLER = """
import os, sys
from pathlib import Path
from bankai_edge.agent.service import AgentConfig, run_agent
from bankai_edge.model import Session

store, place, victim = sys.argv[2:5]
use = Session.use

def deadly(self, patches, **options):
    took = use(self, patches, **options)
    if any(victim.encode() in patch for patch in patches):
        os._exit(77)
    return took

Session.use = deadly
config = AgentConfig(model=Path(sys.argv[1]), store=Path(store), unix=(Path(place),))
run_agent(config, lambda line: print(line, file=sys.stderr, flush=True))
"""


def test_a_set_that_kills_the_agent_at_start_is_loaded_twice_at_most(
    board: Board, tmp_path: Path
) -> None:
    board.push(board.patch("deadly", range(5)))
    board.device.activate(["deadly"])
    board.store.close()
    command = [sys.executable, "-c", KILLER, board.nano, board.root, tmp_path / "s", "deadly"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, timeout=60)
        assert done.returncode == 77, done.stderr
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=HERE)
    try:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("ready"):
                break
        assert "deadly did not survive 2 starts: not loaded again" in said
    finally:
        process.terminate()
        assert process.wait(30) == 0
    board.start()
    assert board.active == ["plain"]  # the set before
    assert "deadly" in board.store
    no_rollback_brings_back(board)


def test_a_healthy_start_clears_the_count(board: Board) -> None:
    for _ in range(5):
        board.restart()
        assert board.store.journal.starts == 0
        assert board.active == ["plain"]
    board.store.starting()  # one start did not get that far
    board.restart()
    assert board.active == ["plain"] and board.store.journal.starts == 0


def test_a_store_that_cannot_count_starts_all_the_same(board: Board) -> None:
    board.store.close()
    disk = FailingDisk()
    store = Store(board.root, disk, note=board.log.append)
    disk.arm(0, lasting=True)
    device = AgentDevice(
        board.model,
        Session(board.model),
        store,
        mode="overlay",
        ctx=16,
        log=board.log.append,
        on_reset=lambda: None,
    )
    assert device.info()["active"] == ["plain"]
    assert any("disk is full" in line for line in board.log)
    store.close()
    board.start()
