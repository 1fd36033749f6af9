"""How near are llama.cpp and this engine? Writes tests/golden/llama_agreement.json.

    python tools/make/agree_llama.py [--model bankai_edge/shipped/nano.gguf]

On the nano: KL of next-token distributions over held-out text, and greedy answers to held-out
questions. On two random models, which amplify rounding: the distance of each engine from a float64
reference. What the sampling filters leave to draw from. llama.cpp quantises activations to int8 per
32, this engine per 128; both round.
Exit status 1 when a bound is missed. Needs `pip install llama-cpp-python`.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import argparse
import ctypes
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import agreement as a
import numpy as np

from bankai_edge.model import Model
from bankai_edge.shipped import NANO

TEXTS, QUESTIONS = 2, 7  # of every form
SAMPLE, TOP = 32, 5  # positions, and most likely tokens of each, that the golden file keeps


class Llama:
    """llama.cpp on one file, on one thread, with what the file says about rope."""

    def __init__(self, path: Path, ctx: int) -> None:
        import llama_cpp

        self.version: str = llama_cpp.__version__
        self.llama = llama_cpp.Llama(
            str(path), n_ctx=ctx, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False,
            yarn_attn_factor=-1.0, yarn_beta_fast=-1.0, yarn_beta_slow=-1.0,
        )  # fmt: skip

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""
        ids: list[int] = self.llama.tokenize(text.encode(), add_bos=False, special=True)
        return ids

    def logits(self, tokens: list[int]) -> a.Rows:
        """Logits [len(tokens), vocab] from an empty cache."""
        self.llama.reset()
        self.llama.eval(tokens)
        return np.array(self.llama.scores[: len(tokens)], np.float32)

    def answer(self, tokens: list[int], stops: frozenset[int]) -> bytes:
        """Greedy continuation up to a stop token or the limit."""
        self.llama.reset()
        self.llama.eval(tokens)
        out = b""
        for _ in range(a.LIMIT):
            token = int(self.llama.scores[self.llama.n_tokens - 1].argmax())
            if token in stops:
                break
            out += self.llama.detokenize([token])
            self.llama.eval([token])
        return out


def on_nano(path: Path) -> dict[str, Any]:
    """KL and greedy agreement on a trained model."""
    model, llama = Model(path), Llama(path, 128)
    lists = [model.tokenizer.encode(t) for t in a.texts(TEXTS)]
    same_ids = sum(llama.encode(t) == ids for t, ids in zip(a.texts(TEXTS), lists, strict=True))
    ours = a.our_logits(path, lists)
    theirs = np.concatenate([llama.logits(tokens) for tokens in lists])
    exact = np.concatenate([a.float64_logits(path, tokens) for tokens in lists])
    kl = a.divergence(theirs, ours)
    questions = a.prompts(QUESTIONS)
    mine = a.our_answers(path, questions)
    stops = model.tokenizer.stop_ids
    other = [llama.answer(model.tokenizer.encode(q), stops).decode("utf-8", "replace")
             for q in questions]  # fmt: skip
    log_p = a.log_softmax(theirs)
    at = np.linspace(0, len(ours) - 1, SAMPLE).astype(int)
    best = [np.argsort(-log_p[i], kind="stable")[:TOP] for i in at]
    return {
        "model_id": model.id.hex(),
        "texts_per_form": TEXTS,
        "positions": len(ours),
        "texts": len(lists),
        "same_token_ids": same_ids,
        "mean_kl": float(kl.mean()),
        "p99_kl": float(np.quantile(kl, 0.99)),
        "same_argmax": float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()),
        "float64": {"ours": a.distance(ours, exact), "llama": a.distance(theirs, exact)},
        "logits_sha256": a.rows_hash(ours),
        "llama_top": {  # position: token=log p ...
            str(i): " ".join(f"{t}={log_p[i, t]:.4f}" for t in tokens)
            for i, tokens in zip(at, best, strict=True)
        },
        "questions_per_form": QUESTIONS,
        "questions": len(questions),
        "same_text": sum(x == y for x, y in zip(mine, other, strict=True)),
        "answers_sha256": a.texts_hash(mine),
        "differences": [
            {"prompt": q, "ours": x, "llama": y}
            for q, x, y in zip(questions, mine, other, strict=True)
            if x != y
        ],
    }


def on_synthetic(case: a.SynthCase, folder: Path) -> dict[str, Any]:
    """Both engines' distances from float64 on a random model."""
    path = case.write(folder)
    exact = a.float64_logits(path, case.tokens)
    ours = a.our_logits(path, [case.tokens])
    theirs = Llama(path, 256).logits(case.tokens)
    mine, other = a.distance(ours, exact), a.distance(theirs, exact)
    return {
        "shape": asdict(case.shape),
        "seed": case.seed,
        "positions": case.n_tokens,
        "model_id": Model(path).id.hex(),
        "ours": mine,
        "llama": other,
        "ratio": {key: mine[key] / other[key] for key in mine},
        "logits_sha256": a.rows_hash(ours),
    }


def on_sampling(case: a.SamplingCase) -> dict[str, float]:
    """Token -> probability that llama.cpp's chain of the same options leaves."""
    import llama_cpp as lc

    s, logits = case.sampling, case.logits
    entries = (lc.llama_token_data * len(logits))()
    for i, x in enumerate(logits):
        entries[i] = lc.llama_token_data(id=i, logit=x, p=0.0)
    array = lc.llama_token_data_array(data=entries, size=len(logits), selected=-1, sorted=False)
    chain = lc.llama_sampler_chain_init(lc.llama_sampler_chain_default_params())
    penalties = lc.llama_sampler_init_penalties(
        len(logits), s.repeat_last, s.repeat_penalty, 0.0, 0.0
    )
    for token in case.tokens:
        lc.llama_sampler_accept(penalties, token)
    for part in (
        penalties,
        lc.llama_sampler_init_top_k(s.top_k),
        lc.llama_sampler_init_top_p(s.top_p, 1),
        lc.llama_sampler_init_min_p(s.min_p, 1),
        lc.llama_sampler_init_temp(s.temperature),
    ):
        lc.llama_sampler_chain_add(chain, part)
    lc.llama_sampler_apply(chain, ctypes.byref(array))
    left = sorted(((array.data[i].logit, array.data[i].id) for i in range(array.size)),
                  key=lambda pair: (-pair[0], pair[1]))  # fmt: skip
    lc.llama_sampler_free(chain)
    weights = np.exp(np.array([x for x, _ in left]) - left[0][0])
    return {str(i): round(float(w), 5)
            for (_, i), w in zip(left, weights / weights.sum(), strict=True)}  # fmt: skip


def _compact(result: dict[str, Any]) -> str:
    """JSON with one line for each sampling case."""
    cases = result["sampling"]
    text = json.dumps({**result, "sampling": "CASES"}, indent=1, ensure_ascii=False)
    lines = ",\n  ".join(map(json.dumps, cases))
    return text.replace('"CASES"', f"[\n  {lines}\n ]") + "\n"


def main() -> None:
    """Compare, write, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=NANO)
    parser.add_argument("--output", type=Path, default=a.GOLDEN)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        synthetic = [on_synthetic(case, Path(folder)) for case in a.CASES]
    nano = on_nano(args.model)
    result = {
        "llama_cpp_python": Llama(args.model, 8).version,
        "bounds": {"mean_kl": a.KL_MOST, "same_text": a.SAME_LEAST, "ratio": a.RATIO_MOST},
        "nano": nano,
        "synthetic": synthetic,
        "sampling": [on_sampling(case) for case in a.SAMPLING_CASES],
    }
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(_compact(result))
    print(f"nano: mean KL {nano['mean_kl']:.2e} over {nano['positions']} positions, "
          f"{nano['same_text']} of {nano['questions']} greedy texts equal")  # fmt: skip
    for case in synthetic:
        print(case["shape"]["name"], {k: round(r, 2) for k, r in case["ratio"].items()})
    if found := a.missed(result):
        sys.exit("; ".join(found))


if __name__ == "__main__":
    main()
