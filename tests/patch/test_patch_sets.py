"""Patches beside and on top of each other: diff, compose, stack-report."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankai_edge._facts import PROJECTIONS
from bankai_edge.cli.main import main
from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.model import Model, Session
from bankai_edge.patch import Patch, decode, encode, files
from bankai_edge.patch.algebra import compose, difference, sections, touched_rows
from bankai_edge.shipped import ARITH, NANO

UNITS = ARITH.with_name("units.bkp")
_place = st.integers(0, 2), st.integers(0, 6), st.integers(0, 9)
_rows = st.sets(st.tuples(*_place), max_size=5)
_bits = st.sets(st.tuples(*_place, st.integers(0, 9)), max_size=5)


@st.composite
def patches(draw: st.DrawFn) -> Patch:
    rows, groups, bits = draw(_rows), draw(_bits), draw(_bits)
    return Patch(
        "p", rows=tuple(sorted(rows)), groups=tuple(sorted(groups)), bits=tuple(sorted(bits))
    )


def composed(*parts: Patch) -> Patch:
    try:
        return compose(parts, "c")
    except BankaiError:
        return Patch("c", provenance={"composed": sorted(p.name for p in parts)})


@given(patches(), patches(), patches())
def test_composition_is_exclusive_or(a: Patch, b: Patch, c: Patch) -> None:
    whole = composed(a, b, c)
    assert all(composed(*order) == whole for order in permutations((a, b, c)))
    twice = composed(a, b, b)
    assert (twice.rows, twice.groups, twice.bits) == (a.rows, a.groups, a.bits)
    found = difference(a, b)
    both = composed(a, b)
    assert found.only_first.n_flips + found.only_second.n_flips == both.n_flips
    assert found.both.n_flips * 2 + both.n_flips == a.n_flips + b.n_flips
    assert set(found.shared_rows) == touched_rows(a) & touched_rows(b)
    parts = list(sections(a).values())
    assert sum(p.n_flips for p in parts) == a.n_flips
    if parts:
        again = composed(*parts)
        assert (again.rows, again.groups, again.bits) == (a.rows, a.groups, a.bits)


def test_a_composed_patch_is_the_stack() -> None:
    """Bit for bit, also where a row and single bits of it are flipped."""
    model = Model(NANO, threads=1)
    row = Patch("row", rows=((0, 6, decode(ARITH.read_bytes()).bits[-1][2]),))
    stack = [ARITH.read_bytes(), UNITS.read_bytes(), encode(row)]
    whole = encode(compose([decode(data) for data in stack], "c"))
    session = Session(model, ctx=32)
    tokens = model.tokenizer.encode("what is 12+34?")
    base = session.logits(tokens)
    session.use(stack, allow_unbound=True)
    stacked = session.logits(tokens)
    session.use([whole], allow_unbound=True)
    assert np.array_equal(session.logits(tokens), stacked)
    assert not np.array_equal(stacked, base)


def test_patches_of_two_models_do_not_compose() -> None:
    a = Patch("a", rows=((0, 0, 0),), model_id=bytes(32), crc=1)
    b = Patch("b", rows=((0, 0, 1),), model_id=bytes([1] * 32), crc=1)
    with pytest.raises(IncompatibleError, match="one model"):
        compose([a, b], "c")
    with pytest.raises(BankaiError, match="cancel"):
        compose([a, a], "c")


def run_json(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words), "--json"])
    assert stop.value.code == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["version"] == 1
    return found


def test_the_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, other = tmp_path / "both.bkp", tmp_path / "other.bkp"
    found = run_json(capsys, "patch", "compose", ARITH, UNITS, "-o", out, "-m", NANO)
    run_json(capsys, "patch", "compose", UNITS, ARITH, "-o", other, "-m", NANO, "--name", "both")
    assert out.read_bytes() == other.read_bytes()
    a, b, whole = (files.read(path) for path in (ARITH, UNITS, out))
    shared = set(a.bits) & set(b.bits)  # they cancel
    assert whole.bound and found["flips"] == whole.n_flips
    assert whole.n_flips == a.n_flips + b.n_flips - 2 * len(shared)
    shown = run_json(capsys, "patch", "diff", ARITH, out)
    assert shown["only_first"]["flips"] == len(shared) and not shown["same"]
    assert shown["only_second"]["flips"] == b.n_flips - len(shared)
    name, n = next(iter(shown["both"]["sections"].items()))
    layer, projection = name.split(".")
    place = int(layer), PROJECTIONS.index(projection)
    assert n == sum(flip[:2] == place for flip in set(a.bits) - shared)


def test_the_stack_report(capsys: pytest.CaptureFixture[str]) -> None:
    probes = ("--probes", "nano:add_question", "--probes", "nano:unit_are", "--limit", "40")
    found = run_json(capsys, "patch", "stack-report", ARITH, UNITS, *probes)
    shared = set(files.read(ARITH).bits) & set(files.read(UNITS).bits)
    assert found["overlaps"][0]["shared_flips"] == len(shared)
    alone, other, stack = (row["changes"] for row in found["effects"]["rows"])
    assert alone["nano:add_question"]["fixed"] > 5 < other["nano:unit_are"]["fixed"]
    for name in alone:
        assert stack[name]["fixed"] > 5 and stack[name]["n"] == 40
    assert 0 < found["effects"]["interference"] < found["effects"]["shift"]
