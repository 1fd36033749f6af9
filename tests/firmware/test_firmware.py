"""The firmware as a process of this machine, under sanitizers: no chip, no emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bankai_edge.model import Model
from support.agents import make_patch
from support.firmware.board import HostBoard
from support.firmware.suite import Suite


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


@pytest.fixture
def scramble(model: Model, tmp_path: Path) -> Path:
    """100 row flips, which leave little of the model's sense."""
    file = tmp_path / "scramble.bkp"
    file.write_bytes(make_patch(model, "scramble", range(0, 200, 2)))
    return file


@pytest.fixture(params=["overlay", "in_place"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def board(
    firmware_program: Path, tmp_path: Path, nano_path: Path, mode: str
) -> Iterator[HostBoard]:
    writable = int(mode == "in_place")
    with HostBoard(firmware_program, tmp_path / "flash", nano_path, writable=writable) as board:
        yield board


class TestProcess(Suite):
    """Both ways of applying patches."""
