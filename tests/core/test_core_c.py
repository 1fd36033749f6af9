"""The core's C unit tests under sanitizers, and what its freestanding build may depend on."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import core_build as core
import pytest

from support.compilers import C_TESTS, CHIPS, SANITIZE, STRICT, build, compiler

ISA_ROOM = {"x86_64": "x86", "aarch64": "arm"}.get(platform.machine())


def isa_kernels(gcc: str, out: Path) -> list[Path]:
    """Objects of this machine's own kernels, each with the flags that meson.build gives it."""
    if ISA_ROOM is None:
        return []
    objects = []
    for source, flags in core.kernels(ISA_ROOM).items():
        objects.append(out / f"{source.stem}.o")
        build([gcc, *STRICT, *SANITIZE, *flags, "-c", str(source), "-o", str(objects[-1])])
    return objects


@pytest.mark.parametrize("test", C_TESTS, ids=lambda p: p.stem)
def test_unit(test: Path, tmp_path: Path) -> None:
    """Each file passes its own checks with no address or undefined-behaviour error."""
    gcc = compiler("gcc", "apt-get install gcc")
    objects = []
    if test.stem == "test_kernels":
        objects = [core.LINUX / "bk_cpu.c", *isa_kernels(gcc, tmp_path)]
    binary = tmp_path / test.stem
    build([gcc, *STRICT, "-fno-freestanding", *SANITIZE, f"-I{test.parent}", str(test),
           *map(str, core.SOURCES), *map(str, objects), "-o", str(binary)])  # fmt: skip
    done = subprocess.run([str(binary)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("chip", CHIPS)
def test_freestanding(chip: str, tmp_path: Path) -> None:
    """The core needs mem*/str* and nothing else, keeps no mutable data, and its size is known."""
    gcc = compiler("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi")
    flags = [*CHIPS[chip], "-mthumb", "-Os", "-ffunction-sections", "-fdata-sections"]
    objects = [tmp_path / f"{source.stem}.o" for source in core.SOURCES]
    for source, output in zip(core.SOURCES, objects, strict=True):
        build([gcc, *flags, *STRICT, "-c", str(source), "-o", str(output)])
    own = [str(path) for path in objects if path.stem != "zcbor"]
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
