"""A set that does not work gives way by itself: probes after a switch, counted starts."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bankai_edge._device import Device, DeviceError, PromptError, Shell
from bankai_edge._link import RC
from bankai_edge.agent.device import AgentDevice, Keys, Machine
from bankai_edge.agent.limits import Quota
from bankai_edge.agent.store import Store
from bankai_edge.model import Model, Session
from bankai_edge.patch import Patch, decode, encode
from support.agents import HERE, Agent, bankai, make_patch
from support.direct import Direct
from support.disks import FailingDisk

PROMPT = "what is 17 plus 25?"
Canaries = tuple[tuple[str, str], ...]


class Script:
    """A model that says what it is told to, a character a token, and counts what it was asked."""

    model_id, model_name, kernel, ctx, in_place = bytes(32), "script", "none", 99, False
    room_bytes, answer_bytes = 16, 256

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.tokens = 0
        self.delay_s = 0.0
        self.running: Iterator[str] = iter("")

    def check(self, patch: object) -> None:
        """Every patch fits."""

    def use(self, patches: object) -> int:
        return 1

    def hold(self, on: bool) -> None:
        """Nothing else runs."""

    def begin(self, prompt: str, max_tokens: int, probe: bool) -> int:
        if prompt not in self.answers:
            raise PromptError(0)
        time.sleep(self.delay_s)
        self.running = iter(self.answers[prompt][:max_tokens])
        return 1

    def poll(self, ticket: int, wait: bool, most: int) -> tuple[bytes, int, int, bool]:
        piece = next(self.running, "")
        self.tokens += bool(piece)
        return piece.encode(), 1, 1, not piece

    def cancel(self, ticket: int) -> None:
        self.running = iter("")


class Asked:
    """A device over a script: what its probes find."""

    def __init__(self, script: Script, root: Path, budget_s: float = 30.0) -> None:
        self.log: list[str] = []
        self.store = store = Store(root)
        port = Machine("none", self.log.append, lambda: None)
        keys = Keys(root / "keys", "open", self.log.append)
        self.device = Device(
            store, script, port, keys, version="0", policy="open", probe_budget_s=budget_s
        )

    def problem(self, *canaries: tuple[str, str]) -> str:
        """What a patch with these probes fails of; "" when it stays."""
        self.device.use([])
        patch = encode(Patch("p", rows=((0, 0, 1),), canaries=canaries))
        self.device.push("p", patch)
        try:
            self.device.use(["p"])
        except DeviceError as error:
            assert error.rc == RC["CANARY"]
            return error.detail
        return ""


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
def test_what_counts_as_the_expected_answer(
    answer: str, expected: str, right: bool, tmp_path: Path
) -> None:
    problem = Asked(Script(q=answer), tmp_path).problem(("q", expected))
    assert (problem == "") == right
    if not right:
        assert problem.startswith("p: probe 1 of 1, 'q', gave ")


def test_no_more_tokens_are_made_than_tell(tmp_path: Path) -> None:
    model = Script(q="x" * 1000, r="42" + "y" * 1000)
    asked = Asked(model, tmp_path)
    assert asked.problem(("q", "42"))
    assert model.tokens == 1
    assert asked.problem(("r", "42"))
    assert model.tokens == 1 + 3


def test_probes_beyond_the_budget_are_not_asked(tmp_path: Path) -> None:
    model = Script(q="1")
    model.delay_s = 0.05
    probes = [("q", "1")] * 10
    assert Asked(model, tmp_path / "a").problem(*probes) == ""
    short = Asked(model, tmp_path / "b", 0.12)
    assert short.problem(*probes) == ""
    assert re.search("[23] of 10 probes were asked", short.log[-1])
    assert Asked(model, tmp_path / "c", 0.0).problem(("q", "2"))  # the first one always is


def test_limits_beyond_all_bounds_are_none(tmp_path: Path) -> None:
    model = Script(q="4", r="5")
    asked = Asked(model, tmp_path, budget_s=float("inf"))
    asked.store.limits = Quota(patches=1 << 40, total_bytes=1 << 70)
    assert asked.problem(("q", "4"), ("r", "6")).startswith("p: probe 2 of 2")


def test_a_question_too_many_takes_nothing_from_the_answer_that_is_shown(tmp_path: Path) -> None:
    shell = Shell(Asked(Script(q="forty-two", r="no"), tmp_path).device)
    text = shell.answer(b"ask q")
    refusal = shell.answer(b"ask r")
    assert refusal.startswith("error: ") and "another prompt is being answered" in refusal
    while (more := shell.step()) is not None:
        text += more
    assert text == "forty-two\n"


def test_a_probe_that_cannot_be_asked_fails(tmp_path: Path) -> None:
    assert "cannot be asked: an empty prompt" in Asked(Script(), tmp_path).problem(("", "x"))


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
        self.agent = AgentDevice(
            self.session,
            self.store,
            probe_budget_s=30.0,
            log=self.log.append,
            on_reset=lambda: None,
        )
        self.device = Direct(self.agent)

    def restart(self) -> None:
        self.store.close()
        self.start()

    def patch(self, name: str, rows: range, canaries: Canaries = ()) -> bytes:
        return encode(replace(decode(make_patch(self.model, name, rows)), canaries=canaries))

    def push(self, data: bytes) -> None:
        name = decode(data).name
        self.agent.push(name, data)

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
        patched.setattr(Session, "generate", lambda *_, **__: iter(["nonsense"]))
        board.start()
    assert board.active == ["plain"]
    assert any("good does not run: good: probe 1 of 1" in line for line in board.log)
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
    if any(victim.encode() in bytes(patch) for patch in patches):
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
    assert board.store.find("deadly")
    no_rollback_brings_back(board)


def test_a_healthy_start_clears_the_count(board: Board) -> None:
    for _ in range(5):
        board.restart()
        assert board.store.journal.starts == 0
        assert board.active == ["plain"]
    board.store.count_start()  # one start did not get that far
    board.restart()
    assert board.active == ["plain"] and board.store.journal.starts == 0


def test_a_store_that_cannot_count_starts_all_the_same(board: Board) -> None:
    board.store.close()
    disk = FailingDisk()
    store = Store(board.root, disk, note=board.log.append)
    disk.arm(0, lasting=True)
    agent = AgentDevice(
        Session(board.model, ctx=16), store, log=board.log.append, on_reset=lambda: None
    )
    assert Direct(agent).info()["active"] == ["plain"]
    assert any("disk is full" in line for line in board.log)
    store.close()
    board.start()
