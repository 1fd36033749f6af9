"""The experiments that run searches; experiments.py has their command and tables."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from typing import Any

from bankai_edge.judge.evaluate import Change, Evaluator
from bankai_edge.model import Model
from bankai_edge.patch import encode
from bankai_edge.probes import goals
from bankai_edge.probes.domains import FORMS
from bankai_edge.probes.packs import JUDGE, Sizes
from bankai_edge.search.climb.proposals import GATE_UP
from bankai_edge.search.climb.sites import as_bytes
from bankai_edge.search.job import Job, search
from bankai_edge.shipped import NANO

FORM = "nano:add_question"
SEEDS = (1, 2, 3)
BYTES = 300
EVALUATIONS = 40  # exact ones on the search pack, for every way alike
CONTROLS = 460
CHOOSE = Sizes(250, 4000)  # the validation pack
ATTENTION = (0, 1, 2, 3)
Found = dict[str, Any]

BASE = Job(
    NANO, (FORM,), "experiment", budget_bytes=BYTES, minutes=60.0,
    control_weight=4.0, margin=2.0, evaluations=EVALUATIONS,
    sizes=(Sizes(300, CONTROLS), CHOOSE, JUDGE),
)  # fmt: skip


def outcome(job: Job, model: Model) -> Found:
    """One search, judged on held-out items whether or not validation would ship it."""
    result = search(job, lambda event: None)
    plan = goals.load(job.targets, job.controls, model.tokenizer, job.seed, job.packs)
    patches = [encode(result.patch)] if result.patch else as_bytes(result.found.sites)
    return {
        "flips": len(result.found.sites),
        "bytes": len(patches[0]) if patches else 0,
        "ships": result.patch is not None,
        "evaluations": result.found.evaluations,
        "passes": result.found.passes,
        **_judged(Evaluator(model), plan, patches),
    }


def _judged(evaluator: Evaluator, plan: goals.Goals, patches: list[bytes]) -> Found:
    """Search probes (teacher-forced) and held-out items (greedy) before and after."""
    seen = plan.search.target
    before, after = (evaluator.scores(seen, active).right for active in ((), patches))
    held = evaluator.verdict(plan.heldout, patches)
    return {
        "search": asdict(Change.between(before, after)),
        "target": asdict(held.target),
        "control": asdict(held.control),
    }


def runs_of(jobs: dict[str, Job], model: Model, seeds: tuple[int, ...] = SEEDS) -> Found:
    """Every job with every seed."""
    runs: Found = {}
    for name, job in jobs.items():
        runs[name] = []
        for seed in seeds:
            runs[name].append(outcome(replace(job, seed=seed), model))
            print(name, json.dumps(runs[name][-1]), file=sys.stderr, flush=True)
    return {"seeds": list(seeds), "runs": runs}


def _sized(job: Job, n: int) -> Job:
    return replace(job, sizes=(Sizes(n, CONTROLS), CHOOSE, JUDGE))


def run_memorise(model: Model) -> Found:
    """Few probes memorise, many generalise: a phrasing, and a skill that the model lacks."""
    jobs = {f"{n} probes, `what is a+b?`": _sized(BASE, n) for n in (5, 20, 60, 300, 700)}
    lacking = replace(BASE, targets=("nano:sub_from",))
    jobs |= {f"{n} probes, `take b from a:`": _sized(lacking, n) for n in (20, 300)}
    return runs_of(jobs, model)


def run_equal_bytes(model: Model) -> Found:
    """What 300 bytes and 40 evaluations buy: rows, groups, bits; by scale or gradient; where."""
    seeds = {
        "random, gate and up rows": replace(BASE, strategy="random"),
        "scale, gate and up rows": replace(BASE, strategy="scale"),
        "gradient, bits anywhere": BASE,
    }
    once = {
        "gradient, gate and up rows": replace(BASE, granularity="row", projections=GATE_UP),
        "gradient, attention rows": replace(BASE, granularity="row", projections=ATTENTION),
        "gradient, groups anywhere": replace(BASE, granularity="group"),
        "gradient, bits in gate and up": replace(BASE, projections=GATE_UP),
        "tune, signs of gate and up, 32 KB": replace(
            BASE, strategy="tune", budget_bytes=32768, evaluations=None
        ),
    }
    found = runs_of(seeds, model)
    found["runs"] |= runs_of(once, model, (1,))["runs"]
    return found


def run_many_rows(model: Model) -> Found:
    """The paper's own kind of patch: about 72 gate and up rows, with thousands of controls."""
    rows = replace(
        BASE, granularity="row", projections=GATE_UP, evaluations=150, patience=40,
        control_weight=20.0, margin=3.0, sizes=(Sizes(300, 4000), CHOOSE, JUDGE),
    )  # fmt: skip
    jobs = {
        "by scale": replace(rows, strategy="scale", patience=400),
        "by gradient": rows,
    }
    return runs_of(jobs, model, (1,))


def run_missing(model: Model) -> Found:
    """Phrasings that the model does not understand at all: what 512 bytes of bits do for them."""
    jobs = {
        f"`{FORMS[form].template}`": Job(
            NANO, (f"nano:{form}",), "experiment", budget_bytes=512, minutes=60.0, evaluations=60,
            sizes=(Sizes(300, 2000), CHOOSE, JUDGE),
        )
        for form in ("sub_from", "unit_into", "home_level")
    }  # fmt: skip
    return runs_of(jobs, model, (1,))


def run_joint(model: Model) -> Found:
    """Three phrasings at once: searched jointly, or one by one and composed, at equal bytes."""
    targets = (FORM, "nano:unit_are", "nano:home_in")
    budget = 900
    jobs = {"joint": replace(BASE, strategy="joint", targets=targets, budget_bytes=budget,
                             evaluations=3 * EVALUATIONS,
                             sizes=(Sizes(900, CONTROLS), CHOOSE, JUDGE))}  # fmt: skip
    found = runs_of(jobs, model, (1,))
    found["targets"] = list(targets)
    found["runs"]["composed"] = [_composed(targets, 1, model)]
    return found


def _composed(targets: tuple[str, ...], seed: int, model: Model) -> Found:
    """One search for each target; all patches active, judged on the joint search's items."""
    alone = [
        search(replace(BASE, targets=(target,), seed=seed), lambda event: None)
        for target in targets
    ]
    patches = [encode(result.patch) for result in alone if result.patch]
    sizes = (Sizes(900, CONTROLS), CHOOSE, JUDGE)
    plan = goals.load(targets, (), model.tokenizer, seed, sizes)
    evaluator = Evaluator(model)
    found = _judged(evaluator, plan, patches)
    return {
        "flips": sum(len(result.found.sites) for result in alone if result.patch),
        "bytes": sum(map(len, patches)),
        "ships": len(patches) == len(targets),
        "evaluations": sum(result.found.evaluations for result in alone),
        "passes": sum(result.found.passes for result in alone),
        **found,
    }


def show_runs(found: Found) -> list[list[str]]:
    """A row for each kind of search: on the probes it saw, and on held-out items."""
    rows = [["", "flips", "bytes", "evaluations", "search probes", "held-out",
             "held-out, fixed / broken", "controls", "ships"]]  # fmt: skip
    for name, runs in found["runs"].items():
        rows.append([
            name,
            ", ".join(str(run["flips"]) for run in runs),
            ", ".join(str(run["bytes"]) for run in runs),
            ", ".join(str(run["evaluations"]) for run in runs),
            _mean(runs, "search"),
            _mean(runs, "target"),
            _counts(runs, "target"),
            _counts(runs, "control"),
            f"{sum(run['ships'] for run in runs)} of {len(runs)}",
        ])  # fmt: skip
    return rows


def _mean(runs: list[Found], key: str) -> str:
    """Mean shares right before and after."""
    before, after = (
        sum(run[key][when] / run[key]["n"] for run in runs) / len(runs)
        for when in ("before", "after")
    )
    return f"{before:.3f} → {after:.3f}"


def _counts(runs: list[Found], key: str) -> str:
    return ", ".join(f"+{run[key]['fixed']} −{run[key]['broken']}" for run in runs)
