"""What emulated chips alone are asked; the device's tests (tests/device/) run on them too."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankai_edge.errors import IncompatibleError
from bankai_edge.model import Model
from support.agents import make_patch
from support.commands import push_part, run, smpmgr
from support.faults import scattered
from support.firmware.board import Terminal, client_of
from support.firmware.noise import push_through_noise
from support.firmware.qemu import CHIPS, Chip, QemuBoard
from support.ports.qemu import built


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


@pytest.fixture
def scramble(model: Model, tmp_path: Path) -> Path:
    """100 row flips, which leave little of the model's sense."""
    file = tmp_path / "scramble.bkp"
    file.write_bytes(make_patch(model, "scramble", range(0, 200, 2)))
    return file


@pytest.fixture(params=CHIPS.values(), ids=CHIPS)
def chip(request: pytest.FixtureRequest) -> Chip:
    assert isinstance(request.param, Chip)
    return request.param


@pytest.fixture
def board(chip: Chip, tmp_path: Path) -> Iterator[QemuBoard]:
    with QemuBoard(chip, built()[chip.environment], tmp_path) as board:
        yield board


def test_a_power_cut_empties_a_store_in_ram(board: QemuBoard, scramble: Path) -> None:
    """QEMU's flash cannot be written, so the store of these builds is RAM: then it starts anew."""
    with client_of(board) as client:
        client.push("scramble", scramble.read_bytes())
        client.activate(["scramble"])
    board.power_cut()
    with client_of(board) as client:
        assert client.list() == [] and client.info()["active"] == []
        client.push("scramble", scramble.read_bytes())
        client.activate(["scramble"])


def test_stock_smpmgr_uploads_a_patch(board: QemuBoard, scramble: Path) -> None:
    smpmgr(board, "file", "upload", str(scramble), "/bkp/scramble.bkp")
    told = smpmgr(board, "file", "get-hash", "/bkp/scramble.bkp")
    assert str(hashlib.sha256(scramble.read_bytes()).digest()) in told
    run(board, "use", "scramble")
    assert json.loads(run(board, "info", "--json"))["info"]["active"] == ["scramble"]


def test_the_cable_is_pulled_amid_a_push(board: QemuBoard, model: Model) -> None:
    """Nobody holds the pty any more; the next push goes on where the board is."""
    patch = scattered(model, "p", 1)
    board.let_go()
    with client_of(board) as client, pytest.raises(InterruptedError):
        push_part(client, "p", patch, 200)
    time.sleep(0.2)
    resumed: list[int] = []
    with client_of(board) as client:
        client.push("p", patch, progress=resumed.append)
        assert resumed[0] > 200 and client.has("p", patch)


def test_stack_and_memory_are_enough(board: QemuBoard, nano_path: Path) -> None:
    """After all that a board can do, a quarter of the stack is untouched and no byte was lost."""
    with client_of(board) as client:
        active: list[str] = []
        for name in ("arith", "home", "units", "sensor"):
            client.push(name, (nano_path.parent / f"{name}.bkp").read_bytes())
            try:
                client.activate([*active, name])
            except IncompatibleError as error:  # its memory is what the chip has
                assert "the set needs" in str(error)
            else:
                active.append(name)
        assert len(active) >= 2 and client.info()["active"] == active
        "".join(client.generate("17+25="))
        assert client.verify()["ok"]
        client.rollback()
    with Terminal(board) as human:
        told = human.type("bench", "lost_bytes: .*\r\n")
    figures = {key: int(value) for key, value in re.findall(r"(\w+): (\d+)", told)}
    print(f"\n{board.chip.machine}: {figures}")
    assert figures["stack_used"] * 4 < figures["stack_bytes"] * 3
    assert figures["lost_bytes"] == 0
    assert figures["memory_used"] <= figures["memory_bytes"]
    if board.chip.mode == "overlay":
        assert figures["overlay_bytes"] >= 8192


def test_bit_errors_on_the_line_store_nothing_wrong(board: QemuBoard, model: Model) -> None:
    tally = push_through_noise(board, model, pushes=1, rate=0.01)
    assert tally.faults > 1 and tally.succeeded + tally.said_no == 1, tally
