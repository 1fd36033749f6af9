"""The unmodified commands against a device on a line: the host's own, and stock smpmgr's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from bankai_edge.host.client import Client
from bankai_edge.model import Model, Session
from support import ROOT
from support.agents import bankai


class Place(Protocol):
    """Where a device is reached."""

    @property
    def path(self) -> str: ...


QUESTION = "17+25="


def answer_of(model: Model, patches: list[bytes], prompt: str = QUESTION, ctx: int = 48) -> str:
    """What a host's `ask` says."""
    session = Session(model, ctx=ctx)
    session.use(patches)
    return "".join(session.generate(prompt, max_tokens=64))


def run(board: Place, verb: str, *args: str | Path) -> str:
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


def smpmgr(board: Place, *words: str, folder: Path = ROOT / "tests") -> str:
    """What stock smpmgr says to a command; it may fail."""
    program = shutil.which("smpmgr", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("smpmgr is not installed")
    done = subprocess.run(
        [program, "--port", board.path, *words], capture_output=True, text=True, timeout=60,
        cwd=folder, env={**os.environ, "COLUMNS": "400"},
    )  # fmt: skip
    return done.stdout + done.stderr
