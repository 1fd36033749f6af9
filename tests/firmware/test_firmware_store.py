"""What the microcontroller's store costs on a chip; core/test_core_c.py runs its C tests."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import core_build as core
import pytest

from support.compilers import CHIPS, ROOT, STRICT, build, compiler

FIRMWARE = ROOT / "firmware"
STORE: list[Path] = core.lists(FIRMWARE / "store")["store_sources"]
INCLUDE = [f"-I{FIRMWARE / 'include'}", f"-I{FIRMWARE / 'store'}"]


@pytest.mark.parametrize("chip", CHIPS)
def test_freestanding(chip: str, tmp_path: Path) -> None:
    """The store needs the core's CRC, names and mem*, keeps no mutable data, and is small."""
    gcc = compiler("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi")
    objects = [tmp_path / f"{source.stem}.o" for source in STORE]
    for source, output in zip(STORE, objects, strict=True):
        build([gcc, *CHIPS[chip], "-mthumb", "-Os", "-fbuiltin", *STRICT, *INCLUDE,
               "-c", str(source), "-o", str(output)])  # fmt: skip
    whole = tmp_path / "store.o"
    build(["arm-none-eabi-ld", "-r", "-o", str(whole), *map(str, objects)])
    symbols = subprocess.check_output(["arm-none-eabi-nm", str(whole)], text=True)
    undefined = re.findall(r"^\s+U (\S+)$", symbols, re.M)
    needed = {name for name in undefined if not re.match(r"mem|str", name)}
    assert needed == {"bk_crc32c", "bk_name_order"}
    assert re.findall(r"^\S+ [dDbBC] (?!\$)(\S+)$", symbols, re.M) == []
    size = subprocess.check_output(["arm-none-eabi-size", str(whole)], text=True)
    print(f"\nstore and both flash drivers on {chip}, -Os:\n{size}")
    assert int(size.splitlines()[1].split()[0]) < 8 * 1024
