"""The core's C unit tests under sanitizers, and what its freestanding build may depend on."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

from support.compilers import (
    C_TESTS,
    CHIPS,
    CORE,
    KERNELS,
    PORT,
    SANITIZE,
    STRICT,
    build,
    compiler,
    zcbor_root,
)

# Kernels for a named instruction set guard themselves; every port compiles what it can use.
SOURCES = sorted(CORE.glob("*.c")) + sorted(KERNELS.glob("*.c"))
ISA_ROOM = {"x86_64": "x86", "aarch64": "arm"}.get(platform.machine())


def isa_kernels(gcc: str, out: Path) -> list[Path]:
    """Objects of this machine's own kernels, each with the flags that meson.build gives it."""
    if ISA_ROOM is None:
        return []
    text = (KERNELS / ISA_ROOM / "meson.build").read_text()
    names = dict(re.findall(r"^(\w+) = (\[.*\])$", text, re.M))
    objects = []
    for name, flags in re.findall(r"^  '(\S+)': (.+),$", text, re.M):
        for variable, value in names.items():
            flags = re.sub(rf"\b{variable}\b", value, flags)
        objects.append(out / f"{Path(name).name}.o")
        build([gcc, *STRICT, *SANITIZE, *re.findall(r"'([^']+)'", flags),
               "-c", str(KERNELS / f"{name}.c"), "-o", str(objects[-1])])  # fmt: skip
    return objects


@pytest.mark.parametrize("test", C_TESTS, ids=lambda p: p.stem)
def test_unit(test: Path, tmp_path: Path) -> None:
    """Each file passes its own checks with no address or undefined-behaviour error."""
    gcc = compiler("gcc", "apt-get install gcc")
    zcbor = zcbor_root()
    objects = []
    for source in sorted((zcbor / "src").glob("zcbor_[cde]*.c")):
        objects.append(tmp_path / f"{source.stem}.o")
        build([gcc, "-std=c11", "-w", "-O1", "-fno-strict-aliasing", f"-I{zcbor / 'include'}",
               "-c", str(source), "-o", str(objects[-1])])  # fmt: skip
    if test.stem == "test_kernels":
        objects += [PORT / "bk_cpu.c", *isa_kernels(gcc, tmp_path)]
    binary = tmp_path / test.stem
    build([gcc, *STRICT, "-fno-freestanding", *SANITIZE,
           "-isystem", str(zcbor / "include"), f"-I{test.parent}", str(test),
           *map(str, SOURCES), *map(str, objects), "-o", str(binary)])  # fmt: skip
    done = subprocess.run([str(binary)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("chip", CHIPS)
def test_freestanding(chip: str, tmp_path: Path) -> None:
    """The core needs mem*/str* and nothing else, keeps no mutable data, and its size is known."""
    gcc = compiler("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi")
    zcbor = zcbor_root()
    flags = [*CHIPS[chip], "-mthumb", "-Os", "-ffunction-sections", "-fdata-sections"]
    objects = []
    for source in [*SOURCES, *sorted((zcbor / "src").glob("zcbor_[cde]*.c"))]:
        strict = [] if source.parent == zcbor / "src" else STRICT
        objects.append(tmp_path / f"{source.stem}.o")
        build([gcc, *flags, *(strict or ["-w"]), "-fno-strict-aliasing", "-isystem",
               str(zcbor / "include"), "-c", str(source), "-o", str(objects[-1])])  # fmt: skip
    own = [str(tmp_path / f"{s.stem}.o") for s in SOURCES]
    symbols = subprocess.check_output(["arm-none-eabi-nm", *own], text=True)
    # Keep the core's whole interface; of zcbor, what that interface reaches.
    keep = [f"-u{name}" for name in re.findall(r"^\S+ T (\S+)$", symbols, re.M)]
    whole = str(tmp_path / "core.o")
    build(["arm-none-eabi-ld", "-r", "--gc-sections", *keep, "-o", whole, *map(str, objects)])
    build(["arm-none-eabi-strip", "--strip-unneeded", whole])  # names that nothing refers to
    symbols = subprocess.check_output(["arm-none-eabi-nm", whole], text=True)
    undefined = re.findall(r"^\s+U (\S+)$", symbols, re.M)
    assert undefined and [s for s in undefined if not re.match(r"(mem|str)", s)] == []
    assert re.findall(r"^\S+ [dDbBC] (?!\$)(\S+)$", symbols, re.M) == []
    size = subprocess.check_output(["arm-none-eabi-size", "-t", *own, whole], text=True)
    print(f"\ncore on {chip}, -Os (core.o is the whole, with what it needs of zcbor):\n{size}")
