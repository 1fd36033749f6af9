"""The recorded sessions of docs/smpmgr.md, run again: stock smpmgr against a real agent."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bankai_edge.agent.pty_line import PtyCable
from bankai_edge.model import Model
from support.agents import Agent, bankai, make_patch
from support.pages import sessions

LOOPBACK = "127.13.37.1"  # smpmgr knows one UDP port: an address of our own keeps out of the way


@pytest.mark.parametrize(("title", "count"), [("On a serial line", 13), ("Over UDP", 4)])
def test_a_recorded_session(nano_path: Path, tmp_path: Path, title: str, count: int) -> None:
    smpmgr = shutil.which("smpmgr", path=str(Path(sys.executable).parent))
    if smpmgr is None:
        pytest.skip("smpmgr is not installed")
    pairs = sessions()[title]
    assert len(pairs) == count
    patch = make_patch(Model(nano_path), "arith", range(0, 200, 2))
    (tmp_path / "arith.bkp").write_bytes(patch)
    (tmp_path / "notes.txt").write_text("buy milk")
    known = {"SIZE": str(len(patch)), "HASH": str(hashlib.sha256(patch).digest())}
    with (
        PtyCable() as cable,
        Agent(
            nano_path, tmp_path / "store", "--serial", cable.agent_path,
            "--udp", f"{LOOPBACK}:1337",
        ),
    ):  # fmt: skip
        for command, expected in pairs:
            command = command.replace("/dev/ttyUSB0", cable.host_path)
            program, *words = shlex.split(command.replace("192.0.2.7", LOOPBACK))
            if program == "bankai-edge":
                done = bankai(*words)
            else:
                done = subprocess.run(
                    [smpmgr, *words], capture_output=True, text=True, timeout=60, cwd=tmp_path,
                    env={**os.environ, "COLUMNS": "400"},
                )  # fmt: skip
            seen = "".join((done.stdout + done.stderr).split())
            for key, value in known.items():
                expected = expected.replace(key, value)
            at = 0
            for part in expected.split("…"):
                wanted = "".join(part.split())
                at = seen.find(wanted, at)
                assert at >= 0, f"{command}: no {part!r} in\n{done.stdout}{done.stderr}"
                at += len(wanted)
    if title == "On a serial line":
        assert (tmp_path / "back.bkp").read_bytes() == patch
