"""The ports in firmware/ports: UART, faults, resets, watchdog and stack of every emulated chip."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import core_build as core
import firmware_qemu
import firmware_uf2
import pytest
import serial
from serial.serialutil import SerialException

from support import ROOT

FIRMWARE = ROOT / "firmware"
GCC, NM = "arm-none-eabi-gcc", "arm-none-eabi-nm"
FLAGS = [
    "-mthumb", *core.FLAGS, *core.WARNINGS, "-Werror", "-Os", *core.include(),
    "-ffunction-sections", "-fdata-sections", "-nostartfiles", "--specs=nano.specs",
    "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments",
    "-DBK_EMULATED", "-DBK_WATCHDOG_S=2",
]  # fmt: skip


@dataclass(frozen=True)
class Chip:
    """An emulated chip: QEMU's machine, the compiler's flags, its folders of ports/."""

    machine: str
    flags: tuple[str, ...]
    ports: tuple[str, ...]
    watchdog: bool = True

    def __str__(self) -> str:
        return self.machine


CHIPS = (
    Chip("mps2-an500", ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"),
         ("cortex_m", "cmsdk", "mps2_an500")),
    Chip("netduinoplus2", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
         ("cortex_m", "stm32", "stm32f405"), watchdog=False),  # QEMU emulates none for it
    Chip("mps3-an547", ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
         ("cortex_m", "cmsdk", "mps3_an547")),
)  # fmt: skip


def need(tool: str, package: str) -> None:
    """A missing tool is a failure in CI and a skip on a user's machine."""
    if shutil.which(tool) is None:
        message = f"{tool} is not installed (apt-get install {package})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def build(chip: Chip, out: Path, *flags: str) -> Path:
    """Compile and link tests/c/port_program.c for a chip; returns the ELF."""
    need(GCC, "gcc-arm-none-eabi libnewlib-arm-none-eabi")
    rooms = [FIRMWARE / "ports" / name for name in chip.ports]
    sources = [s for room in rooms for s in sorted(room.glob("*.c")) if s.stem != "place_model"]
    sources += [FIRMWARE / "store/bk_flash_ram.c", FIRMWARE / "store/bk_flash_stm32f4.c"]
    sources.append(ROOT / "tests/c/port_program.c")
    include = [FIRMWARE / "include", *rooms]
    elf = out / f"{chip.machine}.elf"
    command = [GCC, *(flags or FLAGS), *chip.flags, *(f"-I{path}" for path in include),
               *(f"-L{path}" for path in rooms), "-T", str(rooms[-1] / "link.ld"),
               *map(str, sources), "-o", str(elf)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return elf


# Parts that nobody here has: their ports compile and link; nothing more is known.
PARTS = (
    Chip("stm32f405", CHIPS[1].flags, CHIPS[1].ports),
    Chip("nucleo-h743zi", CHIPS[0].flags, ("cortex_m", "stm32", "stm32h7")),
    Chip("pico", ("-mcpu=cortex-m0plus",), ("cortex_m", "rp2", "rp2040")),
    Chip("pico2", ("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
         ("cortex_m", "rp2", "rp2350")),
)  # fmt: skip


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_untested_parts_compile(part: Chip, tmp_path: Path) -> None:
    """Without a warning, and with everything linked where the part has memory."""
    build(part, tmp_path, *(f for f in FLAGS if f != "-DBK_EMULATED"))


def test_a_pico_can_start_it(tmp_path: Path) -> None:
    """The first stage has its checksum, and every page is in the file."""
    data = firmware_uf2.uf2(build(PARTS[2], tmp_path).read_bytes(), "rp2040")
    blocks = [data[i : i + 512] for i in range(0, len(data), 512)]
    first = blocks[0][32:288]
    assert struct.unpack("<I", first[252:])[0] == firmware_uf2.crc32_mpeg2(first[:252])
    assert firmware_uf2.crc32_mpeg2(b"123456789") == 0x0376E6E7  # the published check value
    for i, block in enumerate(blocks):
        start1, start2, flags, at, size, number, count, family = struct.unpack_from("<8I", block)
        assert (start1, start2, block[508:]) == (0x0A324655, 0x9E5D5157, b"\x30\x6f\xb1\x0a")
        assert (flags, size, number, count) == (0x2000, 256, i, len(blocks))
        assert (at % 256, family) == (0, 0xE48BFF56)
    stack, start = struct.unpack_from("<2I", blocks[1], 32)
    assert 0x20000000 < stack <= 0x20042000 and start % 2 == 1


def test_a_pico_2_knows_the_image(tmp_path: Path) -> None:
    """Its boot ROM finds the block that says what this is, within the first 4 KB."""
    data = firmware_uf2.uf2(build(PARTS[3], tmp_path).read_bytes(), "rp2350")
    image = b"".join(data[i + 32 : i + 288] for i in range(0, 16 * 512, 512))
    block = image.index(struct.pack("<I", 0xFFFFDED3))
    assert struct.unpack_from("<5I", image, block)[1:] == (0x10210142, 0x1FF, 0, 0xAB123579)


def test_uf2_refuses_what_is_no_pico_program(tmp_path: Path) -> None:
    other = build(PARTS[0], tmp_path)
    for family, data in (("rp2040", b"no ELF"), ("rp2350", other.read_bytes())):
        with pytest.raises(ValueError, match=r"ELF|does not lie"):
            firmware_uf2.uf2(data, family)
    assert firmware_uf2.main(["rp2040", str(tmp_path / "absent")]) == 1


def test_esp32s3_port_calls_what_exists(tmp_path: Path) -> None:
    """Its vendor's headers are not here: against declarations as its programming guide has them."""
    need("gcc", "gcc")
    source = FIRMWARE / "ports/esp32s3/port.c"
    for name in re.findall(r"^#include <(\S+)>$", source.read_text(), re.M):
        header = tmp_path / name
        header.parent.mkdir(exist_ok=True)
        header.write_text('#include "esp_stubs.h"\n')
    include = [tmp_path, ROOT / "tests/c", FIRMWARE / "include"]
    command = ["gcc", core.DIALECT, "-fsyntax-only", "-Wall", "-Wextra", "-Wshadow", "-Werror",
               *(f"-I{path}" for path in include), *core.include(), str(source)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@dataclass
class Board:
    """A running chip and the host's end of its UART."""

    chip: Chip
    elf: Path
    port: serial.Serial

    def line(self) -> str:
        """The next line that the chip sends; fails after 20 s."""
        text = self.port.read_until(b"\n")
        assert text.endswith(b"\n"), f"instead of a line: {text!r}"
        return text.decode().strip()

    def ask(self, command: bytes) -> str:
        """Send a command and read one line."""
        self.port.write(command)
        return self.line()

    def number(self, command: bytes) -> int:
        return int(self.ask(command))

    def function(self, name: str) -> range:
        """Addresses of a function of the program."""
        listing = subprocess.check_output([NM, "-S", str(self.elf)], text=True)
        found = re.search(rf"^(\S+) (\S+) T {name}$", listing, re.M)
        assert found, listing
        start = int(found.group(1), 16)
        return range(start, start + int(found.group(2), 16))


@pytest.fixture(params=CHIPS, ids=str, scope="module")
def elf(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Chip, Path]:
    return request.param, build(request.param, tmp_path_factory.mktemp("port"))


@pytest.fixture(scope="module")
def board(elf: tuple[Chip, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    need(firmware_qemu.QEMU, "qemu-system-arm")
    chip, program = elf
    place = tmp_path_factory.mktemp("board")
    link = firmware_qemu.start(chip.machine, program, place)
    try:
        with serial.Serial(str(link), 115200, timeout=20) as port:
            assert_awake(port)
            yield Board(chip, program, port)
    finally:
        firmware_qemu.stop(chip.machine, place)


def assert_awake(port: serial.Serial) -> None:
    """The chip may have said that it is ready before anybody could hear it: ask."""
    for _ in range(20):
        port.timeout = 1
        port.write(b"?")
        with contextlib.suppress(SerialException):
            if b"?\r\n" in port.read_until(b"?\r\n"):
                break
    else:
        pytest.fail("the chip does not answer")
    port.timeout = 0.2
    while port.read(100):
        pass
    port.timeout = 20


def test_bytes_come_back(board: Board) -> None:
    """24 KB in both directions at once, at the speed of the host: none is lost or changed."""
    data = random.Random(1).randbytes(24 * 1024)
    sender = threading.Thread(
        target=board.port.write, args=(b"e" + struct.pack("<I", len(data)) + data,)
    )
    sender.start()
    back = board.port.read(len(data))
    sender.join()
    assert back == data
    assert board.number(b"l") == 0


def test_burst_while_nobody_reads(board: Board) -> None:
    """More than the ring holds, while the program is busy: what does not fit waits in the line."""
    data = random.Random(2).randbytes(5000)
    board.port.write(b"r" + b"e" + struct.pack("<I", len(data)) + data)
    assert board.port.read(len(data)) == data
    assert board.number(b"l") == 0


def test_time_passes_and_stack_is_known(board: Board) -> None:
    before = board.number(b"m")
    assert board.number(b"rm") - before >= 299
    assert 100 < board.number(b"s") < 2048


def test_reset_keeps_the_store(board: Board) -> None:
    """What is stored outlasts a reset; time starts anew."""
    assert board.number(b"k" + struct.pack("<I", 12345678)) == 0
    board.number(b"rm")
    assert board.ask(b"R") == "ready"
    assert board.number(b"K") == 12345678
    assert board.number(b"m") < 250


def test_fault_says_where(board: Board) -> None:
    """A bus fault names the function at fault, and the chip starts anew."""
    assert board.ask(b"f") == ""
    fault = board.line()
    found = re.match(r"fault: exception=03 pc=(\w{8}) lr=\w{8} cfsr=(\w{8})", fault)
    assert found, fault
    assert int(found.group(1), 16) in board.function("touch_nothing")
    assert int(found.group(2), 16) & 0xFF00  # a bus fault
    assert board.line() == "ready"


def test_unexpected_interrupt_is_named(board: Board) -> None:
    assert board.ask(b"i") == ""
    assert board.line().startswith("fault: exception=24 ")  # 16 + 20, in hexadecimal
    assert board.line() == "ready"


def test_stack_overflow_is_a_fault(board: Board) -> None:
    """Too deep a call ends in a report, not in somebody else's data."""
    assert board.ask(b"d") == ""
    assert " stack overflow sp=" in board.line()
    assert board.line() == "ready"


def test_watchdog_ends_a_hang(board: Board) -> None:
    """A program that stops feeding it is reset, in about the time that was set (2 s)."""
    if not board.chip.watchdog:
        pytest.skip(f"{board.chip.machine}: QEMU emulates no watchdog")
    board.port.write(b"h")
    lines = [board.line(), board.line()]
    assert lines[1].startswith("fault: exception=02 ")  # its first stage is the NMI
    assert board.line() == "ready"
