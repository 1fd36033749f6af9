"""C compilers for the tests: where they are, and the flags that our C is compiled with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import core_build as core
import pytest

from support import ROOT

_tests = core.lists(ROOT / "tests/c")
C_TESTS: list[Path] = _tests["core_tests"]
STORE_TESTS: list[Path] = _tests["store_tests"]
STRICT = [*core.FLAGS, *core.WARNINGS, "-Werror", *core.include(), f"-I{core.LINUX}"]
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
CHIPS = {
    "cortex-m4": ["-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"],
    "cortex-m7": ["-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16"],
}


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


def no_count_has_risen(program: str, table: str) -> None:
    """A counted table of boards/counts still holds; another compiler's are not comparable."""
    command = [sys.executable, str(ROOT / "tools/check" / program), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 2:
        missing(f"the compiler of boards/counts/{table}", done.stderr.strip())
    assert done.returncode == 0, done.stderr
