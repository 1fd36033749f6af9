"""What goes wrong with a board: bad lines, power cuts, sets that kill, too little of everything."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.host.client import Client, RefusedError
from bankai_edge.host.lines import ByteLine
from bankai_edge.host.serial_port import open_serial
from bankai_edge.host.transports import FramedTransport
from bankai_edge.model import Model, Session
from bankai_edge.patch import Patch, encode
from bankai_edge.patch.bind import bind
from support.agents import make_patch
from support.commands import QUESTION, answer_of, smpmgr
from support.faults import scattered
from support.firmware.board import HostBoard, Terminal, Wire, client_of, host_program
from support.firmware.noise import push_through_noise
from support.smpmgr_page import repeat


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


@pytest.fixture
def made(firmware_program: Path, tmp_path: Path, nano_path: Path) -> Iterator[Any]:
    """Makes boards with an empty flash, with settings of their own."""
    boards: list[HostBoard] = []

    def make(program: Path = firmware_program, **settings: Any) -> HostBoard:
        flash = tmp_path / f"flash{len(boards)}"
        boards.append(HostBoard(program, flash, settings.pop("model", nano_path), **settings))
        return boards[-1]

    yield make
    for board in boards:
        board.__exit__(None, None, None)


# ---- lines -----------------------------------------------------------------------------------


def test_bit_errors_on_the_line_store_nothing_wrong(made: Any, model: Model) -> None:
    tally = push_through_noise(made(), model, pushes=4)
    assert tally.faults > 5 and tally.succeeded >= 2, tally


def test_the_cable_is_pulled_amid_a_push(made: Any, model: Model) -> None:
    """The host's end is closed for good, nobody holds it; the next one goes on where it broke."""
    board = made(hold=False)
    patch = scattered(model, "p", 1)
    for share in (0.2, 0.7):
        with client_of(board) as client, pytest.raises(InterruptedError):
            client._buf_size = 180

            def stop(sent: int, enough: float = share * len(patch)) -> None:
                if sent > enough:
                    raise InterruptedError

            client.push("p", patch, progress=stop)
        time.sleep(0.1)
    resumed: list[int] = []
    with client_of(board) as client:
        client.push("p", patch, progress=resumed.append)
        assert resumed[0] > 0.6 * len(patch) and client.has("p", patch)


def recorded(board: HostBoard, name: str, patch: bytes) -> tuple[bytes, int]:
    """The bytes of a push --use as a client sends them, and how many requests they are."""
    sent: list[bytes] = []

    class Tapped:
        def __init__(self, line: ByteLine) -> None:
            self._line = line

        def write(self, data: bytes) -> None:
            sent.append(data)
            self._line.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._line, name)

    line: Any = Tapped(open_serial(board.path, 115200))
    with Client(FramedTransport(line)) as client:
        client._buf_size = 200
        client.push(name, patch)
        client.activate([name])
    return b"".join(sent), len(sent)


@pytest.mark.parametrize("writable", [0, 1])
def test_power_cuts_amid_a_push_leave_the_old_state_or_the_new(
    made: Any, model: Model, writable: int
) -> None:
    """The power goes after k bytes of push --use, for k over the whole of it."""
    old, new = make_patch(model, "p", range(5)), scattered(model, "p", 3, flips=100)
    board = made(writable=writable)
    with client_of(board) as client:
        client.push("p", old)
        client.activate(["p"])
    stream, requests = recorded(made(writable=writable), "p", new)
    for k in range(len(stream) // 9, len(stream), len(stream) // 9):
        with Wire(board) as wire:
            wire.send(stream[:k])
            time.sleep(0.01 * (k % 4))
        board.power_cut()
        with client_of(board) as client:
            info = client.info()
            assert info["active"] == ["p"] and "warnings" not in info, info
            assert client.has("p", old) or client.has("p", new)
            assert client.verify()["ok"]
            client.push("p", old)
    with Wire(board) as wire:
        wire.send(stream)
        assert len(wire.packets(requests, 10)) == requests
    board.power_cut()
    with client_of(board) as client:
        assert client.has("p", new) and client.info()["active"] == ["p"]
    with Terminal(board) as human:
        assert human.type(f"ask {QUESTION}") == answer_of(model, [new]) + "\r\n"


def test_the_recorded_smpmgr_session(made: Any, model: Model, tmp_path: Path) -> None:
    """Every line of docs/smpmgr.md, as on an agent."""
    board = made()

    def stock(words: Sequence[str]) -> str:
        return smpmgr(board, *words[2:], folder=tmp_path)

    assert repeat("On a serial line", model, tmp_path, stock, port=board.path) == 13


# ---- starts ----------------------------------------------------------------------------------


def slow(model: Model, name: str) -> bytes:
    """A patch that is probed for as long as the budget lasts: all its probes are right."""
    rows = tuple((0, 3, row) for row in range(0, 6, 3))
    session = Session(model, ctx=48)
    session.use([encode(bind(Patch(name, rows=rows), model))])
    prompt = "turn on the kitchen light"
    right = "".join(session.generate(prompt, max_tokens=3))
    return encode(bind(Patch(name, rows=rows, canaries=((prompt, right),) * 40), model))


@pytest.mark.parametrize("before", [[], ["other"]])
def test_a_set_that_is_not_survived_gives_way(made: Any, model: Model, before: list[str]) -> None:
    """Killed twice amid its start: then the set before it is active, for good."""
    board = made()
    with client_of(board, timeout_s=5) as client:
        client.push("other", make_patch(model, "other", range(9)))
        client.push("slow", slow(model, "slow"))
        client.activate(["other"])
        client.activate(before)
        client.activate(["slow"])
    flash = Path(board._environment["BK_FLASH"])
    for _ in range(2):
        board.stop()
        counted = flash.read_bytes()
        board.start()
        deadline = time.monotonic() + 20
        while flash.read_bytes() == counted:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    board.power_cut()
    with client_of(board, timeout_s=5) as client:
        info = client.info()
        assert info["active"] == before
        assert info["warnings"] == ["slow did not survive 2 starts: not loaded again"]
        if before:
            client.rollback()
            assert client.info()["active"] == []  # what gave way does not come back
            client.rollback()
        else:
            with pytest.raises(RefusedError, match="no previous set"):
                client.rollback()
        assert {p.name for p in client.list()} == {"other", "slow"}
    board.power_cut()
    with client_of(board) as client:
        assert client.info()["active"] == before


def test_one_bad_patch_never_blocks_the_start(made: Any, model: Model) -> None:
    """A byte of a stored patch has rotted: it is inactive, the other one is active."""
    board = made()
    with client_of(board) as client:
        client.push("good", make_patch(model, "good", range(9)))
        client.push("odd", make_patch(model, "odd", range(9, 20)))
        client.activate(["good", "odd"])
    board.stop()
    flash = Path(board._environment["BK_FLASH"])
    content = bytearray(flash.read_bytes())
    content[content.index(model.id) + 3] ^= 1
    flash.write_bytes(content)
    board.start()
    with client_of(board) as client:
        info = client.info()
        assert info["active"] == ["odd"], info
        assert info["warnings"]
        assert client.verify()["weights_intact"]


# ---- too little ------------------------------------------------------------------------------


def test_without_memory_it_says_so_and_stores_patches(made: Any, model: Model) -> None:
    board = made(memory=50_000)
    patch = make_patch(model, "p", range(9))
    with client_of(board) as client:
        info = client.info()
        assert "needs more than the 49984 bytes" in info["warnings"][0] and "ctx" not in info
        assert info["model_id"] == model.id
        client.push("p", patch)
        client.activate(["p"])
        with pytest.raises(RefusedError, match="no memory to run it"):
            client.generate(QUESTION)
        with pytest.raises(IncompatibleError, match="made for 0000"):
            client.push("p", patch.replace(model.id, bytes(32)))
        assert client.verify()["ok"]
    board.reset()
    with client_of(board) as client:
        assert client.info()["active"] == ["p"]


@pytest.fixture
def with_overlay(made: Any) -> Any:
    """Makes boards whose memory leaves so many bytes for overlays."""

    def make(overlay_bytes: int) -> HostBoard:
        with Terminal(made()) as human:
            told = human.type("bench", "lost_bytes")
        used = re.search(r"memory_used: (\d+)", told)
        assert used
        board = made(memory=int(used[1]) + overlay_bytes + 128)
        assert isinstance(board, HostBoard)
        return board

    return make


def test_an_overlay_that_does_not_fit_is_refused_with_the_figure(
    with_overlay: Any, model: Model
) -> None:
    small, large = (scattered(model, name, 1, flips=n) for name, n in (("s", 20), ("l", 100)))
    board = with_overlay(2048)
    with client_of(board) as client:
        client.push("s", small)
        client.push("l", large)
        client.activate(["s"])
        with pytest.raises(IncompatibleError, match=r"the set needs \d+ bytes of memory, this"):
            client.activate(["s", "l"])
        assert client.info()["active"] == ["s"]
    with Terminal(board) as human:
        assert human.type(f"ask {QUESTION}") == answer_of(model, [small]) + "\r\n"


def test_sets_that_do_not_fit_together_take_turns(with_overlay: Any, model: Model) -> None:
    """Two overlays are kept as long as there is room: whichever way, the answers are the host's."""
    files = {name: scattered(model, name, name, flips=60) for name in "abc"}
    board = with_overlay(5000)
    with client_of(board) as client:
        for name, data in files.items():
            client.push(name, data)
    refused = []
    for names in map(list, ("a", "b", "a", "ab", "c", "abc", "", "bc", "a")):
        with client_of(board) as client:
            try:
                client.activate(names)
            except IncompatibleError as error:
                assert "the set needs" in str(error)
                refused.append(names)
                names = client.info()["active"]
        with Terminal(board) as human:
            expected = answer_of(model, [files[name] for name in names])
            assert human.type(f"ask {QUESTION}") == expected + "\r\n"
    assert refused == [["a", "b", "c"]]


@pytest.mark.parametrize(("sectors", "sector_bytes", "unit"), [(2, 4096, 1), (3, 4096, 32)])
def test_a_full_store_says_so_and_loses_nothing(
    made: Any, model: Model, sectors: int, sector_bytes: int, unit: int
) -> None:
    board = made(sectors=sectors, sector_bytes=sector_bytes, unit=unit)
    stored = {}
    with client_of(board) as client:
        for i in itertools.count():
            patch = scattered(model, f"p{i}", i)
            try:
                client.push(f"p{i}", patch)
            except RefusedError as error:
                assert error.name == "NO_SPACE" and f"no room for p{i}" in str(error)
                break
            stored[f"p{i}"] = patch
        assert len(stored) >= 2
        assert all(client.has(name, patch) for name, patch in stored.items())
        client.remove("p0")
        client.push("p9", scattered(model, "p9", 9))
        assert client.verify()["ok"]
        with pytest.raises(RefusedError, match="bytes; at most"):
            client.push("huge", bytes(sector_bytes))


# ---- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("writable", [0, 1])
def test_a_switch_amid_an_answer_is_as_on_the_host(
    made: Any, model: Model, nano_path: Path, writable: int
) -> None:
    """The rest of the text is the new set's, from the tokens so far: nothing of the old is kept."""
    scramble = make_patch(model, "scramble", range(0, 200, 2))
    board = made(writable=writable)
    with client_of(board) as client:
        client.push("scramble", scramble)
        client.activate(["scramble"])
        answer = client.generate(QUESTION)
        text = ""
        for piece in answer:
            text += piece
            if answer.tokens >= 3:
                client.deactivate()
        tokens = answer.tokens
    possible = []
    for k in range(1, tokens + 1):
        session = Session(model, ctx=48)
        session.use([scramble])
        pieces = session.generate(QUESTION)
        head = list(itertools.islice(pieces, k))
        session.use([])
        possible.append("".join(head) + "".join(pieces))
    assert text in possible and tokens > 3
    assert text != answer_of(model, [scramble]) or possible.count(text) > 1


def test_a_human_and_a_program_at_once(made: Any, model: Model) -> None:
    """The text that a human asked for goes on around a program's packets."""
    board = made()
    with client_of(board) as client:
        client.push("scramble", make_patch(model, "scramble", range(0, 200, 2)))
        client.activate(["scramble"])
    wanted = answer_of(model, [make_patch(model, "scramble", range(0, 200, 2))])
    echo = bytes.fromhex("0a00000600000100a16164626869")
    with Wire(board) as wire:
        wire.send(f"ask {QUESTION}\n".encode())
        for _ in range(5):
            assert wire.ask(echo)[:1] == b"\x0b"
        assert wire.text_comes(20)
        assert wire.text.decode().strip() == wanted.strip()


# ---- the switcher ----------------------------------------------------------------------------


def test_a_switcher_keeps_patches_for_something_else(
    made: Any, model: Model, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Built without inference: it stores, keeps the set, and has no model to ask."""
    program = host_program(tmp_path_factory.mktemp("switcher"), runtime="switcher", flags=())
    board = made(program, model=None)
    patch = make_patch(model, "p", range(9))
    with client_of(board) as client:
        client.push("p", patch)
        client.activate(["p"])
        info = client.info()
        assert info["active"] == ["p"] and "model_id" not in info
        with pytest.raises(BankaiError, match=r"cannot do that|does not know"):
            client.generate(QUESTION)
        with pytest.raises(IncompatibleError):
            client.push("notes", b"buy milk")
    board.power_cut()
    with client_of(board) as client:
        assert client.info()["active"] == ["p"] and client.verify()["ok"]
    with Terminal(board) as human:
        assert "no model here" in human.type("ask anything")
        assert "active: nothing" in human.type("off", r"us\)\r\n")
