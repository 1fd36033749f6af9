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


def test_for_a_chip_it_needs_nothing_but_the_core_and_keeps_its_state_in_sight(
    tmp_path: Path,
) -> None:
    """No malloc, no printf, no warnings; all that changes lies in these variables."""
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc is None:
        missing("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi")
    rooms = {"src": {"device", "line", "here"}, "session": {"here"}, "switcher": set(),
             "unsigned": set()}  # fmt: skip
    include = [f"-I{ROOT / 'firmware' / folder}" for folder in ("include", *rooms)]
    for room, state in rooms.items():
        out = tmp_path / room
        out.mkdir()
        sources = sorted((ROOT / "firmware" / room).glob("*.c"))
        subprocess.run(
            [str(gcc), "-mcpu=cortex-m4", "-mthumb", "-Os", *core.FLAGS, *core.WARNINGS, "-Werror",
             "-c", *include, *core.include(), *map(str, sources)], check=True, cwd=out,
        )  # fmt: skip
        objects = [str(path) for path in out.glob("*.o")]
        symbols = subprocess.check_output(["arm-none-eabi-nm", *objects], text=True)
        needed = {*re.findall(r"^ +U (\S+)$", symbols, re.M)}
        assert not [n for n in needed if not re.match(r"bk_|mem|str|__aeabi_", n)]
        assert {*re.findall(r"^\S+ [dDbBC] (\S+)$", symbols, re.M)} == state


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The core's sentences and characters as a library."""
    out = tmp_path_factory.mktemp("parts") / "parts.so"
    names = ("bk_say", "bk_divide", "bk_utf8", "bk_utf8_class", "bk_unicode")
    subprocess.run(
        ["gcc", core.DIALECT, "-O1", "-shared", "-fPIC", *core.include(),
         *(str(core.find(f"{name}.c")) for name in names), "-o", str(out)], check=True,
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
