"""Upstream Bankai's JSON goes in and comes out equal, whatever its age."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankai_edge._facts import PROJECTIONS
from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.patch import Patch, bankai_json, decode, encode

PUBLISHED = ["calculus_generalized_v1", "calculus_group_v1", "calculus_v1", "patch_math_v1"]
ROW: dict[str, Any] = {"layer": 3, "proj": "up_proj", "row": 9}

_flip = st.tuples(
    st.integers(0, 63), st.sampled_from(PROJECTIONS), st.integers(0, 20000),
    st.none() | st.integers(0, 95),
)  # fmt: skip
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=4,
)  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Any Bankai document, of any age, with fields that nobody has thought of yet."""
    document: dict[str, Any] = {
        f"x{key}": value
        for key, value in draw(st.dictionaries(st.text(max_size=6), _json, max_size=3)).items()
    }
    document.update(
        draw(st.sampled_from([{"format": "bankai_row_xor_v1"}, {"type": "row_flip"}, {}]))
    )
    if draw(st.booleans()):
        document["name"] = draw(st.text(max_size=40) | st.just("patch_v1"))
    document["flips"] = [
        {"layer": layer, "proj": proj, "row": row, **({} if group is None else {"group": group})}
        for layer, proj, row, group in draw(st.lists(_flip, min_size=1, max_size=20, unique=True))
    ]
    return document


@given(documents(), st.none() | st.just("renamed"))
def test_round_trip(document: dict[str, Any], name: str | None) -> None:
    imported = bankai_json.load(document, Path("some/file_v1.json"), name)
    assert not imported.bound
    assert name is None or imported.name == name
    exported = bankai_json.dump(decode(encode(imported)))
    assert json.dumps(exported, sort_keys=True) == json.dumps(document, sort_keys=True)


@pytest.mark.parametrize("stem", PUBLISHED)
def test_published_patches(shared_data: Path, stem: str) -> None:
    """The four published files, among them all the legacy variants."""
    path = shared_data / "bankai_patches" / f"{stem}.json"
    if not path.exists():
        pytest.skip(f"no {path.name} beside the repository")
    document = json.loads(path.read_text())
    imported = bankai_json.load(document, path)
    assert imported.name == stem
    assert imported.n_flips == len(document["flips"])
    data = encode(imported)
    exported = bankai_json.dump(decode(data))
    assert exported == document
    assert list(exported) == list(document)
    first = document["flips"][0]
    place = (first["layer"], PROJECTIONS.index(first["proj"]), first["row"])
    if "group" in first:
        assert (*place, first["group"]) in imported.groups
    else:
        assert place in imported.rows


def test_sorted_flips_need_no_order() -> None:
    flips = [ROW, {**ROW, "row": 10}]
    straight = bankai_json.load({"name": "a", "flips": flips}, Path("f.json"))
    assert straight.provenance == {"bankai": {}}
    turned = bankai_json.load({"name": "a", "flips": flips[::-1]}, Path("f.json"))
    assert turned.rows == straight.rows
    assert turned.provenance == {"bankai": {"order": b"\x80"}}


def test_names() -> None:
    """The document's name, made a patch name; else the file's."""
    for named, expected in [
        ("Calculus V1!", "calculus-v1"),
        ("", "unnamed"),
        ("x" * 50, "x" * 32),
        ("../up", "up"),
    ]:
        document = {"name": named, "flips": [ROW]}
        imported = bankai_json.load(document, Path("unnamed.json"))
        assert imported.name == expected
        assert bankai_json.dump(imported) == document
    assert bankai_json.load({"flips": [ROW]}, Path("dir/My Patch.json")).name == "my-patch"


def test_a_new_document() -> None:
    """A patch that never was JSON becomes a plain upstream document."""
    patch = Patch("mine", domain="units", rows=((0, 6, 1),), groups=((1, 0, 2, 3),))
    assert bankai_json.dump(patch) == {
        "version": 1,
        "format": "bankai_row_xor_v1",
        "name": "mine",
        "description": "units",
        "flips": [
            {"layer": 0, "proj": "down_proj", "row": 1},
            {"layer": 1, "proj": "q_proj", "row": 2, "group": 3},
        ],
        "stats": {"n_flips": 2},
    }


def test_bits_have_no_json() -> None:
    with pytest.raises(IncompatibleError, match="single bits"):
        bankai_json.dump(Patch("mine", bits=((0, 0, 0, 0),)))


def test_an_order_of_other_flips() -> None:
    patch = Patch("mine", rows=((0, 0, 0), (0, 0, 1)), provenance={"bankai": {"order": b"\xc0"}})
    with pytest.raises(BankaiError, match="order"):
        bankai_json.dump(patch)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"flips": {}},
        {"flips": []},
        {"format": "bankai_row_xor_v2", "flips": [ROW]},
        {"type": "lora", "flips": [ROW]},
        {"name": 7, "flips": [ROW]},
        {"flips": ["row"]},
        {"flips": [{"layer": 1, "proj": "up_proj"}]},
        {"flips": [{**ROW, "proj": "lm_head"}]},
        {"flips": [{**ROW, "row": -1}]},
        {"flips": [{**ROW, "row": 1.0}]},
        {"flips": [{**ROW, "layer": True}]},
        {"flips": [{**ROW, "group": None}]},
        {"flips": [{**ROW, "scale": 2}]},
        {"flips": [ROW, ROW]},
        {"flips": [{**ROW, "proj": ["up_proj"]}]},
    ],
    ids=repr,
)
def test_other_documents_are_refused(document: object) -> None:
    with pytest.raises(IncompatibleError, match=r"f\.json is no Bankai patch"):
        bankai_json.load(document, Path("f.json"))
