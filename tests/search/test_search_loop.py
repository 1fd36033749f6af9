"""Search: what the engine confirms is kept, budgets hold, one seed finds one patch."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bankai_edge.judge.crew import Crew, Threads
from bankai_edge.judge.matrices import matrices, row_scales
from bankai_edge.model import Model
from bankai_edge.patch.bkp import Patch, decode, encode
from bankai_edge.probes.goals import Goals, load
from bankai_edge.probes.packs import Sizes
from bankai_edge.search.climb.loop import Found, Limits, Search, State, Watch
from bankai_edge.search.climb.objective import Objective
from bankai_edge.search.climb.proposals import Focus, Gains, Proposer
from bankai_edge.search.climb.sites import BIT, GROUP, ROW, Site, Sites, as_bytes, in_patch
from bankai_edge.search.climb.trial import Trial
from bankai_edge.search.strategies.gradient import Guided
from bankai_edge.search.strategies.random import Random
from bankai_edge.search.strategies.scale import Scale
from bankai_edge.search.workers import Processes
from bankai_edge.shipped import ARITH
from support.sites import of_patch

SMALL = Sizes(16, 46), Sizes(12, 46), Sizes(12, 46)
KNOWN = of_patch(decode(ARITH.read_bytes()))


@pytest.fixture(scope="module")
def plan(model: Model) -> Goals:
    return load(("nano:add_question",), (), model.tokenizer, 1, SMALL)


def size(sites: Sites) -> int:
    return len(encode(in_patch(Patch("trial"), sites)))


def search(
    model: Model, plan: Goals, strategy: Proposer, crew: Crew | None = None, budget: int = 4096,
    evaluations: int | None = None, state: State | None = None, watch: Watch | None = None,
    taps: int = 0,
) -> Found:  # fmt: skip
    crew = crew or Threads(model, 1)
    trials = (
        Trial(crew, plan.search, Objective(), model.shape.layers, taps),
        Trial(crew, plan.validation, Objective(), model.shape.layers),
    )
    limits = Limits(size, budget, minutes=5, evaluations=evaluations, stale=4)
    return Search(trials, strategy, limits, watch, state, seed=3).run()


def oracle(sites: Sites, focus: Focus) -> Gains:
    """Points at the shipped patch's bits, among bits that do nothing good."""
    noise: list[tuple[float, Site]] = [(0.5, (BIT, 5, 4, r, 3)) for r in range(4)]
    return Gains([(1.0, s) for s in sorted(KNOWN - sites)] + noise, {s: -1.0 for s in sites})


def test_search_keeps_what_the_engine_confirms_and_its_budget(model: Model, plan: Goals) -> None:
    found = search(model, plan, Guided(oracle, "bit", start=32), budget=90)
    assert found.sites and found.sites <= KNOWN
    assert size(found.sites) <= 90
    assert found.fitness > 0 and found.validation is not None


def test_useless_proposals_find_nothing_and_do_not_ship(model: Model, plan: Goals) -> None:
    def useless(sites: Sites, focus: Focus) -> Gains:
        rows: list[tuple[float, Site]] = [(1.0, (ROW, 0, 3, r, 0)) for r in range(64)]
        return Gains(rows, {})

    found = search(model, plan, replace_start(Guided(useless, "bit", start=64)))
    assert not found.sites and not found.ships


def replace_start(strategy: Guided) -> Guided:
    strategy.patience = 1
    return strategy


def decisions(watch: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    keys = ("event", "flips", "j", "verdict", "total")
    return [tuple(json.dumps(e.get(k)) for k in keys) for e in watch]


@pytest.mark.parametrize("kind", [Random, Scale])
def test_sampling_is_the_same_at_any_worker_count(
    model: Model, plan: Goals, kind: type[Random] | type[Scale]
) -> None:
    """One thread, three threads, two processes, kept residuals or not: every decision agrees."""
    crews: list[tuple[Crew, int]] = [(Threads(model, 1), 1 << 28), (Threads(model, 3), 0)]
    if kind is Scale:
        crews.append((Processes(model, 2), 1 << 28))
    logs, found = [], []
    for crew, taps in crews:
        events: list[dict[str, Any]] = []
        strategy = kind(model, "row", (4, 5), seed=5)
        found.append(
            search(model, plan, strategy, crew, evaluations=24, watch=Watch(events.append),
                   taps=taps)
        )  # fmt: skip
        logs.append(decisions(events))
        crew.close()
    assert all(log == logs[0] for log in logs)
    assert all(f.sites == found[0].sites for f in found)
    assert any("accept" in line[0] for line in logs[0])


def test_an_interrupted_search_goes_on_to_the_same_end(model: Model, plan: Goals) -> None:
    states: list[State] = []
    whole = search(model, plan, Random(model, "row", (4, 5), 5), evaluations=24,
                   watch=Watch(checkpoint=states.append))  # fmt: skip
    assert len(states) >= 2
    again = State.from_json(json.loads(json.dumps(states[0].to_json())))
    assert again == states[0]
    resumed = search(model, plan, Random(model, "row", (4, 5), 5), evaluations=24, state=again)
    assert resumed.sites == whole.sites
    assert resumed.fitness == whole.fitness
    assert resumed.evaluations == whole.evaluations


def test_an_interrupt_keeps_the_best_so_far(model: Model, plan: Goals) -> None:
    def once(event: dict[str, Any]) -> None:
        if event["event"] == "validation":
            raise KeyboardInterrupt

    def twice(event: dict[str, Any]) -> None:
        seen.append(event["event"])
        if event["event"] == "accept" and seen.count("accept") == 2:
            raise KeyboardInterrupt

    seen: list[str] = []
    found = search(model, plan, Guided(oracle, "bit", start=8), watch=Watch(once))
    assert found.interrupted and not found.sites
    found = search(model, plan, Guided(oracle, "bit", start=8), watch=Watch(twice))
    assert found.interrupted and len(found.sites) == 8


def test_early_rejection_only_hides_what_cannot_win(model: Model, plan: Goals) -> None:
    trial = Trial(Threads(model, 1), plan.search, Objective(), model.shape.layers)
    exact = trial.fitness(KNOWN)
    assert trial.fitness(KNOWN, beat=exact.j - 1e-9) == exact
    early = trial.fitness(KNOWN, beat=exact.j + 1e-9)
    assert early.j <= exact.j + 1e-9 and (early.verdict is None or early == exact)
    assert trial.fitness(KNOWN, full=True).j == pytest.approx(exact.j, abs=0.2)


def test_scale_draws_rows_with_large_scales_first(model: Model) -> None:
    """The published proposal: the mean scale of its draws lies above that of uniform draws."""
    scales = {place: row_scales(blocks) for place, blocks in matrices(model).items()}

    def mean(strategy: Proposer) -> float:
        drawn = [
            site
            for draw in range(40)
            for site in strategy.rank(frozenset(), Focus(np.array([]), np.array([])), draw).order
        ]
        return float(np.mean([scales[s[1], s[2]][s[3]] for s in drawn]))

    by_scale, uniform = Scale(model, "row", (4, 5), 1), Random(model, "row", (4, 5), 1)
    assert mean(by_scale) > 1.01 * mean(uniform)


def test_sites_are_a_patch_and_back() -> None:
    sites = frozenset(
        [(ROW, 1, 4, 2, 0), (GROUP, 0, 5, 3, 1), (BIT, 0, 4, 2, 3), (BIT, 1, 4, 2, 3)]
    )
    patch = in_patch(Patch("trial"), sites)
    assert patch == Patch(
        "trial", rows=((1, 4, 2),), groups=((0, 5, 3, 1),), bits=((0, 4, 2, 3), (1, 4, 2, 3))
    )
    assert of_patch(patch) == sites
    assert as_bytes([]) == []


def test_goals_weigh_the_same_whatever_their_number_of_probes(model: Model) -> None:
    sizes = (Sizes(10, 23),) * 3
    both = load(("nano:add_question", "nano:unit_are"), (), model.tokenizer, 1, sizes)
    uneven = replace(both.search, target=both.search.target[:8], parts=(5, 3))
    assert uneven.weights().tolist() == [0.1] * 5 + [1 / 6] * 3
    assert sum(both.search.weights()) == pytest.approx(1.0)


def test_a_dask_cluster_decides_the_same(model: Model, plan: Goals) -> None:
    distributed = pytest.importorskip("distributed")
    from bankai_edge.search.workers import Dask

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        crew = Dask(model, cluster.scheduler_address)
        assert crew.size == 2
        logs = []
        for someone in (crew, Threads(model, 1)):
            events: list[dict[str, Any]] = []
            strategy = Random(model, "row", (4, 5), seed=5)
            search(model, plan, strategy, someone, evaluations=8, watch=Watch(events.append))
            logs.append(decisions(events))
            someone.close()
    assert logs[0] == logs[1]
