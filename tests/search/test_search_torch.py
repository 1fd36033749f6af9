"""Gradients are of what the engine computes: first-order gains agree with exact small changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bankai_edge.judge.crew import Threads
from bankai_edge.model import Model, Session
from bankai_edge.probes.goals import Goals, load
from bankai_edge.probes.packs import Sizes
from bankai_edge.search.climb.loop import Limits, Watch
from bankai_edge.search.climb.objective import Objective
from bankai_edge.search.climb.proposals import Focus, Gains
from bankai_edge.search.climb.sites import BIT, GROUP, ROW, Granularity, as_bytes
from bankai_edge.search.climb.trial import Trial

torch = pytest.importorskip("torch")
TorchGradient: Any = pytest.importorskip("bankai_edge.search.gradient.backward").TorchGradient
TorchModel: Any = pytest.importorskip("bankai_edge.search.gradient.model").TorchModel
Tuner: Any = pytest.importorskip("bankai_edge.search.gradient.tuning").Tuner

SMALL = Sizes(12, 23), Sizes(8, 23), Sizes(8, 23)


@pytest.fixture(scope="module")
def plan(model: Model) -> Goals:
    return load(("nano:add_question",), (), model.tokenizer, 1, SMALL)


@pytest.fixture(scope="module")
def trial(model: Model, plan: Goals) -> Trial:
    mild = Objective(control_weight=4, margin=2)  # rows are no small change
    return Trial(Threads(model, 1), plan.search, mild, model.shape.layers)


def gradient(model: Model, trial: Trial, granularity: Granularity, **more: object) -> Any:
    return TorchGradient(
        model, trial.pack, trial.control_before, trial.objective, granularity=granularity,
        **more,
    )  # fmt: skip


def test_layers_compute_what_the_engine_does(model: Model) -> None:
    """Up to the engine's int8 activations; flips of all kinds included."""
    tokens = model.tokenizer.encode("what is 17+25?")
    sites = frozenset([(ROW, 1, 4, 3, 0), (GROUP, 2, 6, 5, 1), (BIT, 0, 0, 9, 77)])
    torch_model = TorchModel(model)
    for flips in (frozenset(), sites, frozenset()):
        session = Session(model)
        session.use(as_bytes(flips), allow_unbound=True)
        want = session.logits(tokens)
        x = torch_model.embed(torch.tensor([tokens]))
        for layer in range(model.shape.layers):
            x = torch_model.run(x, torch_model.layer(layer, flips))
        x = torch.nn.functional.rms_norm(
            x, (model.shape.hidden,), torch_model.out_norm, torch_model.rms_eps
        )
        got = (x @ torch_model.head.T)[0].numpy()
        assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("granularity", ["row", "group", "bit"])
def test_gains_predict_exact_changes(model: Model, trial: Trial, granularity: Granularity) -> None:
    gains: Gains = gradient(model, trial, granularity)(frozenset(), trial.focus)
    ranked = sorted(gains.best, reverse=True)
    some = ranked[:6] + ranked[200:203]
    exact = [trial.fitness(frozenset([site])).j for _, site in some]
    assert np.median(exact[:6]) > np.median(exact[6:])
    if granularity == "bit":  # rows and groups are no small change
        assert np.corrcoef([gain for gain, _ in some], exact)[0, 1] > 0.8
    assert all(site[0] == ("row", "group", "bit").index(granularity) for _, site in some)


def test_gains_under_flips_know_what_undoing_brings(model: Model, trial: Trial) -> None:
    ask = gradient(model, trial, "bit")
    best = max(ask(frozenset(), trial.focus).best)[1]
    undone = ask(frozenset([best]), trial.focus).undoing[best]
    assert undone < 0
    again = max(ask(frozenset(), trial.focus).best)[1]  # the flip is taken back
    assert again == best


def test_unpacking_a_layer_at_a_time_gives_the_same_gains(model: Model, trial: Trial) -> None:
    sites = frozenset([(BIT, 2, 5, 4, 3)])
    focus = Focus(trial.focus.targets[:4], trial.focus.controls[:4])
    kept = gradient(model, trial, "bit", projections=(4,))(sites, focus)
    unpacked = gradient(model, trial, "bit", projections=(4,), keep_bytes=0,
                        dtype=torch.float32)(sites, focus)  # fmt: skip
    assert kept == unpacked
    half = gradient(model, trial, "bit", projections=(4,), dtype=torch.bfloat16)(sites, focus)
    both = {site: gain for gain, site in kept.best}
    pairs = [(gain, both[site]) for gain, site in half.best if site in both]
    assert len(pairs) > len(both) / 2  # a row's best bit may be another one
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.95


def test_tuning_changes_signs_within_its_budget(
    model: Model, plan: Goals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bankai_edge.search.gradient.tuning.STEPS", 4)
    monkeypatch.setattr("bankai_edge.search.gradient.tuning.JUDGED_EVERY", 2)
    monkeypatch.setattr("bankai_edge.search.gradient.tuning.RATE", 0.6)
    trials = tuple(
        Trial(Threads(model, 1), pack, Objective(), model.shape.layers)
        for pack in (plan.search, plan.validation)
    )
    events: list[dict[str, object]] = []
    limits = Limits(lambda s: len((as_bytes(s) or [b""])[0]), 5000, minutes=1)
    tuner = Tuner(model, (trials[0], trials[1]), limits, Watch(events.append), seed=1)
    found = tuner.run()
    assert found.passes == 4
    steps = [e for e in events if e["event"] == "step"]
    assert steps and all(4000 < int(str(e["bytes"])) <= 5000 for e in steps)
