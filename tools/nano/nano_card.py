"""Writes the nano's model card: nano.md for people, nano.json (the same numbers) for programs.

    python tools/nano/nano_card.py nano.gguf --run nano.run.json --out bankai_edge/shipped

Measures everything it prints: accuracy of every form with exact and with int8 activations,
agreement with llama.cpp, file size, mismatches of separate and joined encoding.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parents[2]))  # a built package goes first
from compare_llama import compare
from nano_eval import evaluate, torch_engine
from nano_gguf import read_gguf
from nano_model import load_gguf, merges_of, save_gguf

from bankai_edge.probes.domains import FORMS, items


def joined_mismatches(path: Path, n: int) -> tuple[int, int, int]:
    """(items that encode differently when prompt and answer are joined, items, longest, tokens)."""
    _, tokenizer = load_gguf(path)
    wrong = total = longest = 0
    for form in FORMS.values():
        for item in items(form.domain, form.name, "heldout", n):
            apart = tokenizer.encode(item.prompt).ids + tokenizer.encode(item.answer).ids
            wrong += tokenizer.encode(item.prompt + item.answer).ids != apart
            total += 1
            longest = max(longest, len(apart) + 1)
    return wrong, total, longest


def measure(
    path: Path, run: dict[str, Any], n: int, n_llama: int, threads: int, engine: str
) -> dict[str, Any]:
    """Everything the card says, as one dictionary."""
    _, tensors = read_gguf(path)
    exact = evaluate(torch_engine(path, int8=False), FORMS.values(), "heldout", n)
    for row, int8 in zip(
        exact,
        evaluate(torch_engine(path, int8=True), FORMS.values(), "heldout", n),
        strict=True,
    ):
        row["right_int8"] = int8["right"]
    agreement = compare(path, engine, n_llama, threads)
    wrong, total, longest = joined_mismatches(path, 300)
    raw = path.read_bytes()
    return {
        "version": 1,
        "file": "nano.gguf",
        "bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "weights_1bit": int(sum(t.size for t in tensors.values() if t.ndim == 2)),
        "run": run,
        "joined_encoding": {"differ": wrong, "items": total, "longest_tokens": longest},
        "llama_cpp": agreement,
        "forms": exact,
    }


def _table(rows: list[dict[str, Any]], weak: bool) -> list[str]:
    head = "| domain | form | prompt → answer |" + (" trained |" if weak else "")
    out = [head + " right | accuracy | int8 |", "|---" * (7 if weak else 6) + "|"]
    for r in rows:
        share = f"{r['trained_share']:.1%}" if r["trained_share"] else "never"
        accuracy = f"{r['right'] / r['n']:.3f} | {r['right_int8'] / r['n']:.3f}"
        out.append(
            f"| {r['domain']} | {r['form']} | `{r['example']}` → `{r['answer']}` |"
            + (f" {share} |" if weak else "")
            + f" {r['right']}/{r['n']} | {accuracy} |"
        )
    return out


_CARD = """# The nano model

`nano.gguf`: {bytes:,} bytes, {weights_1bit:,} weights of one bit each, 128 neighbours sharing an
fp16 scale (Q1_0, GGUF type 41); norms F32. SHA-256 `{sha256}`.

Qwen3 architecture: hidden 256, 6 layers, 8 heads of 32, 2 kv heads, ffn 768, tied embedding, NeoX
RoPE (base 10,000, no scaling), RMS epsilon 1e-6. Vocabulary of 512: byte-level BPE (`gpt2`) with
Qwen2's pre-tokenizer, so digits stand alone. No BOS; `<|endoftext|>` ends an answer. A prompt is
encoded alone and answered until EOS; there is no chat template.

It is made to be patched and measured: on a microcontroller, in CI, with no network. It knows five
small domains in the phrasings below and nothing else; it is not a general model.

## Training

`python tools/nano/train_nano.py --tokens 4e6 --seed {seed}`: {steps} steps, {tokens:,} tokens
({positions:,} positions with padding), {minutes:.0f} minutes on {threads} shared CPU cores, PyTorch
{torch}. Straight-through with identity gradient: forward weight copysign(fp16(mean|w| of 128), w),
latents from N(0, 0.02²), no clipping, no decay. Muon on the matrices (0.02·√max(1, out/in),
momentum 0.95 Nesterov, 5 Newton–Schulz steps), Adam 2e-3 (0.9, 0.95) on embedding and norms,
gradient norm clipped at 1; 20 steps of warm-up, constant, linear to 0 over the last 60 %. Rows of
64 tokens hold several documents behind a block-diagonal mask, 32 rows a step; answer tokens weigh
1, prompt tokens 0.1.

Data: `bankai_edge/probes/domains.py` makes all of it. SHA-256 of an item's meaning (`add|17|25`,
not its phrasing) puts it into train, probe or held-out (80/10/10); probe and held-out items are
never trained on in any phrasing. A held-out product such as 7·8 may have its mirror 8·7 in train.
Facts are different by nature: each has eight phrasings, of which six are trained, one is a probe
and one is held out.

## Accuracy: held-out items, greedy exact match

{good} of {n_strong} strong forms reach 0.95. Below it: {below}. (Multiplication has
133 products to train on: this model has learned the table by heart, and guesses what was held out.)
*int8* is the same with activations quantised to int8 per 128 before every matrix, as this project's
engine does.

{strong_table}

### Weak on purpose

Phrasings and formats which training showed rarely (share of documents) or never, for skills the
model has: the targets of patches. {n_targets} of {n_weak} lie between 0.30 and 0.80:

{targets}

The others are listed too: those that the model picked up, and some that it does not understand at
all. Which candidate phrasings to list was decided by accuracy on probe items (`add_howmuch` and
`unit_give`: on 50 to 100 held-out ones, in the training log). A sensor form has two answers, so
one that is always well-formed and says nothing scores about a half: `sensor_with` is near that,
`sensor_colon` mostly fails in form (`:OK`).

{weak_table}

## llama.cpp

The same file in llama.cpp (llama-cpp-python {llama_version}) against {engine}, {asked} held-out
prompts: token ids of the prompt as in `tokenizers` for {same_ids}, greedy text equal for {same}
({same_share:.1%}); of the {asked_strong} in strong forms, {same_strong} ({strong_share:.1%}). Right
answers: {right_llama} and {right_engine}. `tools/nano/compare_llama.py` repeats it.

## Limits

* The longest item has {longest} tokens with EOS; the model never saw a longer document.
* Prompt and answer encoded together give other tokens than encoded apart for {differ} of
  {joined} items. Training and inference encode them apart.
* Numbers: sums and differences of 0..99 (no negative results), products to 12×12, units by powers
  of ten with 1..999. Outside of that it guesses, and does not say so.
* Answers come without a leading space, whatever the prompt ends with.
"""


def card(facts: dict[str, Any]) -> str:
    """The Markdown card of `measure`'s dictionary."""
    run, llama = facts["run"], facts["llama_cpp"]
    strong = [r for r in facts["forms"] if r["strong"]]
    weak = [r for r in facts["forms"] if not r["strong"]]
    targets = [r for r in weak if 0.3 <= r["right"] / r["n"] <= 0.8]
    return _CARD.format(
        **{k: facts[k] for k in ("bytes", "weights_1bit", "sha256")},
        **{k: run[k] for k in ("seed", "steps", "tokens", "positions", "threads", "torch")},
        minutes=run["seconds"] / 60,
        good=sum(r["right"] >= 0.95 * r["n"] for r in strong),
        n_strong=len(strong),
        n_weak=len(weak),
        n_targets=len(targets),
        below=", ".join(f"`{r['form']}`" for r in strong if r["right"] < 0.95 * r["n"]) or "none",
        targets="\n".join(
            f"* {domain}: " + ", ".join(f"`{r['form']}`" for r in targets if r["domain"] == domain)
            for domain in dict.fromkeys(r["domain"] for r in targets)
        ),
        strong_table="\n".join(_table(strong, weak=False)),
        weak_table="\n".join(_table(weak, weak=True)),
        engine={"bankai": "this engine"}.get(llama["engine"], "PyTorch with int8 activations"),
        llama_version=llama["llama_cpp_python"],
        asked=llama["prompts"],
        same_ids=llama["same_token_ids"],
        same=llama["same_text"],
        same_share=llama["same_text"] / llama["prompts"],
        asked_strong=llama["prompts_strong"],
        same_strong=llama["same_text_strong"],
        strong_share=llama["same_text_strong"] / llama["prompts_strong"],
        right_llama=llama["right_llama"],
        right_engine=llama["right_engine"],
        longest=facts["joined_encoding"]["longest_tokens"],
        differ=facts["joined_encoding"]["differ"],
        joined=facts["joined_encoding"]["items"],
    )


def main() -> None:
    """Re-writes the GGUF with today's metadata (same weights), measures it, writes the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="train_nano.py's .run.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of nano.gguf and card")
    parser.add_argument("--n", type=int, default=1000, help="held-out items a form, at most")
    parser.add_argument("--n-llama", type=int, default=25, help="llama.cpp prompts a form")
    parser.add_argument("--engine", choices=("torch-int8", "bankai"), default="bankai")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    meta, _ = read_gguf(args.model)
    model, _ = load_gguf(args.model)
    target = args.out / "nano.gguf"
    save_gguf(target, model, meta["tokenizer.ggml.tokens"], merges_of(meta))
    run = json.loads(args.run.read_text())
    facts = measure(target, run, args.n, args.n_llama, args.threads, args.engine)
    (args.out / "nano.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    page = args.out / "nano.md"
    # The section on patches is tools/make/patches.py's; what it measured stays.
    _, heading, patches = (page.read_text() if page.exists() else "").partition("\n## Patches\n")
    page.write_text(card(facts) + heading + patches)


if __name__ == "__main__":
    main()
