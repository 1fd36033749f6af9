"""Cross-compile the core's C programs for aarch64 and run them under QEMU's user mode.

What the tests and `count_instructions.py` share: which sources, which flags (the ones that
meson.build gives each kernel), which of the Raspberry Pis' CPUs.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE, KERNELS, PORT = (ROOT / "cython_ext" / room for room in ("core", "kernels", "port"))
GCC, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64"
SYSROOT = "/usr/aarch64-linux-gnu"  # where Debian puts the cross compiler's libraries
PACKAGES = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"  # Debian's names
CPUS = {  # CPU: the board that has it, whether it has the dot product instructions
    "cortex-a53": ("Raspberry Pi 3, Zero 2 W", False),
    "cortex-a72": ("Raspberry Pi 4", False),
    "cortex-a76": ("Raspberry Pi 5", True),
}
FLAGS = [
    "-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing",
    f"-I{CORE}", f"-I{KERNELS}", f"-I{PORT}",
]  # fmt: skip
STRICT = ["-ffreestanding", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


def missing_tool() -> str | None:
    """The first program that is not installed, or None."""
    return next((tool for tool in (GCC, QEMU) if shutil.which(tool) is None), None)


def kernel_flags() -> dict[Path, list[str]]:
    """Every aarch64 kernel source and the flags that its meson.build names."""
    text = (KERNELS / "arm" / "meson.build").read_text()
    lists = dict(re.findall(r"^(\w+) = (\[.*\])$", text, re.M))
    entries = re.findall(r"^  '(\S+)': (.+),$", text, re.M)
    return {
        KERNELS / f"{name}.c": re.findall(r"'([^']+)'", lists.get(flags, flags))
        for name, flags in entries
    }


def compile_one(source: Path, out: Path, flags: list[str]) -> Path:
    """Compile one source to an object in `out`; raises CalledProcessError with gcc's words."""
    target = out / f"{source.stem}.o"
    subprocess.run([GCC, *FLAGS, *flags, "-c", str(source), "-o", str(target)], check=True)
    return target


def library(out: Path) -> list[Path]:
    """Objects of the whole core, every kernel, the CPU's port and zcbor."""
    spec = importlib.util.find_spec("zcbor")
    assert spec is not None and spec.origin is not None, "pip install zcbor==0.9.1"
    zcbor = Path(spec.origin).parent
    include = ["-isystem", str(zcbor / "include")]
    objects = [
        compile_one(source, out, [*STRICT, *include])
        for source in sorted([*CORE.glob("*.c"), *KERNELS.glob("*.c")])
    ]
    for source, flags in kernel_flags().items():
        objects.append(compile_one(source, out, [*STRICT, *flags]))
    for source in sorted((zcbor / "src").glob("zcbor_[cde]*.c")):
        objects.append(compile_one(source, out, ["-w", *include]))
    for name in ("bk_cpu.c", "bk_cpu_crc.c", "bk_pool.c"):
        objects.append(compile_one(PORT / name, out, ["-D_GNU_SOURCE"]))
    return objects


def program(source: Path, objects: list[Path], out: Path) -> Path:
    """Link one C program statically with `objects`, so that it needs no foreign root."""
    target = out / source.stem
    subprocess.run(
        [GCC, *FLAGS, "-D_GNU_SOURCE", "-O1", "-static", str(source), *map(str, objects),
         "-lpthread", "-o", str(target)],
        check=True,
    )  # fmt: skip
    return target


def run(binary: Path, cpu: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an aarch64 program on an emulated CPU."""
    command = [QEMU, "-L", SYSROOT, "-cpu", cpu, str(binary), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)
