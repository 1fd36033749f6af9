"""The experiments of the Bankai paper, on the nano model; docs/experiments.md has their tables.

    python tools/lab/experiments.py            # what there is
    python tools/lab/experiments.py NAME …     # run, write docs/experiments/NAME.json, renew tables
    python tools/lab/experiments.py --tables   # only renew the tables from the JSON

Everything is deterministic: the engine gives the same bits everywhere, and the seeds stand here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from search_experiments import (
    run_equal_bytes,
    run_joint,
    run_many_rows,
    run_memorise,
    run_missing,
    show_runs,
)
from synthetic_experiment import run_synthetic, show_synthetic

from bankai_edge._facts import PROJECTIONS
from bankai_edge.judge import impact, texts
from bankai_edge.judge.comparison import Judge
from bankai_edge.judge.evaluate import Change
from bankai_edge.judge.matrices import Place, matrices, row_scales
from bankai_edge.judge.stacking import stack_report
from bankai_edge.judge.statistics import mcnemar, wilson
from bankai_edge.model import Model
from bankai_edge.patch import Patch, decode, encode
from bankai_edge.probes.domains import FORMS, forms
from bankai_edge.probes.goals import STRONG
from bankai_edge.probes.questions import Question, load
from bankai_edge.search.climb.proposals import GATE_UP
from bankai_edge.shipped import NANO

DOCS = Path(__file__).resolve().parents[2] / "docs"
RESULTS = DOCS / "experiments"
PAGE = DOCS / "experiments.md"
SEEDS = (1, 2, 3)
ROWS = 64  # as in the paper's comparison of scale-guided and random rows
Found = dict[str, Any]
Table = list[list[str]]


def shipped(strategy: str = "gradient") -> dict[str, tuple[str, bytes]]:
    """Name → (form it teaches, bytes) of the patches in the package that a strategy found."""
    runs = json.loads((NANO.parent / "patches.json").read_text())["runs"]
    return {
        run["name"]: (run["form"], (NANO.parent / f"{run['name']}.bkp").read_bytes())
        for run in runs
        if run["in_package"] and run["strategy"] == strategy
    }


# ---- random flips ------------------------------------------------------------------------------


def run_random_flips(model: Model) -> Found:
    """Robustness: flips of random bits of all gate, up and down matrices."""
    judge = Judge(model, load(STRONG, model.tokenizer))
    documents = texts.load(STRONG, model)
    curves = [
        impact.robustness(judge, impact.SHARES, seed=seed, documents=documents) for seed in SEEDS
    ]
    return {
        "items": len(judge.target),
        "seeds": list(SEEDS),
        "points": [
            {
                "share": points[0].share,
                "flips": points[0].flips,
                "right": [p.right for p in points],
                "perplexity": [impact.perplexity_of(p) for p in points],
                "kl": [p.text.kl if p.text else None for p in points],
            }
            for points in zip(*curves, strict=True)
        ],
    }


def show_random_flips(found: Found) -> Table:
    """Shares as rows."""
    rows = [["share of MLP bits", "flips", "right", "perplexity", "KL to base"]]
    for p in found["points"]:
        rows.append([
            f"{p['share']:.1%}", str(p["flips"]), _spread(p["right"], ".3f"),
            _spread(p["perplexity"], ".4f"), _spread(p["kl"], ".2e"),
        ])  # fmt: skip
    return rows


def run_layer_map(model: Model) -> Found:
    """Layer map: 1 % random bits, and 10 % random rows, of one matrix after the other."""
    judge = Judge(model, load(STRONG, model.tokenizer))
    found: Found = {"items": len(judge.target), "draws": len(SEEDS)}
    for kind, share in (("bit", 0.01), ("row", 0.1)):
        cells = impact.layer_map(
            judge, share=share, kind="row" if kind == "row" else "bit", draws=len(SEEDS), seed=1
        )
        found[kind] = {"share": share, "cells": [impact.cell_json(cell) for cell in cells]}
    return found


def show_layer_map(found: Found) -> Table:
    """Layers as rows; what 1 % of the bits and 10 % of the rows do."""
    rows = [["layer", *(p.removesuffix("_proj") for p in PROJECTIONS)]]
    tables = [
        {(c["layer"], c["projection"]): c for c in found[kind]["cells"]} for kind in ("bit", "row")
    ]
    for layer in sorted({place[0] for place in tables[0]}):
        cells = [[t[layer, p]["shift"] for t in tables] for p in PROJECTIONS]
        rows.append([str(layer), *(f"{bit:+.3f} / {row:+.3f}" for bit, row in cells)])
    return rows


def run_scale_guided(model: Model) -> Found:
    """64 gate and up rows at once: of greatest scale, drawn by scale, drawn evenly."""
    judge = Judge(model, load(STRONG, model.tokenizer))
    probes = [q.probe for q in judge.target]
    before = judge.evaluator.scores(probes)
    scales = {k: row_scales(v) for k, v in matrices(model).items() if k[1] in GATE_UP}
    places = [(place, row) for place, values in scales.items() for row in range(len(values))]
    weight = np.concatenate(list(scales.values()))
    found: Found = {"items": len(probes), "rows": ROWS, "draws": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        n = len(places)
        chosen = {
            "random": rng.choice(n, ROWS, replace=False),
            "by scale": rng.choice(n, ROWS, replace=False, p=weight / weight.sum()),
        }
        if seed == 0:
            chosen["greatest scale"] = np.argsort(-weight, kind="stable")[:ROWS]
            chosen["smallest scale"] = np.argsort(weight, kind="stable")[:ROWS]
        for how, index in chosen.items():
            patch = _row_patch([places[int(i)] for i in index])
            after = judge.evaluator.scores(probes, [encode(patch)])
            shift = after.logprob - before.logprob
            found["draws"].append({
                "how": how, "seed": seed,
                "moved": float(np.abs(shift).mean()), "shift": float(shift.mean()),
                "broken": int((before.right & ~after.right).sum()),
            })  # fmt: skip
    return found


def _row_patch(chosen: Sequence[tuple[Place, int]]) -> Patch:
    return Patch("rows", rows=tuple(sorted((*place, row) for place, row in chosen)))


def show_scale_guided(found: Found) -> Table:
    """One row for each way of drawing, the ratio to random ones last."""
    rows = [["rows", "draws", "mean size of Δ log p", "mean Δ log p", "broken", "× random"]]
    by: dict[str, list[Found]] = {}
    for draw in found["draws"]:
        by.setdefault(draw["how"], []).append(draw)
    base = np.mean([d["moved"] for d in by["random"]])
    for how, draws in by.items():
        moved, shift = ([d[key] for d in draws] for key in ("moved", "shift"))
        rows.append([
            how, str(len(draws)), _spread(moved, ".3f"), _spread(shift, "+.3f"),
            _spread([d["broken"] for d in draws], ".1f"), f"{np.mean(moved) / base:.2f}",
        ])  # fmt: skip
    return rows


# ---- the shipped patches -----------------------------------------------------------------------


def run_stacking(model: Model) -> Found:
    """Every small patch alone, and all together, on each one's held-out items."""
    patches = shipped()
    probes = [f"nano:{form}" for form, _ in patches.values()]
    data = [bytes_ for _, bytes_ in patches.values()]
    found: Found = {"patches": list(patches)}
    found["report"] = stack_report(model, data, probes, [STRONG]).as_json()
    names = list(patches)
    found["overlaps"] = [
        {
            "pair": [a, b],
            "shared_bits": len(set(decode(patches[a][1]).bits) & set(decode(patches[b][1]).bits)),
        }
        for a, b in combinations(names, 2)
    ]
    return found


def show_stacking(found: Found) -> Table:
    """Active sets as rows, question sources as columns."""
    report = found["report"]
    sources = list(report["rows"][0]["changes"])
    rows = [["active", *sources]]
    for row in report["rows"]:
        rows.append([row["active"], *(_change(row["changes"][s]) for s in sources)])
    return rows


def run_unseen_forms(model: Model) -> Found:
    """Safety and transfer: every weak form that a patch was not made for, and every strong one.

    No search probed other weak forms; the strong forms' held-out items were no controls either.
    """
    patches, tuned = shipped(), shipped("tune")
    packs: dict[str, list[Question]] = {
        form.name: load(f"nano:{form.name}", model.tokenizer, 400) for form in forms()
    }
    judge = Judge(model, [q for pack in packs.values() for q in pack])
    sets = {name: [data] for name, (_, data) in patches.items()}
    sets["all together"] = [data for _, data in patches.values()]
    sets |= {name: [data] for name, (_, data) in tuned.items()}
    taught = {name: form for name, (form, _) in (patches | tuned).items()}
    found: Found = {"targets": taught, "tuned": list(tuned), "sets": {}}
    for name, active in sets.items():
        side, _ = judge.sides(active)
        at, changes = 0, {}
        for form, pack in packs.items():
            part = slice(at, at + len(pack))
            at += len(pack)
            changes[form] = asdict(Change.between(side.before.right[part], side.after.right[part]))
        found["sets"][name] = changes
    return found


def _groups(found: Found, name: str) -> dict[str, list[str]]:
    """Forms in the order of distance from what a patch was searched on."""
    small = [form for of, form in found["targets"].items() if of not in found["tuned"]]
    taught = [found["targets"][name]] if name in found["targets"] else small
    families = {FORMS[t].family for t in taught}
    weak = [f for f in forms(strong=False) if f.name not in taught]
    return {
        "its form": list(taught),
        "same skill, other weak forms": [f.name for f in weak if f.family in families],
        "other skills, weak forms": [f.name for f in weak if f.family not in families],
        "strong forms": [f.name for f in forms(strong=True)],
    }


def show_unseen_forms(found: Found) -> Table:
    """Sums over groups of forms; the share broken with the upper end of Wilson's interval."""
    rows = [["active", "forms", "n", "before → after", "fixed / broken", "broken of right", "p"]]
    for name, changes in found["sets"].items():
        for group, members in _groups(found, name).items():
            if not members:
                continue
            n, before, after, fixed, broken = (
                sum(changes[form][key] for form in members)
                for key in ("n", "before", "after", "fixed", "broken")
            )
            rows.append([
                name, group, str(n), f"{before / n:.3f} → {after / n:.3f}", f"+{fixed} / −{broken}",
                f"{broken / max(before, 1):.2%} (≤ {wilson(broken, before)[1]:.2%})",
                f"{mcnemar(fixed, broken):.1g}",
            ])  # fmt: skip
    return rows


def show_transfer(found: Found) -> Table:
    """Weak forms of the skills that the patches teach, one column for each set."""
    families = {FORMS[form].family for form in found["targets"].values()}
    rows = [["form", *found["sets"]]]
    for form in forms(strong=False):
        if form.family in families:
            cells = [_change(changes[form.name]) for changes in found["sets"].values()]
            mark = " (taught)" if form.name in found["targets"].values() else ""
            rows.append([f"`{form.template}`{mark}", *cells])
    return rows


# ---- pages -------------------------------------------------------------------------------------


EXPERIMENTS: dict[str, tuple[Callable[[Model], Found], Callable[[Found], Table]]] = {
    "random_flips": (run_random_flips, show_random_flips),
    "layer_map": (run_layer_map, show_layer_map),
    "scale_guided": (run_scale_guided, show_scale_guided),
    "stacking": (run_stacking, show_stacking),
    "unseen_forms": (run_unseen_forms, show_unseen_forms),
    "memorise": (run_memorise, show_runs),
    "equal_bytes": (run_equal_bytes, show_runs),
    "joint": (run_joint, show_runs),
    "many_rows": (run_many_rows, show_runs),
    "missing": (run_missing, show_runs),
    "synthetic": (run_synthetic, show_synthetic),
}
# table -> whose result it shows, and how
TABLES: dict[str, tuple[str, Callable[[Found], Table]]] = {
    **{name: (name, show) for name, (_, show) in EXPERIMENTS.items()},
    "transfer": ("unseen_forms", show_transfer),
}


def _change(c: Found) -> str:
    return f"{c['before'] / c['n']:.3f} → {c['after'] / c['n']:.3f} (+{c['fixed']} −{c['broken']})"


def _spread(values: Sequence[float], form: str) -> str:
    """The mean, and the range where the values differ."""
    mean, low, high = float(np.mean(values)), min(values), max(values)
    if low == high:
        return f"{mean:{form}}"
    return f"{mean:{form}} ({low:{form}} … {high:{form}})"


def _markdown(table: Table) -> str:
    head, *rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def with_tables(page: str) -> str:
    """The page with the table of each result between its marks."""
    for name, (source, show) in TABLES.items():
        result = RESULTS / f"{source}.json"
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if not result.exists() or start not in page:
            continue
        table = _markdown(show(json.loads(result.read_text(encoding="utf-8"))["found"]))
        before, rest = page.split(start, 1)
        page = f"{before}{start}\n{table}\n{end}{rest.split(end, 1)[1]}"
    return page


def _rounded(value: Any) -> Any:
    """Floats to six digits: the files stay small, and differ only when a result does."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def main() -> None:
    """Run the experiments named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--tables", action="store_true", help="renew the tables, run nothing")
    options = parser.parse_args()
    unknown = set(options.names) - EXPERIMENTS.keys()
    if unknown:
        parser.error(f"no experiment is called {', '.join(sorted(unknown))}")
    if not options.names and not options.tables:
        for name, (run, _) in EXPERIMENTS.items():
            print(f"{name:<16}{(run.__doc__ or '').splitlines()[0]}")
        return
    model = Model(NANO, threads=1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        found = _rounded(EXPERIMENTS[name][0](model))
        document = {"version": 1, "experiment": name, "model": model.id.hex(), "found": found}
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {path.name}", file=sys.stderr)
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
