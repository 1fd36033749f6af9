"""The firmware on emulated chips: its store lies in RAM, for QEMU's flash cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

from support.firmware.qemu import CHIPS, Chip, QemuBoard, programs
from support.ports import Port, Running, Setting
from support.ports.line import LineDevice


@cache
def built() -> dict[str, Path]:
    """Every chip's program."""
    return programs()


@contextmanager
def emulated(chip: Chip, setting: Setting) -> Iterator[Running]:
    """One chip."""
    with QemuBoard(chip, built()[chip.environment], setting.folder) as board:
        device = LineDevice(board)
        yield device
        device.close()


def _on(chip: Chip) -> Callable[[Setting], AbstractContextManager[Running]]:
    return lambda setting: emulated(chip, setting)


PORTS = tuple(
    Port(
        chip.machine,
        _on(chip),
        "in_place" if chip.mode == "in_place" else "overlay",
        frozenset({"line"}),
        chip.ctx,
    )
    for chip in CHIPS.values()
)
