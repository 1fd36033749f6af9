"""Search: packs that never mix, a judge that agrees with greedy decoding, steps that pay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bankai_edge.errors import UsageError
from bankai_edge.model import Model, Session
from bankai_edge.models import ARITH
from bankai_edge.patch.bkp import Patch, decode, encode
from bankai_edge.search.domains import items
from bankai_edge.search.evaluate import Change, Evaluator, Scores
from bankai_edge.search.greedy import BitSearch, Flips, Gains, Limits, as_bytes, best_bits
from bankai_edge.search.objective import Objective
from bankai_edge.search.probes import Pack, Probe, Sizes, judge_pack, search_packs, tokenise

FORM = "add_question"  # what arith.bkp teaches
SMALL = Sizes(6, 23), Sizes(4, 23)


@pytest.fixture(scope="module")
def model(nano_path: Path) -> Model:
    return Model(nano_path)


@pytest.fixture(scope="module")
def some(model: Model) -> tuple[Probe, ...]:
    chosen = items("arithmetic", FORM, "probe", 6, seed=3)
    chosen += items("home", "home_for", "probe", 2, seed=3)
    chosen += [replace(i, answer="OK") for i in items("units", "unit_in", "probe", 2, seed=3)]
    return tokenise(chosen, model.tokenizer)


def test_packs_share_no_item_and_come_from_their_split(model: Model) -> None:
    packs = search_packs(FORM, model.tokenizer, seed=5)
    judge = judge_pack(FORM, model.tokenizer)
    asked = [{p.item.prompt for p in (*k.target, *k.control)} for k in (*packs, judge)]
    assert len(set.union(*asked)) == sum(map(len, asked))
    assert {p.item.split for k in packs for p in (*k.target, *k.control)} == {"probe"}
    assert {p.item.split for p in (*judge.target, *judge.control)} == {"heldout"}
    assert {p.item.form for p in judge.target} == {FORM}
    assert len(judge.target) >= 400 and len(judge.control) >= 900
    assert len({p.item.form for p in judge.control}) == 23
    assert (
        search_packs(FORM, model.tokenizer, seed=5)
        == packs
        != search_packs(FORM, model.tokenizer, seed=6)
    )
    with pytest.raises(UsageError, match="no form"):
        judge_pack("add_nothing", model.tokenizer)


def test_scores_are_those_of_one_forward_pass_each(model: Model, some: tuple[Probe, ...]) -> None:
    """Shared prefixes and threads change no bit, with a patch or without."""
    session = Session(model, ctx=64)
    evaluator = Evaluator(model, threads=2)
    for patches in ([], [ARITH.read_bytes()], []):
        session.use(patches)
        got = evaluator.scores(some, patches)
        for i, probe in enumerate(some):
            rows = session.logits(probe.tokens)[len(probe.prompt) - 1 :].astype(np.float64)
            norm = np.log(np.exp(rows - rows.max(1)[:, None]).sum(1)) + rows.max(1)
            right = rows[np.arange(len(rows)), probe.answer]
            assert got.logprob[i] == (right - norm).sum()
            assert (got.margin[i] > 0) == (tuple(rows.argmax(1)) == probe.answer)


def test_exact_match_is_greedy_text(model: Model, some: tuple[Probe, ...]) -> None:
    session = Session(model, ctx=64)
    patch = ARITH.read_bytes()
    for patches in ([], [patch]):
        session.use(patches)
        texts = ["".join(session.generate(p.item.prompt, max_tokens=24)) for p in some]
        want = [text == p.item.answer for text, p in zip(texts, some, strict=True)]
        assert Evaluator(model).exact(some, patches).tolist() == want
        assert True in want and False in want


def test_changes_are_counted_both_ways() -> None:
    before, after = np.array([0, 0, 1, 1, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    assert Change.between(before, after) == Change(5, before=3, after=2, fixed=1, broken=2)


def _scores(logprob: list[float], margin: list[float]) -> Scores:
    return Scores(np.array(logprob), np.array(margin))


def test_objective_pays_for_gain_and_charges_for_harm() -> None:
    objective = Objective(control_weight=4, margin=2)
    before = _scores([0.0] * 4, [5.0, 1.0, 5.0, -1.0])
    # spends spare margin; loses 0.5 of 1; turns wrong by 0.5; was wrong anyway
    after = _scores([0.0] * 4, [2.5, 0.5, -0.5, -9.0])
    assert objective.harm(before, after).tolist() == [0.0, 0.5, 3.5, 0.0]
    target = _scores([-2.0, -1.0], [-1.0, 1.0]), _scores([-1.0, -1.0], [1.0, 1.0])
    assert objective.fitness(target, (before, before)) == 0.5
    assert objective.fitness(target, (before, after)) == 0.5 - 4 * 4 / 4


def test_candidates_are_the_best_bit_of_each_row() -> None:
    gain = np.array([[0.1, 0.5], [0.4, 0.3], [-1.0, -2.0]], np.float32)
    gains: Gains = {(0, 4): gain, (1, 5): gain * 3}
    assert best_bits(gains, set()) == [(1, 5, 0, 1), (1, 5, 1, 0), (0, 4, 0, 1), (0, 4, 1, 0)]
    assert best_bits(gains, {(1, 5, 0, 1)})[0] == (1, 5, 1, 0)
    assert gain[0, 1] == np.float32(0.5)


def _search(model: Model, budget: int = 4096) -> BitSearch:
    packs: tuple[Pack, Pack] = search_packs(FORM, model.tokenizer, 1, *SMALL)
    limits = Limits(lambda f: len(as_bytes(f)[0]), budget, minutes=5, start=64, rejects=1, stale=1)
    return BitSearch(Evaluator(model), packs, Objective(), limits, lambda line: None)


def test_search_keeps_what_the_engine_confirms_and_its_budget(model: Model) -> None:
    """Pointed at the shipped patch's bits, it finds them good and takes as many as it may."""
    known = set(decode(ARITH.read_bytes()).bits)

    def gradient(flips: Flips, near: NDArray[np.intp]) -> Gains:
        gains = {key: np.full((1024, 1024), -1.0, np.float32) for key in {b[:2] for b in known}}
        for bit in known - flips:
            gains[bit[0], bit[1]][bit[2], bit[3]] = 1.0
        return gains

    found = _search(model, budget=120).run(gradient)
    assert found.flips and found.flips < known
    assert len(as_bytes(found.flips)[0]) <= 120
    assert found.fitness > 0 and found.validation is not None


def test_useless_proposals_find_nothing_and_do_not_ship(model: Model) -> None:
    def gradient(flips: Flips, near: NDArray[np.intp]) -> Gains:
        gain = np.zeros((256, 256), np.float32)
        gain[:64, 0] = 1.0  # says that flips of whole layers of signs help; they do not
        return {(layer, 3): gain for layer in range(6)}

    search = _search(model)
    found = search.run(gradient)
    assert not found.flips and not found.ships
    assert search.search.evaluations == 1


def test_one_patch_of_bits_is_what_the_engine_gets() -> None:
    assert as_bytes([]) == []
    assert as_bytes([(1, 4, 2, 3), (0, 4, 2, 3)]) == [
        encode(Patch("trial", bits=((0, 4, 2, 3), (1, 4, 2, 3))))
    ]
