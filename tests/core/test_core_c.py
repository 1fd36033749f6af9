"""The core's C unit tests under sanitizers, and what its freestanding build may depend on."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import core_build as core
import pytest

from support.compilers import C_TESTS, CHIPS, ROOT, STORE_TESTS, STRICT, build, compiler, missing

MESON = [sys.executable, "-m", "mesonbuild.mesonmain"]


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Meson's build of tests/c."""
    for module in ("mesonbuild", "ninja", "Cython"):
        if find_spec(module) is None:
            missing(module, "pip install meson ninja Cython")
    compiler("gcc", "apt-get install gcc")
    out = tmp_path_factory.mktemp("tests")
    build([*MESON, "setup", "-Dtests=true", str(out), str(ROOT)])
    return out


@pytest.mark.parametrize("test", [*C_TESTS, *STORE_TESTS], ids=lambda p: p.stem)
def test_unit(test: Path, tests: Path) -> None:
    """Each file passes its own checks with no address or undefined-behaviour error."""
    command = [*MESON, "test", "-C", str(tests), "--print-errorlogs", test.stem]
    done = subprocess.run(command, capture_output=True, text=True)
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
