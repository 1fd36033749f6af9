"""What the core says of itself, and that Python's types name the same."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bankai_edge
from bankai_edge import _facts
from bankai_edge._facts import Err


def test_every_error_has_a_name_words_and_a_type() -> None:
    """bk_error.h is the list; the stub names those that Python asks for."""
    stub = ast.parse(Path(bankai_edge.__file__).with_name("_facts.pyi").read_text())
    declared = next(node for node in stub.body if isinstance(node, ast.ClassDef))
    names = [n.targets[0].id for n in declared.body  # type: ignore[attr-defined]
             if isinstance(n, ast.Assign)]  # fmt: skip
    assert len(names) > 15 and set(names) <= {error.name for error in Err}
    assert all(error < 0 and _facts.error_text(error) for error in Err)
    assert len({_facts.error_text(error) for error in Err}) == len(Err)
    assert "does not know" in _facts.error_text(-999)


@pytest.mark.parametrize(
    "name", ["", "A", ".a", "-a", "a b", "a/b", "ä", "a" * 33, "a\0", "\ud800"]
)
def test_no_name(name: str) -> None:
    assert not _facts.name_ok(name)


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,31}", fullmatch=True))
def test_names(name: str) -> None:
    assert _facts.name_ok(name)


def test_facts_are_light(tmp_path: Path) -> None:
    """A verb for devices may ask for them without waiting for NumPy."""
    code = "import sys; from bankai_edge import refusals; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
