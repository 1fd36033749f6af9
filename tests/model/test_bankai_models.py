"""Upstream Bankai's patches on models of their shape: bind, apply, revert exactly.

The published files need an 8B shape, a gigabyte of synthetic weights: that test runs where
BANKAI_EDGE_BIG names a directory to keep the file in. A small shape stands in for it everywhere.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bankai_edge.errors import IncompatibleError
from bankai_edge.model import Model, Session
from bankai_edge.model.synth import SHAPES, write_model
from bankai_edge.patch import bankai_json, decode, encode
from bankai_edge.patch.bind import bind
from bankai_edge.patch.bkp import Patch
from bankai_edge.shapes import ModelShape

SMALL = ModelShape("small", 4, 256, 640, 4, 2, 64, 401, 128)
PUBLISHED = ("calculus_generalized_v1", "calculus_group_v1", "calculus_v1", "patch_math_v1")
TOKENS = [3, 99, 42]


def document(*, grouped: bool) -> dict[str, Any]:
    """As upstream writes one, in the order in which its search accepted the flips."""
    rng = random.Random(7)
    places = rng.sample(
        [
            (layer, projection, row, group)
            for layer in range(SMALL.layers)
            for projection in ("gate_proj", "up_proj")
            for row in range(0, SMALL.ffn, 5)
            for group in (range(2) if grouped else (0,))
        ],
        93,
    )
    return {
        "version": 1,
        "format": "bankai_row_xor_v1",
        "name": "like_upstream",
        "base_model": "nobody/synthetic",
        "flips": [
            {"layer": a, "proj": b, "row": c, **({"group": d} if grouped else {})}
            for a, b, c, d in places
        ],
        "stats": {"n_flips": 93, "fitness": 1.25},
    }


def applied_and_reverted(path: Path, patches: list[Patch], modes: tuple[str, ...]) -> None:
    """Every patch alone moves the logits, and leaves not a bit behind."""
    for mode in modes:
        in_place = mode == "in-place"
        model = Model(path, writable=in_place, threads=1)
        session = Session(model, ctx=8, mode="in-place" if in_place else "overlay")
        digest = model.weights_digest()
        base = session.logits(TOKENS)
        for patch in patches:
            bound = encode(bind(patch, model))
            session.use([bound])
            assert not np.array_equal(session.logits(TOKENS), base)
            assert (model.weights_digest() != digest) == in_place
            assert session.weights_intact()
            session.use([])
            assert np.array_equal(session.logits(TOKENS), base)
            assert model.weights_digest() == digest and model.intact()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bankai") / "small.gguf"
    write_model(path, SMALL, 5)
    return path


@pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
def test_a_patch_like_upstreams(small: Path, grouped: bool) -> None:
    given = document(grouped=grouped)
    imported = bankai_json.load(given, Path("like.json"))
    applied_and_reverted(small, [imported], ("overlay", "in-place"))
    bound = decode(encode(bind(imported, Model(small, threads=1))))
    assert bound.bound and bankai_json.dump(bound) == given


def test_a_patch_of_another_shape_is_refused(small: Path) -> None:
    given = document(grouped=False)
    given["flips"][0]["row"] = SMALL.ffn
    imported = bankai_json.load(given, Path("like.json"))
    with pytest.raises(IncompatibleError):
        bind(imported, Model(small, threads=1))


def test_the_published_patches_on_their_shape(shared_data: Path) -> None:
    """The four files on 36 layers of 4096 and 12288: overlaid, and taken back to the bit."""
    if not (place := os.environ.get("BANKAI_EDGE_BIG")):
        pytest.skip("BANKAI_EDGE_BIG names no directory for a synthetic 8B (1.2 GB)")
    path = Path(place) / "synthetic-8b.gguf"
    if not path.exists():
        write_model(path, SHAPES["bonsai-8b"], 0)
    patches = []
    for stem in PUBLISHED:
        source = shared_data / "bankai_patches" / f"{stem}.json"
        given = json.loads(source.read_text())
        imported = bankai_json.load(given, source)
        assert bankai_json.dump(decode(encode(imported))) == given
        patches.append(imported)
    applied_and_reverted(path, patches, ("overlay", "in-place"))
