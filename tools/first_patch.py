"""Finds a patch for a weak form of the nano model, judges it on held-out items, writes it.

    python tools/first_patch.py add_question --name arith --budget-bytes 300 --seed 1 2 3 \
        --out bankai_edge/models
    python tools/first_patch.py --check

Gradients come from PyTorch on the file's own ±scale weights; every decision is the C engine's. The
patch is written only when validation says that it helps: that of the first seed for which it does,
so that the others show the spread and choose nothing. patches.json and the "Patches" section of the
model card in the same folder keep the numbers of every seed. `--check` judges the patches again.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))
from nano_model import NanoModel, load_gguf

import bankai_edge
from bankai_edge.errors import BankaiError
from bankai_edge.model import Model
from bankai_edge.models import NANO
from bankai_edge.patch.bind import bind
from bankai_edge.patch.bkp import Patch, encode
from bankai_edge.search.evaluate import Evaluator, Scores, Verdict
from bankai_edge.search.greedy import BitSearch, Flips, Found, Gains, Limits
from bankai_edge.search.objective import Objective
from bankai_edge.search.probes import Probe, judge_pack, known_form, search_packs

TENSORS = (
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
)  # fmt: skip
CHUNK = 192  # probes a backward pass


class TorchGradient:
    """∂J/∂w of one search pack, in float32, as the gain of flipping each weight."""

    def __init__(
        self,
        model: NanoModel,
        target: Sequence[Probe],
        control: Sequence[Probe],
        control_before: Scores,
        objective: Objective,
    ) -> None:
        self._model = model
        self._target, self._control = target, control
        self._floor = torch.from_numpy(objective.floor(control_before))
        self._objective = objective
        self._flips: Flips = frozenset()
        for name, parameter in model.tensors.items():
            parameter.requires_grad_(any(f".{t}." in name for t in TENSORS))

    def __call__(self, flips: Flips, near: NDArray[np.intp]) -> Gains:
        """Gains under `flips`; of the controls, those at the indices `near` count."""
        self._apply(flips)
        self._model.zero_grad(set_to_none=True)
        for chunk in _chunks(self._target, range(len(self._target))):
            logprob, _ = self._answers([self._target[i] for i in chunk])
            (logprob.sum() / len(self._target)).backward()
        weight = self._objective.control_weight / len(self._control)
        for chunk in _chunks(self._control, near.tolist()):
            _, margin = self._answers([self._control[i] for i in chunk])
            width = self._objective.softness
            short = (self._floor[chunk] - margin) / width
            (-weight * width * torch.nn.functional.softplus(short).sum()).backward()
        return {
            (layer, projection): self._gain(f"blk.{layer}.{name}.weight")
            for layer in range(self._model.config.layers)
            for projection, name in enumerate(TENSORS)
        }

    def _gain(self, name: str) -> NDArray[np.float32]:
        weight = self._model.tensors[name]
        if weight.grad is None:
            raise RuntimeError(f"no gradient reached {name}")
        gain: NDArray[np.float32] = (-2 * weight.detach() * weight.grad).numpy()
        return gain

    def _answers(self, probes: list[Probe]) -> tuple[Tensor, Tensor]:
        """(summed log-probability, smallest margin) of each probe's answer, [n] each."""
        longest = max(len(p.tokens) for p in probes)
        ids = torch.zeros(len(probes), longest, dtype=torch.long)
        for row, p in enumerate(probes):
            ids[row, : len(p.tokens)] = torch.tensor(p.tokens)
        logits = self._model(ids).double()  # [n, longest, vocab]; padding follows, and is not seen
        rows = torch.tensor([r for r, p in enumerate(probes) for _ in p.answer])
        at = torch.tensor([len(p.prompt) - 1 + i for p in probes for i in range(len(p.answer))])
        answer = torch.tensor([t for p in probes for t in p.answer])[:, None]
        chosen = logits[rows, at]  # [answer tokens, vocab]
        right = chosen.gather(1, answer)[:, 0]
        margin = right - chosen.scatter(1, answer, -torch.inf).amax(1)
        logprob = torch.zeros(len(probes), dtype=torch.float64)
        logprob = logprob.index_add(0, rows, right - chosen.logsumexp(1))
        least = torch.full((len(probes),), torch.inf, dtype=torch.float64)
        return logprob, least.scatter_reduce(0, rows, margin, "amin")

    @torch.no_grad()
    def _apply(self, flips: Flips) -> None:
        for layer, projection, row, column in flips ^ self._flips:
            self._model.tensors[f"blk.{layer}.{TENSORS[projection]}.weight"][row, column] *= -1
        self._flips = flips


def _chunks(probes: Sequence[Probe], chosen: Sequence[int]) -> list[list[int]]:
    """Indices in chunks of similar length, so that little is padding."""
    order = sorted(chosen, key=lambda i: len(probes[i].tokens))
    return [order[k : k + CHUNK] for k in range(0, len(order), CHUNK)]


@dataclass(frozen=True)
class Result:
    """One search as it is written down."""

    name: str
    form: str
    seed: int
    control_weight: float
    flips: int
    bytes: int
    ships: bool
    evaluations: int
    passes: int
    seconds: int
    fitness: float
    probes: int
    controls: int
    validation: dict[str, Any] | None
    heldout: dict[str, Any] | None


def finished(patch: Patch, found: Found, form: str, seed: int, counts: tuple[int, int]) -> Patch:
    """The patch with its provenance; keys are short because every byte travels."""
    provenance = {
        "creator": "bankai-edge",
        "version": bankai_edge.__version__,
        "metric": "seq_logprob",
        "fitness": float(np.float16(found.fitness)),  # 3 bytes
        "form": form,
        "probes": list(counts),  # targets, controls
        "seed": seed,
    }
    return replace(patch, bits=tuple(sorted(found.flips)), provenance=provenance)


def find(args: argparse.Namespace, seed: int) -> tuple[Result, Patch | None]:
    """Search, judge on held-out items; the bound patch when validation lets it ship."""
    spec = known_form(args.form)
    model = Model(args.model)
    evaluator = Evaluator(model, threads=args.threads)
    packs = search_packs(args.form, model.tokenizer, seed)
    counts = len(packs[0].target), len(packs[0].control)
    objective = Objective(args.control_weight, args.margin)
    empty = Patch(args.name, domain=spec.domain, model_id=model.id, crc=0)

    def size(flips: Flips) -> int:
        trial = finished(empty, Found(flips, 1.1), args.form, seed, counts)
        return len(encode(replace(trial, crc=0xFFFFFFFF)))

    limits = Limits(size, args.budget_bytes, args.minutes, start=args.start)
    search = BitSearch(evaluator, packs, objective, limits, lambda line: print(line, flush=True))
    gradient = TorchGradient(
        load_gguf(args.model)[0], packs[0].target, packs[0].control,
        search.search.control_before, objective,
    )  # fmt: skip
    found = search.run(gradient)
    patch = heldout = None
    if found.flips:
        unbound = replace(empty, model_id=None, crc=None)
        patch = bind(finished(unbound, found, args.form, seed, counts), model)
        heldout = evaluator.verdict(judge_pack(args.form, model.tokenizer), [encode(patch)])
    result = Result(
        args.name, args.form, seed, args.control_weight, len(found.flips),
        len(encode(patch)) if patch else 0, found.ships, found.evaluations, found.passes,
        round(found.seconds), round(found.fitness, 4), *counts,
        asdict(found.validation) if found.validation else None,
        asdict(heldout) if heldout else None,
    )  # fmt: skip
    report(result, heldout)
    return result, patch if found.ships else None


def report(result: Result, heldout: Verdict | None) -> None:
    """Prints the held-out verdict."""
    print(f"{result.name}: {result.form}, seed {result.seed}, {result.flips} flips, "
          f"{result.bytes} bytes, {result.evaluations} evaluations, {result.passes} gradient "
          f"passes, {result.seconds} s")  # fmt: skip
    if heldout:
        for kind, c in (("target", heldout.target), ("control", heldout.control)):
            print(f"held-out {kind}: {c.before} -> {c.after} of {c.n}, +{c.fixed} -{c.broken}")


_HEADING = "## Patches"
_INTRO = """
Each teaches one weak phrasing; `tools/first_patch.py` found it (gradient-ranked single bits, every
step verified on the engine, a separate validation pack to choose and to refuse). All probes come
from the probe split. The numbers are held-out items, greedy exact match on the engine; controls are
items of every strong form; `tools/first_patch.py --check` judges again. The package has the
first seed, the others show the spread. Evaluations are exact ones of the engine, on search or
validation probes; passes are gradients of PyTorch. Seconds are of one thread on a busy machine, and
of a development build with an AVX-512 kernel: the same bits, but the portable kernel takes longer.
"""


def card(runs: list[dict[str, Any]]) -> str:
    """The card's section from patches.json."""
    out = [_HEADING, _INTRO]
    out.append("| patch, form | seed | target before → after | fixed / broken | controls fixed / "
               "broken | flips | bytes | evaluations / passes | s |")  # fmt: skip
    out.append("|---" * 9 + "|")
    for r in runs:
        mark = " (in the package)" if r["in_package"] else ""
        head = f"| {r['name']}, `{r['form']}` | {r['seed']}{mark} |"
        if not r["heldout"]:
            out.append(f"{head} no patch found |" + " |" * 6)
            continue
        t, c = r["heldout"]["target"], r["heldout"]["control"]
        out.append(
            f"{head} {t['before'] / t['n']:.3f} → {t['after'] / t['n']:.3f} (n={t['n']}) |"
            f" +{t['fixed']} / −{t['broken']} | +{c['fixed']} / −{c['broken']} of {c['n']} |"
            f" {r['flips']} | {r['bytes']} | {r['evaluations']} / {r['passes']} | {r['seconds']} |"
        )
    return "\n".join(out) + "\n"


def record(folder: Path, results: Sequence[Result], packed: Result | None) -> None:
    """Puts the runs of one patch into patches.json, in place of older ones, and into the card."""
    path = folder / "patches.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
    names = {r.name for r in results}
    runs = [r for r in runs if r["name"] not in names]
    runs += [{**asdict(r), "in_package": r is packed} for r in results]
    runs.sort(key=lambda r: (r["name"], r["seed"]))
    path.write_text(json.dumps({"version": 1, "runs": runs}, indent=1) + "\n")
    write_card(folder)


def write_card(folder: Path) -> None:
    """Renews the "Patches" section of nano.md from patches.json."""
    runs = json.loads((folder / "patches.json").read_text())["runs"]
    page = folder / "nano.md"
    text = page.read_text() if page.exists() else ""
    before, _, old = text.partition(_HEADING)
    _, next_heading, rest = old.partition("\n## ")
    after = "\n## " + rest if next_heading else ""
    page.write_text((before.rstrip("\n") + "\n\n" + card(runs) + after).lstrip("\n"))


def check(args: argparse.Namespace) -> None:
    """Judges the folder's patches again; exits with 1 when a number differs."""
    evaluator = Evaluator(Model(args.model), threads=args.threads)
    wrong = False
    for run in json.loads((args.out / "patches.json").read_text())["runs"]:
        if not run["in_package"] or (args.name and run["name"] != args.name):
            continue
        data = (args.out / f"{run['name']}.bkp").read_bytes()
        pack = judge_pack(run["form"], evaluator.model.tokenizer)
        same = asdict(evaluator.verdict(pack, [data])) == run["heldout"]
        wrong |= not same
        print(f"{run['name']}: {'as written' if same else 'DIFFERS'}", flush=True)
    sys.exit(1 if wrong else 0)


def main() -> None:
    """Finds one patch, or checks those that were found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("form", nargs="?", help="weak form to teach; without it: renew the card")
    parser.add_argument("--check", action="store_true", help="judge the patches of --out again")
    parser.add_argument("--model", type=Path, default=NANO)
    parser.add_argument("--name", help="name of the patch")
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--budget-bytes", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--control-weight", type=float, default=4.0, help="λ of the objective")
    parser.add_argument("--margin", type=float, default=2.0, help="τ of the objective")
    parser.add_argument("--start", type=int, default=6, help="flips of the first step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=NANO.parent, help="folder to write into")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.check:
        check(args)
    if not args.form:
        write_card(args.out)
        return
    args.name = args.name or args.form.replace("_", "-")
    try:
        runs = [find(args, seed) for seed in args.seed]
    except BankaiError as error:
        sys.exit(f"error: {error}")
    results = [result for result, _ in runs]
    packed, patch = next(((r, p) for r, p in runs if p), (None, None))
    record(args.out, results, packed)
    if packed is None or patch is None:
        sys.exit("no patch found that helps on validation; none written")
    path = args.out / f"{args.name}.bkp"
    path.write_bytes(encode(patch))
    print(f"{path}: seed {packed.seed}, {packed.bytes} bytes")


if __name__ == "__main__":
    main()
