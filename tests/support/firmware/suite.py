"""What every board has to do, through the unmodified commands: the host's and a human's."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.host.client import Client, RefusedError
from bankai_edge.model import Model, Session
from support import GOLDEN, ROOT
from support.agents import bankai, make_patch
from support.faults import scattered
from support.firmware.board import Board, Terminal, client_of

QUESTION = "17+25="


def answer_of(model: Model, patches: list[bytes], prompt: str = QUESTION, ctx: int = 48) -> str:
    """What a host's `ask` says."""
    session = Session(model, ctx=ctx)
    session.use(patches)
    return "".join(session.generate(prompt, max_tokens=64))


def run(board: Board, verb: str, *args: str | Path) -> str:
    """A command against the board, which has to succeed."""
    done = bankai(verb, *args, "--device", board.path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def push_part(client: Client, name: str, patch: bytes, enough: int) -> None:
    """Push in small chunks until the device has more bytes than that; raises InterruptedError."""
    client._buf_size = 180

    def stop(sent: int) -> None:
        if sent > enough:
            raise InterruptedError

    client.push(name, patch, progress=stop)


class Suite:
    """A test module gives `board` (fresh, with an empty store) and `mode`."""

    def test_push_changes_the_answers_and_off_brings_them_back(
        self, board: Board, model: Model, scramble: Path, mode: str
    ) -> None:
        plain = answer_of(model, [])
        patched = answer_of(model, [scramble.read_bytes()])
        assert plain != patched
        assert run(board, "ask", QUESTION) == plain + "\n"
        run(board, "push", scramble, "--use")
        assert run(board, "ask", QUESTION) == patched + "\n"
        info = json.loads(run(board, "info", "--json"))["info"]
        assert info["model_id"] == model.id.hex() and info["active"] == ["scramble"]
        assert info["mode"] == mode and info["ctx"] >= 48 and "warnings" not in info
        assert json.loads(run(board, "verify", "--json"))["ok"] is True
        run(board, "off")
        assert run(board, "ask", QUESTION) == plain + "\n"
        run(board, "rollback")
        assert run(board, "ask", QUESTION) == patched + "\n"
        run(board, "off")
        run(board, "rm", "scramble")
        assert json.loads(run(board, "list", "--json"))["patches"] == []

    def test_the_logits_are_the_host_s_to_the_last_bit(self, board: Board, nano_path: Path) -> None:
        """Of every position of every golden prompt, without and with a shipped patch."""
        arith = nano_path.parent / "arith.bkp"
        with client_of(board) as client:
            client.push("arith", arith.read_bytes())
        with Terminal(board) as human:
            for active in ("plain", "arith", "plain"):
                human.type("off" if active == "plain" else "use arith", r"us\)\r\n")
                for case in GOLDEN["cases"]:
                    answer = human.type(f"logits {case['prompt']}", r"[0-9a-f]{64}\r\n")
                    assert answer.strip() == case[active], (active, case["prompt"])

    def test_a_human_types_while_programs_talk(
        self, board: Board, model: Model, scramble: Path
    ) -> None:
        run(board, "push", scramble)
        with Terminal(board) as human:
            assert "use NAME" in human.type("help", r"reset .*\r\n")
            assert "  scramble" in human.type("list", "bytes\r\n")
            assert "active: scramble (switched" in human.type("use scramble", r"us\)\r\n")
            assert "* scramble" in human.type("list", "bytes\r\n")
            assert "no patch 'nope' in the store" in human.type("use nope")
            assert "active: nothing (switched" in human.type("off", r"us\)\r\n")
            assert human.type(f"ask {QUESTION}") == answer_of(model, []) + "\r\n"
            assert "the prompt is empty" in human.type("ask")
            assert "unknown command 'hello'; try help" in human.type("hello")
            assert re.search(r"\r\nok\r\n", human.type("verify", r"ok\r\n"))
            assert "token_us: " in human.type("bench", r"lost_bytes: 0\r\n")
        assert "scramble" in run(board, "list")

    def test_the_active_set_survives_a_reset(
        self, board: Board, model: Model, scramble: Path
    ) -> None:
        run(board, "push", scramble, "--use")
        board.reset()
        assert run(board, "ask", QUESTION) == answer_of(model, [scramble.read_bytes()]) + "\n"
        with client_of(board) as client:
            client.reset()
            time.sleep(0.2)
        with client_of(board) as client:
            assert client.info()["active"] == ["scramble"] and client.verify()["ok"]

    def test_a_reset_amid_a_push_loses_nothing(self, board: Board, model: Model) -> None:
        """The new file is stored whole or not at all; the push is then simply made again."""
        old, new = make_patch(model, "p", range(5)), scattered(model, "p", 1)
        with client_of(board) as client:
            client.push("p", old)
            client.activate(["p"])
        for share in (0, 0.3, 0.6):
            with client_of(board) as client, pytest.raises(InterruptedError):
                push_part(client, "p", new, int(share * len(new)))
            board.reset()
            with client_of(board) as client:
                assert client.has("p", old)
                info = client.info()
                assert info["active"] == ["p"], info
        with client_of(board) as client:
            client.push("p", new)
            assert client.has("p", new) and client.verify()["ok"]
        assert run(board, "ask", QUESTION) == answer_of(model, [new]) + "\n"

    def test_a_program_that_dies_amid_a_push_is_followed_by_one_that_goes_on(
        self, board: Board, model: Model, tmp_path: Path
    ) -> None:
        """The line is closed between two chunks: the next push resumes where the device is."""
        patch = scattered(model, "long", 1)
        with client_of(board) as client, pytest.raises(InterruptedError):
            push_part(client, "long", patch, 100)
        resumed: list[int] = []
        with client_of(board) as client:
            client.push("long", patch, progress=resumed.append)
        assert resumed[0] >= 100 and resumed[-1] == len(patch)

    def test_a_killed_command_leaves_a_device_that_answers(
        self, board: Board, scramble: Path
    ) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "bankai_edge", "push", scramble, "--use", "-d", board.path],
            cwd=ROOT / "tests",
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.4)
        process.send_signal(signal.SIGKILL)
        process.wait()
        run(board, "push", scramble, "--use")
        assert json.loads(run(board, "info", "--json"))["info"]["active"] == ["scramble"]

    def test_what_does_not_fit_is_refused_and_changes_nothing(
        self, board: Board, model: Model, scramble: Path
    ) -> None:
        patch = scramble.read_bytes()
        other_model = patch.replace(model.id, bytes(range(32)))
        flipped = bytearray(patch)
        flipped[-40] ^= 1  # a row's number: the CRC is of other rows
        with client_of(board) as client:
            client.push("scramble", patch)
            client.activate(["scramble"])
            with pytest.raises(IncompatibleError, match="made for 0001020304050607, this device"):
                client.push("scramble", other_model)
            with pytest.raises(BankaiError):
                client.push("scramble", bytes(flipped))
            with pytest.raises(IncompatibleError, match="damaged or no patch"):
                client.push("notes", b"buy milk")
            with pytest.raises(BankaiError, match="'scramble', the file 'other'"):
                client.push("other", patch)
            with pytest.raises(RefusedError, match="no patch 'nope'"):
                client.activate(["scramble", "nope"])
            with pytest.raises(RefusedError, match="scramble is active"):
                client.remove("scramble")
            assert client.has("scramble", patch)
            assert [(p.name, p.active) for p in client.list()] == [("scramble", True)]


def smpmgr(board: Board, *words: str, folder: Path = ROOT / "tests") -> str:
    """What stock smpmgr says to a command; it may fail."""
    program = shutil.which("smpmgr", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("smpmgr is not installed")
    done = subprocess.run(
        [program, "--port", board.path, *words], capture_output=True, text=True, timeout=60,
        cwd=folder, env={**os.environ, "COLUMNS": "400"},
    )  # fmt: skip
    return done.stdout + done.stderr
