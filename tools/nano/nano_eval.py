"""Accuracy of the nano model per form: greedy exact match on held-out (or probe) items.

    python tools/nano/nano_eval.py bankai_edge/shipped/nano.gguf --n 500 --int8

`evaluate` takes any function from prompts to texts, so that other engines are judged by
the same rule.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parents[2]))  # a built package goes first
from nano_model import greedy, load_gguf

from bankai_edge.probes.domains import FORMS, Form, items

Generate = Callable[[list[str]], list[str]]


def torch_engine(path: Path, int8: bool) -> Generate:
    """The PyTorch judge; `int8` quantises activations before every matmul, as the core does."""
    model, tokenizer = load_gguf(path)
    model.int8 = int8
    return lambda prompts: greedy(model, tokenizer, prompts)


def evaluate(
    generate: Generate, chosen: Iterable[Form], split: str, n: int | None, seed: int = 0
) -> list[dict[str, Any]]:
    """One row a form: domain, form, strong, trained share, example, n, right, accuracy."""
    rows = []
    for form in chosen:
        asked = items(form.domain, form.name, split, n, seed)
        got = generate([i.prompt for i in asked])
        right = sum(g == i.answer for g, i in zip(got, asked, strict=True))
        rows.append(
            {
                "domain": form.domain,
                "form": form.name,
                "strong": form.strong,
                "trained_share": form.share,
                "example": asked[0].prompt,
                "answer": asked[0].answer,
                "n": len(asked),
                "right": right,
                "accuracy": round(right / len(asked), 4),
            }
        )
    return rows


def main() -> None:
    """Prints one line a form, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--form", action="append", choices=list(FORMS), help="only these forms")
    parser.add_argument("--split", choices=("probe", "heldout"), default="heldout")
    parser.add_argument("--n", type=int, default=500, help="items a form, at most")
    parser.add_argument("--int8", action="store_true", help="quantise activations per 128")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    began = time.monotonic()
    chosen = [FORMS[f] for f in args.form or FORMS]
    rows = evaluate(torch_engine(args.model, args.int8), chosen, args.split, args.n)
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        kind = "strong" if row["strong"] else "weak"
        print(
            f"{kind:6} {row['domain']:10} {row['form']:16} {row['right']:5}/{row['n']:<5}"
            f" {row['accuracy']:.3f}  {row['example']!r} -> {row['answer']!r}"
        )
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
