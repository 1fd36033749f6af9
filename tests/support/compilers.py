"""C compilers for the tests: where they are, and the flags that our C is compiled with."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import ROOT

CORE, KERNELS = ROOT / "cython_ext/core", ROOT / "cython_ext/kernels"
PORT = ROOT / "cython_ext/port"
FIRMWARE = {"test_flash_store", "test_store_cuts"}  # test_firmware_store.py has these
C_TESTS = sorted(p for p in (ROOT / "tests/c").glob("test_*.c") if p.stem not in FIRMWARE)
STRICT = [
    "-std=c11", "-ffreestanding", "-ffp-contract=off", "-Wall", "-Wextra", "-Wconversion",
    "-Wshadow", "-Werror", f"-I{CORE}", f"-I{KERNELS}", f"-I{PORT}",
]  # fmt: skip
SANITIZE = [
    "-g", "-O1", "-fno-strict-aliasing",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
]  # fmt: skip
CHIPS = {
    "cortex-m4": ["-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"],
    "cortex-m7": ["-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16"],
}


def zcbor_root() -> Path:
    """Where zcbor's wheel put its C sources; building the package needs it anyway."""
    spec = importlib.util.find_spec("zcbor")
    if spec is None or spec.origin is None:
        missing("zcbor", "pip install zcbor==0.9.1")
    return Path(spec.origin).parent


def missing(tool: str, remedy: str) -> None:
    """A missing tool is a failure in CI and a skip on a user's machine."""
    message = f"{tool} is not installed ({remedy})"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def compiler(name: str, remedy: str) -> str:
    path = shutil.which(name)
    if path is None:
        missing(name, remedy)
    assert path is not None
    return path


def build(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
