"""Does llama.cpp say the same? Greedy text of one GGUF in llama.cpp and in another engine.

    python tools/nano/compare_llama.py bankai_edge/shipped/nano.gguf --engine torch-int8 --n 20

Prompts are held-out items of every form, `--n` a form. Token ids of each prompt must agree exactly;
texts must agree on at least `--least` of the prompts (the exit status says so). llama.cpp quantises
activations to int8 per 32 and computes in its own order, so a close call may fall differently.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parents[2]))  # a built package goes first
from nano_eval import Generate, torch_engine
from nano_model import load_gguf

from bankai_edge.probes.domains import FORMS, Item, items

LIMIT = 24  # tokens generated at most


class LlamaEngine:
    """llama.cpp through llama-cpp-python, one greedy completion a prompt."""

    def __init__(self, path: Path, threads: int) -> None:
        import llama_cpp

        self.version: str = llama_cpp.__version__
        self.llama = llama_cpp.Llama(str(path), n_ctx=64, n_threads=threads, verbose=False)

    def encode(self, prompt: str) -> list[int]:
        """Token ids of the prompt alone, special tokens not parsed."""
        ids: list[int] = self.llama.tokenize(prompt.encode(), add_bos=False, special=False)
        return ids

    def __call__(self, prompts: list[str]) -> list[str]:
        """Greedy continuations up to EOS."""
        out = []
        for prompt in prompts:
            done: Any = self.llama.create_completion(
                self.encode(prompt), max_tokens=LIMIT, temperature=0.0, repeat_penalty=1.0
            )
            out.append(done["choices"][0]["text"])
        return out


def bankai_engine(path: Path) -> Generate:
    """This project's own engine (the package must be built)."""
    from bankai_edge.model import Model, Session

    session = Session(Model(path))
    return lambda prompts: ["".join(session.generate(p, max_tokens=LIMIT)) for p in prompts]


def compare(path: Path, engine: str, n: int, threads: int) -> dict[str, Any]:
    """Agreement of texts and token ids, right answers of both, and the prompts that differ."""
    chosen: list[Item] = []
    for form in FORMS.values():
        chosen += items(form.domain, form.name, "heldout", n)
    prompts = [i.prompt for i in chosen]
    llama = LlamaEngine(path, threads)
    other = (
        bankai_engine(path) if engine == "bankai" else torch_engine(path, engine == "torch-int8")
    )
    _, tokenizer = load_gguf(path)
    theirs, ours = llama(prompts), other(prompts)
    same_ids = sum(llama.encode(p) == tokenizer.encode(p).ids for p in prompts)
    rows = list(zip(chosen, theirs, ours, strict=True))
    strong = [(a, b) for i, a, b in rows if FORMS[i.form].strong]
    return {
        "llama_cpp_python": llama.version,
        "engine": engine,
        "prompts": len(prompts),
        "same_token_ids": same_ids,
        "same_text": sum(a == b for _, a, b in rows),
        "prompts_strong": len(strong),
        "same_text_strong": sum(a == b for a, b in strong),
        "right_llama": sum(a == i.answer for i, a, _ in rows),
        "right_engine": sum(b == i.answer for i, _, b in rows),
        "differences": [
            {"form": i.form, "prompt": i.prompt, "llama": a, "engine": b}
            for i, a, b in rows
            if a != b
        ],
    }


def main() -> None:
    """Prints the agreement; exit status 1 when it is below `--least`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--engine", choices=("torch", "torch-int8", "bankai"), default="torch-int8")
    parser.add_argument("--n", type=int, default=20, help="held-out prompts a form")
    parser.add_argument("--least", type=float, default=0.95)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = compare(args.model, args.engine, args.n, args.threads)
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        for row in result["differences"]:
            print(f"{row['form']:16} {row['prompt']!r}: {row['llama']!r} / {row['engine']!r}")
        total, same = result["prompts"], result["same_text"]
        print(f"same token ids {result['same_token_ids']}/{total}, same text {same}/{total}")
        print(f"right: llama.cpp {result['right_llama']}, {args.engine} {result['right_engine']}")
    good = result["same_token_ids"] == result["prompts"]
    if not good or result["same_text"] < args.least * result["prompts"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
