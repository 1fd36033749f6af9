"""Agreement with llama.cpp: the committed comparison keeps its bounds, and our side still holds.

tools/make/agree_llama.py made the golden file with llama.cpp at hand; here only this engine runs.
Equal hashes mean equal logits, so that the figures in the file are today's figures.
"""

from __future__ import annotations

import json
from pathlib import Path

import agreement as a
import numpy as np
import pytest

from bankai_edge.model import Model

GOLDEN = json.loads(a.GOLDEN.read_text())
NANO = GOLDEN["nano"]


def test_the_bounds_are_kept() -> None:
    assert a.missed(GOLDEN) == []


@pytest.mark.parametrize("case", a.SAMPLING_CASES, ids=lambda c: str(c.sampling))
def test_sampling_leaves_what_llama_cpp_leaves(case: a.SamplingCase) -> None:
    theirs = GOLDEN["sampling"][case.number]
    assert a.same_choices(case.choices(), theirs)
    assert 1 <= len(theirs) < 96


def test_nano_logits_are_those_that_were_compared(nano_path: Path) -> None:
    model = Model(nano_path)
    assert model.id.hex() == NANO["model_id"], a.REMAKE
    rows = a.our_logits(
        nano_path, [model.tokenizer.encode(t) for t in a.texts(NANO["texts_per_form"])]
    )
    assert len(rows) == NANO["positions"]
    assert a.rows_hash(rows) == NANO["logits_sha256"], a.REMAKE
    ours = np.exp(a.log_softmax(rows))
    for position, line in NANO["llama_top"].items():
        for entry in line.split():
            token, log_p = entry.split("=")
            assert abs(ours[int(position), int(token)] - np.exp(float(log_p))) < 0.05, position


def test_nano_answers_are_those_that_were_compared(nano_path: Path) -> None:
    answers = a.our_answers(nano_path, a.prompts(NANO["questions_per_form"]))
    assert len(answers) == NANO["questions"]
    assert a.texts_hash(answers) == NANO["answers_sha256"], a.REMAKE


@pytest.mark.parametrize("index", range(len(a.CASES)), ids=[c.shape.name for c in a.CASES])
def test_distance_from_float64(index: int, tmp_path: Path) -> None:
    """On random weights, as far from float64 as when llama.cpp's own distance was measured."""
    case, golden = a.CASES[index], GOLDEN["synthetic"][index]
    path = case.write(tmp_path)
    assert Model(path).id.hex() == golden["model_id"], a.REMAKE
    rows = a.our_logits(path, [case.tokens])
    assert a.rows_hash(rows) == golden["logits_sha256"], a.REMAKE
    found = a.distance(rows, a.float64_logits(path, case.tokens))
    for key, most in a.RATIO_MOST.items():
        assert found[key] == pytest.approx(golden["ours"][key], rel=1e-6)
        assert found[key] <= most * golden["llama"][key]
