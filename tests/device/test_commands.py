"""Every device with a line, through the unmodified commands: programs come, die and come again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bankai_edge.errors import BankaiError
from bankai_edge.model import Model
from support.agents import HERE, make_patch
from support.commands import QUESTION, answer_of, push_part, run
from support.faults import scattered
from support.firmware.board import client_of
from support.ports import OnLine, Port
from support.ports.table import PORTS, on


@pytest.fixture
def scramble(model: Model, tmp_path: Path) -> Path:
    """100 row flips, which leave little of the model's sense."""
    file = tmp_path / "scramble.bkp"
    file.write_bytes(make_patch(model, "scramble", range(0, 200, 2)))
    return file


@on("line")
def test_push_changes_the_answers_and_off_brings_them_back(
    port: Port, running: OnLine, model: Model, scramble: Path
) -> None:
    plain = answer_of(model, [])
    patched = answer_of(model, [scramble.read_bytes()])
    assert plain != patched
    assert run(running, "ask", QUESTION) == plain + "\n"
    run(running, "push", scramble, "--use")
    assert run(running, "ask", QUESTION) == patched + "\n"
    info = json.loads(run(running, "info", "--json"))["info"]
    assert info["model_id"] == model.id.hex() and info["active"] == ["scramble"]
    assert info["mode"] == port.mode and info["ctx"] == port.ctx and "warnings" not in info
    assert json.loads(run(running, "verify", "--json"))["ok"] is True
    run(running, "off")
    run(running, "rollback")
    assert run(running, "ask", QUESTION) == patched + "\n"
    run(running, "off")
    run(running, "rm", "scramble")
    assert json.loads(run(running, "list", "--json"))["patches"] == []


@on("line")
def test_the_active_set_survives_a_reset(running: OnLine, model: Model, scramble: Path) -> None:
    run(running, "push", scramble, "--use")
    running.reset()
    assert run(running, "ask", QUESTION) == answer_of(model, [scramble.read_bytes()]) + "\n"
    with client_of(running) as client:
        client.reset()
        time.sleep(0.3)
    with client_of(running) as client:
        assert client.info()["active"] == ["scramble"] and client.verify()["ok"]


@on("line")
def test_a_reset_amid_a_push_loses_nothing(running: OnLine, model: Model) -> None:
    """The new file is stored whole or not at all; the push is then simply made again."""
    old, new = make_patch(model, "p", range(5)), scattered(model, "p", 1)
    with client_of(running) as client:
        client.push("p", old)
        client.activate(["p"])
    for share in (0, 0.3, 0.6):
        with client_of(running) as client, pytest.raises(InterruptedError):
            push_part(client, "p", new, int(share * len(new)))
        running.reset()
        with client_of(running) as client:
            assert client.has("p", old)
            assert client.info()["active"] == ["p"]
    with client_of(running) as client:
        client.push("p", new)
        assert client.has("p", new) and client.verify()["ok"]
    assert run(running, "ask", QUESTION) == answer_of(model, [new]) + "\n"


@on("line")
def test_a_program_that_dies_amid_a_push_is_followed_by_one_that_goes_on(
    running: OnLine, model: Model
) -> None:
    """The line is closed between two chunks: the next push resumes where the device is."""
    patch = scattered(model, "long", 1)
    with client_of(running) as client, pytest.raises(InterruptedError):
        push_part(client, "long", patch, 100)
    resumed: list[int] = []
    with client_of(running) as client:
        client.push("long", patch, progress=resumed.append)
    assert resumed[0] >= 100 and resumed[-1] == len(patch)


@on("line")
def test_a_killed_command_leaves_a_device_that_answers(running: OnLine, scramble: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bankai_edge", "push", scramble, "--use", "-d", running.path],
        cwd=HERE,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(running, "push", scramble, "--use")
    assert json.loads(run(running, "info", "--json"))["info"]["active"] == ["scramble"]


@pytest.mark.parametrize("port", [port for port in PORTS if port.name.startswith("firmware")])
def test_a_running_patch_whose_flash_rots_leaves_no_trace(
    port: Port, running: OnLine, model: Model, tmp_path: Path
) -> None:
    """It cannot be taken off the weights any more: the device starts anew without it."""
    plain = answer_of(model, [])
    patch, other = make_patch(model, "p", range(0, 200, 2)), make_patch(model, "q", [1])
    with client_of(running) as client:
        client.push("q", other)
        client.push("p", patch)
        client.activate(["p"])
    with (tmp_path / "flash").open("r+b") as flash:
        flash.seek(flash.read().index(patch) + patch.index(model.id) + 32 + 12)  # amid the flips
        byte = flash.read(1)[0]
        flash.seek(-1, 1)
        flash.write(bytes([byte ^ 0x10]))
    with client_of(running) as client, suppress(BankaiError):
        client.deactivate([])
    with client_of(running) as client:
        client.activate(["q"])
        client.deactivate([])
        assert client.verify()["weights_intact"]
    assert run(running, "ask", QUESTION) == plain + "\n"
