"""The firmware as a process of this machine: its flash is a file."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

from firmware_monocypher import FetchError

from support.compilers import missing
from support.firmware.board import HostBoard, host_program
from support.ports import Ability, Mode, Port, Running, Setting
from support.ports.line import LineDevice


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="firmware-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def unsigned() -> Path:
    """The program without signatures, under sanitizers."""
    return host_program(_folder())


@cache
def signed(policy: str, trust: Path) -> Path:
    """The program that verifies; all but the table of keys is compiled once."""
    folder = _folder() / "signed"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{policy}-{abs(hash(trust))}"
    try:
        reuse = any(folder.iterdir())
        program = host_program(folder, flags=(), policy=policy, trust=trust, reuse=reuse)
    except FetchError as error:
        missing("Monocypher", str(error))
    return Path(shutil.move(program, kept))


def program(setting: Setting) -> Path:
    """The one that a setting wants."""
    return signed(setting.policy, setting.trust) if setting.trust else unsigned()


@contextmanager
def as_process(setting: Setting, mode: Mode) -> Iterator[Running]:
    """The program, with its line on a pty."""
    writable = int(mode == "in_place")
    flash = setting.folder / "flash"
    with HostBoard(program(setting), flash, setting.model, writable=writable) as board:
        device = LineDevice(board)
        yield device
        device.close()


def _process(mode: Mode) -> Callable[[Setting], AbstractContextManager[Running]]:
    return lambda setting: as_process(setting, mode)


ALL: frozenset[Ability] = frozenset({"keeps", "line", "policy"})
PORTS = (
    Port("firmware", _process("overlay"), "overlay", ALL, steps=60),
    Port("firmware-in-place", _process("in_place"), "in_place", ALL, steps=60),
)
