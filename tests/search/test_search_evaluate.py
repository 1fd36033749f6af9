"""Search: packs that never mix, a judge that agrees with greedy decoding, steps that pay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bankai_edge.errors import UsageError
from bankai_edge.judge.crew import Reading, Threads
from bankai_edge.judge.evaluate import Change, Evaluator
from bankai_edge.judge.reading import Scores
from bankai_edge.model import Model, Session
from bankai_edge.probes.domains import items
from bankai_edge.probes.packs import Probe, judge_pack, search_packs, tokenise
from bankai_edge.search.climb.objective import Objective
from bankai_edge.search.climb.sites import BIT, GROUP, ROW, as_bytes
from bankai_edge.shipped import ARITH

FORM = "add_question"  # what arith.bkp teaches


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
    first, second = packs
    assert {p.item.split for p in (*first.target, *second.target, *second.control)} == {"probe"}
    assert {p.item.split for p in first.control} == {"probe", "train"}
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
            assert got.logprob[i] == pytest.approx((right - norm).sum(), rel=1e-11, abs=1e-11)
            assert (got.margin[i] > 0) == (tuple(rows.argmax(1)) == probe.answer)
            rows[np.arange(len(rows)), probe.answer] = -np.inf
            assert got.margin[i] == (right - rows.max(1)).min()


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
    return Scores(np.array(logprob), np.array(margin), np.zeros(len(margin)))


def test_objective_pays_for_gain_and_charges_for_harm() -> None:
    objective = Objective(control_weight=4, margin=2, relief=0)
    before = _scores([0.0] * 4, [5.0, 1.0, 5.0, -1.0])
    # spends spare margin; loses 0.5 of 1; turns wrong by 0.5; was wrong anyway
    after = _scores([0.0] * 4, [2.5, 0.5, -0.5, -9.0])
    assert objective.harm(before, after).tolist() == [0.0, 0.5, 3.5, 0.0]
    target = _scores([-2.0, -1.0], [-1.0, 1.0]), _scores([-1.0, -1.0], [1.0, 1.0])
    assert objective.fitness(target, (before, before)) == 0.5
    assert objective.fitness(target, (before, after)) == 0.5 - 4 * 4 / 4
    assert objective.gain(*target, np.array([0.9, 0.1])) == 0.9


def test_starting_at_a_layer_and_sharding_change_no_bit(
    model: Model, some: tuple[Probe, ...]
) -> None:
    """Residuals kept, rebased, probes left out, one shard or three: the same scores."""
    cached = Reading(Threads(model, 1), some, tap_bytes=1 << 26)
    plain = Reading(Threads(model, 3), some)
    for layer in range(model.shape.layers):
        patch = as_bytes([(ROW, layer, 4, 5, 0), (BIT, layer, 6, 7, 8)])
        whole = plain.scores(patch)
        assert same(cached.scores(patch, layer), whole)
        assert not same(whole, plain.scores([]))
        few = [1, 4, 7]
        part = cached.scores(patch, layer, few)
        assert part.logprob.tolist() == whole.logprob[few].tolist()
    base = [(BIT, 1, 4, 5, 6), (GROUP, 3, 5, 9, 1)]
    cached.rebase(as_bytes(base), 1)
    assert same(cached.scores(as_bytes(base), 5), plain.scores(as_bytes(base)))
    more = [*base, (ROW, 4, 5, 2, 0)]
    assert same(cached.scores(as_bytes(more), 4), plain.scores(as_bytes(more)))


def same(a: Scores, b: Scores) -> bool:
    return all(
        bool((x == y).all())
        for x, y in ((a.logprob, b.logprob), (a.margin, b.margin), (a.gap, b.gap))
    )


def test_the_gap_is_between_two_logits(model: Model, some: tuple[Probe, ...]) -> None:
    probe = replace(some[0], wrong=(17,))
    logits = Session(model, ctx=64).logits(probe.prompt)[-1].astype(np.float64)
    got = Evaluator(model).scores([probe, some[1]]).gap
    assert got.tolist() == [logits[probe.answer[0]] - logits[17], 0.0]
