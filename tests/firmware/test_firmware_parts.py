"""The firmware's sources by themselves: what they need on a chip, and their text functions."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import core_build as core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import ROOT
from support.compilers import missing


@pytest.mark.parametrize("define", ["BK_INFERENCE", "BK_SWITCHER"])
def test_for_a_chip_it_needs_nothing_but_the_core_and_keeps_two_variables(
    define: str, tmp_path: Path
) -> None:
    """No malloc, no printf, no warnings; all that changes lies in `device` and `line`."""
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc is None:
        missing("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi")
    folders = ("firmware/src", "firmware/include")
    subprocess.run(
        [str(gcc), "-mcpu=cortex-m4", "-mthumb", "-Os", *core.FLAGS, *core.WARNINGS, "-Werror",
         f"-D{define}", "-c", *(f"-I{ROOT / folder}" for folder in folders), *core.include(),
         *map(str, sorted((ROOT / "firmware/src").glob("*.c")))], check=True, cwd=tmp_path,
    )  # fmt: skip
    objects = [str(path) for path in tmp_path.glob("*.o")]
    symbols = subprocess.check_output(["arm-none-eabi-nm", *objects], text=True)
    needed = {*re.findall(r"^ +U (\S+)$", symbols, re.M)}
    assert needed and not [n for n in needed if not re.match(r"bk_|mem|str|__aeabi_", n)]
    assert {*re.findall(r"^\S+ [dDbBC] (\S+)$", symbols, re.M)} == {"device", "line"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """say.c and utf8.c as a library."""
    out = tmp_path_factory.mktemp("parts") / "parts.so"
    source = ROOT / "firmware/src"
    files = [source / "say.c", source / "utf8.c", core.find("bk_unicode.c")]
    subprocess.run(
        ["gcc", core.DIALECT, "-O1", "-shared", "-fPIC", f"-I{source}", *core.include(),
         *map(str, files), "-o", str(out)], check=True,
    )  # fmt: skip
    return ctypes.CDLL(str(out))


@given(data=st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode)))
def test_bytes_become_the_text_that_python_makes_of_them(parts: ctypes.CDLL, data: bytes) -> None:
    state, out, text = ctypes.create_string_buffer(5), ctypes.create_string_buffer(7), b""
    parts.bk_utf8_feed.argtypes = [ctypes.c_char_p, ctypes.c_uint8, ctypes.c_char_p]
    parts.bk_utf8_feed.restype = parts.bk_utf8_finish.restype = ctypes.c_size_t
    for byte in data:
        n = parts.bk_utf8_feed(state, byte, out)
        text += out.raw[:n]
    n = parts.bk_utf8_finish(state, out)
    text += out.raw[:n]
    assert text.decode() == data.decode(errors="replace")


class Say(ctypes.Structure):
    _fields_ = (("text", ctypes.c_char_p), ("cap", ctypes.c_size_t), ("n", ctypes.c_size_t))


@given(
    text=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=40), cap=st.integers(1, 70)
)
def test_a_sentence_is_cut_between_characters(parts: ctypes.CDLL, text: str, cap: int) -> None:
    buffer = ctypes.create_string_buffer(cap)
    say = Say()
    parts.bk_say_start(ctypes.byref(say), buffer, ctypes.c_size_t(cap))
    raw = text.encode()
    parts.bk_say_bytes(ctypes.byref(say), raw, ctypes.c_size_t(len(raw)))
    assert text.startswith(buffer.value.decode()) and len(buffer.value) < cap
    whole = ctypes.create_string_buffer(400)
    parts.bk_say_start(ctypes.byref(say), whole, ctypes.c_size_t(400))
    parts.bk_say_quoted(ctypes.byref(say), raw, ctypes.c_size_t(len(raw)))
    shown = text if len(text) <= 24 else text[:23] + "…"
    assert whole.value.decode() == repr(shown)
