"""The recorded sessions of docs/smpmgr.md, run again: stock smpmgr against a real agent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bankai_edge.agent.pty_line import PtyCable
from bankai_edge.model import Model
from support.agents import Agent
from support.smpmgr_page import repeat

LOOPBACK = "127.13.37.1"  # smpmgr knows one UDP port: an address of our own keeps out of the way


@pytest.mark.parametrize(("title", "count"), [("On a serial line", 13), ("Over UDP", 4)])
def test_a_recorded_session(nano_path: Path, tmp_path: Path, title: str, count: int) -> None:
    smpmgr = shutil.which("smpmgr", path=str(Path(sys.executable).parent))
    if smpmgr is None:
        pytest.skip("smpmgr is not installed")

    def stock(words: Sequence[str]) -> str:
        done = subprocess.run(
            [smpmgr, *words], capture_output=True, text=True, timeout=60, cwd=tmp_path,
            env={**os.environ, "COLUMNS": "400"},
        )  # fmt: skip
        return done.stdout + done.stderr

    with (
        PtyCable() as cable,
        Agent(
            nano_path, tmp_path / "store", "--serial", cable.agent_path,
            "--udp", f"{LOOPBACK}:1337",
        ),
    ):  # fmt: skip
        places = {"port": cable.host_path, "host": LOOPBACK}
        assert repeat(title, Model(nano_path), tmp_path, stock, **places) == count
