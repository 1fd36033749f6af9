"""The microcontroller's patch store: its C tests under sanitizers, and what it costs on a chip."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import core_build as core
import pytest

from support.compilers import CHIPS, ROOT, SANITIZE, STRICT, build, compiler

FIRMWARE = ROOT / "firmware"
STORE = [p for p in sorted((FIRMWARE / "store").glob("*.c")) if p.stem != "bk_store_device"]
INCLUDE = [f"-I{FIRMWARE / 'include'}", f"-I{FIRMWARE / 'store'}"]


@pytest.mark.parametrize("test", ["test_flash_store", "test_store_cuts"])
def test_unit(test: str, tmp_path: Path) -> None:
    """Each keeps its promises on simulated flash, with no address or undefined-behaviour error."""
    gcc = compiler("gcc", "apt-get install gcc")
    source = ROOT / "tests/c" / f"{test}.c"
    binary = tmp_path / test
    sources = [source, *STORE, core.find("bk_crc.c"), core.find("bk_name.c")]
    build([gcc, *STRICT, "-fno-freestanding", *SANITIZE, "-O2", *INCLUDE, f"-I{source.parent}",
           *map(str, sources), "-o", str(binary)])  # fmt: skip
    done = subprocess.run([str(binary)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


@pytest.mark.parametrize("chip", CHIPS)
def test_freestanding(chip: str, tmp_path: Path) -> None:
    """It needs the core's CRC, names and mem*/str*, keeps no mutable data, and is small."""
    gcc = compiler("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi")
    objects = [tmp_path / f"{source.stem}.o" for source in STORE]
    for source, output in zip(STORE, objects, strict=True):
        build([gcc, *CHIPS[chip], "-mthumb", "-Os", "-fbuiltin", *STRICT, *INCLUDE,
               "-c", str(source), "-o", str(output)])  # fmt: skip
    whole = tmp_path / "store.o"
    build(["arm-none-eabi-ld", "-r", "-o", str(whole), *map(str, objects)])
    symbols = subprocess.check_output(["arm-none-eabi-nm", str(whole)], text=True)
    undefined = re.findall(r"^\s+U (\S+)$", symbols, re.M)
    needed = r"bk_crc32c|bk_name_order|(mem|str).*"
    assert [s for s in undefined if not re.fullmatch(needed, s)] == []
    assert re.findall(r"^\S+ [dDbBC] (?!\$)(\S+)$", symbols, re.M) == []
    size = subprocess.check_output(["arm-none-eabi-size", str(whole)], text=True)
    print(f"\nstore and both flash drivers on {chip}, -Os:\n{size}")
    assert int(size.splitlines()[1].split()[0]) < 8 * 1024
