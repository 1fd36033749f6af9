"""Compile the core's C programs for Cortex-M and run them on emulated boards.

What the tests, `count_cortex_m.py` and `firmware_sizes.py` share: which chips, which flags, which
sources. A program has main(argc, argv), stdio and files through semihosting (tests/c/cortex_m).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "cython_ext"))

import core_build as core  # noqa: E402

SUPPORT = ROOT / "tests" / "c" / "cortex_m"
GCC, QEMU = "arm-none-eabi-gcc", "qemu-system-arm"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"  # Debian's names
FLAGS = [
    "-mthumb", core.DIALECT, *core.FLOAT_FLAGS, "-ffunction-sections", "-fdata-sections",
    "-mfloat-abi=hard", *core.include(), f"-I{core.LINUX}", f"-I{ROOT}/tests/c",
]  # fmt: skip
STRICT = [*core.FLAGS, *core.WARNINGS, "-Werror"]


@dataclass(frozen=True)
class Chip:
    """An emulated board: its core's compiler flags, and where QEMU has its memories."""

    cpu: str
    fpu: str
    machine: str
    code_at: int
    data_at: int
    data_bytes: int

    @property
    def flags(self) -> list[str]:
        """What the compiler must know of the core."""
        return [f"-mcpu={self.cpu}", f"-mfpu={self.fpu}"]


CHIPS = {
    "m4": Chip("cortex-m4", "fpv4-sp-d16", "mps2-an386", 0, 0x21000000, 16 << 20),
    "m7": Chip("cortex-m7", "fpv5-d16", "mps2-an500", 0, 0x60000000, 16 << 20),
    "m55": Chip("cortex-m55", "auto", "mps3-an547", 0x10000000, 0x70000000, 16 << 20),
}


def missing_tool() -> str | None:
    """The first program that is not installed, or None."""
    return next((tool for tool in (GCC, QEMU) if shutil.which(tool) is None), None)


def compile_one(chip: Chip, source: Path, out: Path, flags: list[str]) -> Path:
    """Compile one source to an object in `out`; raises CalledProcessError with gcc's words."""
    target = out / f"{source.stem}.o"
    command = [GCC, *FLAGS, *chip.flags, *flags, "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def assembly(chip: Chip, source: Path, *flags: str) -> str:
    """What the compiler makes of one of the core's sources; its disassembler does not know MVE."""
    command = [GCC, *FLAGS, *chip.flags, *STRICT, "-w", *flags, "-S", str(source)]
    return subprocess.check_output([*command, "-o", "-"], text=True)


def library(chip: Chip, out: Path, optimise: str = "-O2", *more: str) -> list[Path]:
    """Objects of the whole core and the kernels for Cortex-M; `more` are further flags."""
    flags = [optimise, *STRICT, *more]
    return [
        compile_one(chip, source, out, flags)
        for source in [*core.SOURCES, *core.kernels("cortex_m")]
    ]


def program(chip: Chip, source: Path, objects: list[Path], out: Path, *flags: str) -> Path:
    """Link one C program and the objects for a board of this chip."""
    target = out / source.stem
    places = {"code_at": chip.code_at, "data_at": chip.data_at, "data_bytes": chip.data_bytes}
    support = [str(path) for path in sorted(SUPPORT.glob("*.c"))]
    subprocess.run(
        [GCC, *FLAGS, *chip.flags, "-O1", *flags, "-nostartfiles", "--specs=rdimon.specs",
         "-T", str(SUPPORT / "chip.ld"), "-Wl,--gc-sections",
         *(f"-Wl,--defsym={name}={value:#x}" for name, value in places.items()),
         str(source), *support, *map(str, objects), "-o", str(target)],
        check=True,
    )  # fmt: skip
    return target


def command(chip: Chip, binary: Path, *arguments: str) -> list[str]:
    """QEMU's command line for one run of a program; its exit status is the program's."""
    words = ",".join(f"arg={word}" for word in (binary.name, *arguments))
    return [
        QEMU, "-M", chip.machine, "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", f"enable=on,target=native,{words}", "-kernel", str(binary),
    ]  # fmt: skip


def run(chip: Chip, binary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program on an emulated board."""
    line = command(chip, binary, *arguments)
    return subprocess.run(line, capture_output=True, text=True, timeout=600)
