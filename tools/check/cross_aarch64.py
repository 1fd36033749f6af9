"""Cross-compile the core's C programs for aarch64 and run them under QEMU's user mode.

What the tests and `count_instructions.py` share: which sources and flags (Meson's lists), which of
the Raspberry Pis' CPUs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "cython_ext"))

import core_build as core  # noqa: E402

GCC, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64"
SYSROOT = "/usr/aarch64-linux-gnu"  # where Debian puts the cross compiler's libraries
PACKAGES = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"  # Debian's names
CPUS = {  # CPU: the board that has it, whether it has the dot product instructions
    "cortex-a53": ("Raspberry Pi 3, Zero 2 W", False),
    "cortex-a72": ("Raspberry Pi 4", False),
    "cortex-a76": ("Raspberry Pi 5", True),
}
KERNELS = ("neon-lut", "neon-sdot", "neon-popcount", "scalar")  # of bk_layout.h
FLAGS = [core.DIALECT, *core.FLOAT_FLAGS, "-O3", *core.include(), f"-I{core.LINUX}"]
STRICT = [*core.FLAGS, *core.WARNINGS, "-Werror"]


def missing_tool() -> str | None:
    """The first program that is not installed, or None."""
    return next((tool for tool in (GCC, QEMU) if shutil.which(tool) is None), None)


def compile_one(source: Path, out: Path, flags: list[str]) -> Path:
    """Compile one source to an object in `out`; raises CalledProcessError with gcc's words."""
    target = out / f"{source.stem}.o"
    subprocess.run([GCC, *FLAGS, *flags, "-c", str(source), "-o", str(target)], check=True)
    return target


def library(out: Path) -> list[Path]:
    """Objects of the whole core, every kernel and what Linux has beside them."""
    kernels = core.kernels("arm").items()
    return [
        *(compile_one(source, out, STRICT) for source in core.SOURCES),
        *(compile_one(source, out, [*STRICT, *flags]) for source, flags in kernels),
        *(compile_one(source, out, core.LINUX_FLAGS) for source in core.LINUX_SOURCES),
    ]


def program(source: Path, objects: list[Path], out: Path) -> Path:
    """Link one C program statically with `objects`, so that it needs no foreign root."""
    target = out / source.stem
    subprocess.run(
        [GCC, *FLAGS, *core.LINUX_FLAGS, "-O1", "-static", str(source), *map(str, objects),
         "-lpthread", "-o", str(target)],
        check=True,
    )  # fmt: skip
    return target


def run(binary: Path, cpu: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an aarch64 program on an emulated CPU."""
    command = [QEMU, "-L", SYSROOT, "-cpu", cpu, str(binary), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)
