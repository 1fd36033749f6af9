"""Compile the core's C programs for Cortex-M and run them on emulated boards.

What the tests, `count_cortex_m.py` and `firmware_sizes.py` share: which chips, which flags, which
sources. A program has main(argc, argv), stdio and files through semihosting (tests/c/cortex_m).
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE, KERNELS, PORT = (ROOT / "cython_ext" / room for room in ("core", "kernels", "port"))
SUPPORT = ROOT / "tests" / "c" / "cortex_m"
GCC, QEMU = "arm-none-eabi-gcc", "qemu-system-arm"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"  # Debian's names
FLAGS = [
    "-mthumb", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing",
    "-ffunction-sections", "-fdata-sections", "-mfloat-abi=hard",
    f"-I{CORE}", f"-I{KERNELS}", f"-I{PORT}", f"-I{ROOT}/tests/c",
]  # fmt: skip
STRICT = [
    "-ffreestanding", "-fbuiltin", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
]  # fmt: skip


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


def zcbor_root() -> Path:
    """Where zcbor's wheel put its C sources."""
    spec = importlib.util.find_spec("zcbor")
    assert spec is not None and spec.origin is not None, "pip install zcbor==0.9.1"
    return Path(spec.origin).parent


def compile_one(chip: Chip, source: Path, out: Path, flags: list[str]) -> Path:
    """Compile one source to an object in `out`; raises CalledProcessError with gcc's words."""
    target = out / f"{source.stem}.o"
    command = [GCC, *FLAGS, *chip.flags, *flags, "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def assembly(chip: Chip, source: Path, *flags: str) -> str:
    """What the compiler makes of one of the core's sources; its disassembler does not know MVE."""
    include = ["-isystem", str(zcbor_root() / "include")]
    command = [GCC, *FLAGS, *chip.flags, *STRICT, "-w", *include, *flags, "-S", str(source)]
    return subprocess.check_output([*command, "-o", "-"], text=True)


def library(chip: Chip, out: Path, optimise: str = "-O2", *more: str) -> list[Path]:
    """Objects of the whole core, the kernels for Cortex-M and zcbor; `more` are further flags."""
    include = ["-isystem", str(zcbor_root() / "include")]
    rooms = [CORE, KERNELS, KERNELS / "cortex_m"]
    own = sorted(source for room in rooms for source in room.glob("*.c"))
    flags = [optimise, *STRICT, *include, *more]
    objects = [compile_one(chip, source, out, flags) for source in own]
    for source in sorted((zcbor_root() / "src").glob("zcbor_[cde]*.c")):
        objects.append(compile_one(chip, source, out, [optimise, "-w", *include]))
    return objects


def program(chip: Chip, source: Path, objects: list[Path], out: Path, *flags: str) -> Path:
    """Link one C program and the objects for a board of this chip."""
    target = out / source.stem
    places = {"code_at": chip.code_at, "data_at": chip.data_at, "data_bytes": chip.data_bytes}
    support = [str(path) for path in sorted(SUPPORT.glob("*.c"))]
    zcbor = ["-isystem", str(zcbor_root() / "include")]
    subprocess.run(
        [GCC, *FLAGS, *chip.flags, "-O1", *flags, *zcbor, "-nostartfiles", "--specs=rdimon.specs",
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
