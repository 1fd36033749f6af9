"""Emulated boards: QEMU with the UART on a pty and a socket by which it is reset."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from support import ROOT
from support.compilers import missing

QEMU = "qemu-system-arm"


@dataclass(frozen=True)
class Chip:
    """A PlatformIO environment and the machine that emulates its board."""

    environment: str
    machine: str
    mode: str  # as info tells it
    ctx: int


CHIPS = {
    chip.machine: chip
    for chip in (
        Chip("mps2_an500", "mps2-an500", "in_place", 64),
        Chip("netduinoplus2", "netduinoplus2", "overlay", 48),
        Chip("mps3_an547", "mps3-an547", "overlay", 64),
    )
}


def programs() -> dict[str, Path]:
    """Each environment's firmware.elf: of the folder that FIRMWARE names, or built now."""
    if shutil.which(QEMU) is None:
        missing(QEMU, "apt-get install qemu-system-arm")
    names = [chip.environment for chip in CHIPS.values()]
    if folder := os.environ.get("FIRMWARE"):
        return {name: Path(folder) / name / "firmware.elf" for name in names}
    if shutil.which("arm-none-eabi-gcc") is None:
        missing("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi")
    pytest.importorskip("platformio") if not os.environ.get("CI") else None
    environment = {**os.environ, "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true"}
    for command in (
        [sys.executable, str(ROOT / "firmware/scripts/firmware_seed.py")],
        [sys.executable, "-m", "platformio", "run", *(word for n in names for word in ("-e", n))],
    ):
        done = subprocess.run(
            command, cwd=ROOT / "firmware", capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return {name: ROOT / "firmware/.pio/build" / name / "firmware.elf" for name in names}


class QemuBoard:
    """A chip with a program. Its store lies in RAM, which a reset leaves alone, a power cut not."""

    keeps_store = False

    def __init__(self, chip: Chip, elf: Path, folder: Path) -> None:
        self.chip = chip
        self._elf = elf
        self._monitor = folder / "qmp"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                QEMU, "-M", self.chip.machine, "-display", "none", "-monitor", "none",
                "-serial", "pty", "-qmp", f"unix:{self._monitor},server=on,wait=off",
                "-kernel", str(self._elf),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        port = re.search(r"redirected to (\S+)", said)
        assert port, f"{QEMU} did not start: {said}"
        self.path = port[1]
        # Held open: QEMU looks only once a second whether somebody has opened a pty.
        self._port: int = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._port)
        self._qmp = socket.socket(socket.AF_UNIX)
        self._qmp.settimeout(10)
        self._qmp.connect(str(self._monitor))
        self._answers: IO[Any] = self._qmp.makefile("r")
        self._answers.readline()
        self._say("qmp_capabilities")

    def _say(self, command: str) -> None:
        self._qmp.sendall(json.dumps({"execute": command}).encode() + b"\n")
        while "return" not in json.loads(self._answers.readline()):
            pass  # events

    def let_go(self) -> None:
        """Hold the pty open no more, as when no cable is plugged in."""
        os.close(self._port)
        self._port = -1

    def reset(self) -> None:
        self._say("system_reset")

    def stop(self) -> None:
        # SIGKILL: a UART model that waits for a reader keeps QEMU from seeing anything else.
        self._process.kill()
        self._process.communicate(timeout=20)
        self._answers.close()
        self._qmp.close()
        if self._port >= 0:
            self.let_go()
        self._monitor.unlink(missing_ok=True)

    def power_cut(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> QemuBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
