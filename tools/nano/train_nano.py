"""Trains the nano model: a true 1-bit Qwen3 by straight-through estimation, written as GGUF.

    python tools/nano/train_nano.py --tokens 4e6 --out nano.gguf

Muon on the matrices, Adam on embedding and norms; rows of 64 tokens hold several documents behind a
block-diagonal mask, positions restarting with each document. A checkpoint beside `--out` is written
every few minutes and resumed from. With one seed and one thread count the run is repeatable.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, pre_tokenizers, trainers
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parents[2]))  # a built package goes first
from nano_model import EOS, SPECIALS, NanoModel, greedy, make_tokenizer, save_gguf

from bankai_edge.probes.domains import forms, items, training_documents
from bankai_edge.shapes import NANO

ROW = 64  # tokens a packed row
BATCH = 32  # rows a step
PROMPT_WEIGHT = 0.1  # loss weight of a prompt token; an answer token and EOS weigh 1
LONGEST = 40  # tokens of prompt + answer + EOS: a microcontroller has 48 positions


def train_tokenizer(seed: int, vocab: int) -> tuple[list[str], list[tuple[str, str]]]:
    """(tokens, merges) of a byte-level BPE trained on a sample of the training documents."""
    stream = training_documents(seed)
    sample = [text for _ in range(60_000) for text in next(stream)]
    tokenizer = make_tokenizer([], [])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    if len(tokens) != vocab:
        raise RuntimeError(f"the corpus gave {len(tokens)} tokens, not {vocab}")
    return tokens, [
        tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]
    ]


Document = tuple[list[int], int]  # tokens, and how many of them are prompt


def documents(tokenizer: Tokenizer, seed: int) -> Iterator[Document]:
    """Encoded documents: prompt (alone) + answer (alone) + EOS."""
    stream = training_documents(seed)
    while True:
        pairs = [next(stream) for _ in range(512)]
        prompts = tokenizer.encode_batch([p for p, _ in pairs])
        answers = tokenizer.encode_batch([a for _, a in pairs])
        for p, a in zip(prompts, answers, strict=True):
            ids = p.ids + a.ids + [EOS]
            if len(ids) > LONGEST:
                raise ValueError(f"{len(ids)} tokens: {p.tokens + a.tokens}")
            yield ids, len(p.ids)


def batches(docs: Iterator[Document]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """(ids, positions, document index, target ids, target weights), each [BATCH, ROW]."""
    pool: deque[Document] = deque()
    while True:
        ids = torch.full((BATCH, ROW), EOS)
        positions = torch.zeros(BATCH, ROW, dtype=torch.long)
        owner = torch.full((BATCH, ROW), -1)
        targets = torch.full((BATCH, ROW), EOS)
        weights = torch.zeros(BATCH, ROW)
        for row in range(BATCH):
            at, index = 0, 0
            while True:
                while len(pool) < 48:
                    pool.append(next(docs))
                fit = next((d for d in pool if len(d[0]) <= ROW - at), None)
                if fit is None:
                    break
                pool.remove(fit)
                doc, n_prompt = fit
                end = at + len(doc)
                ids[row, at:end] = torch.tensor(doc)
                positions[row, at:end] = torch.arange(len(doc))
                owner[row, at:end] = index
                targets[row, at : end - 1] = torch.tensor(doc[1:])
                weights[row, at : end - 1] = 1.0
                weights[row, at : at + n_prompt - 1] = PROMPT_WEIGHT
                at, index = end, index + 1
        yield ids, positions, owner, targets, weights


def orthogonalized(g: Tensor, steps: int = 5) -> Tensor:
    """Newton–Schulz: the nearest semi-orthogonal matrices of [n, out, in] (Muon's quintic)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = g.shape[-2] > g.shape[-1]
    x: Tensor = g.mT if tall else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT.contiguous() if tall else x


class Muon:
    """Momentum 0.95 (Nesterov), orthogonalised; matrices of one shape go through together."""

    def __init__(self, params: list[torch.nn.Parameter], lr: float = 0.02) -> None:
        self.lr = lr
        by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
        for p in params:
            by_shape.setdefault(p.shape, []).append(p)
        self.groups = list(by_shape.values())
        self.momenta = [torch.zeros(len(g), *g[0].shape) for g in self.groups]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with learning rate lr·factor·√max(1, out/in)."""
        for group, momentum in zip(self.groups, self.momenta, strict=True):
            grad = torch.stack([p.grad for p in group])  # type: ignore[misc]
            momentum.mul_(0.95).add_(grad)
            update = orthogonalized(grad.add(momentum, alpha=0.95))
            out, inn = group[0].shape
            rate = self.lr * factor * max(1.0, out / inn) ** 0.5
            for p, u in zip(group, update, strict=True):
                p.sub_(u, alpha=rate)


def schedule(progress: float, warmup: float) -> float:
    """Rate factor at `progress` 0..1: warm-up, constant, linear to 0 over the last 60 %."""
    return min(1.0, progress / warmup if warmup else 1.0, (1 - progress) / 0.6)


def quick_report(model: NanoModel, tokenizer: Tokenizer, n: int) -> str:
    """Held-out exact match of `n` items a form, strong ones first, one line."""
    parts = []
    for form in sorted(forms(), key=lambda f: not f.strong):
        chosen = items(form.domain, form.name, "heldout", n)
        got = greedy(model, tokenizer, [i.prompt for i in chosen])
        right = sum(g == i.answer for g, i in zip(got, chosen, strict=True))
        parts.append(f"{form.name}={right / len(chosen):.2f}")
    return " ".join(parts)


def main() -> None:
    """Trains, with checkpoints, and writes the GGUF."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=float, default=4e6, help="tokens to train on")
    parser.add_argument("--out", type=Path, required=True, help="GGUF file to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--report-every", type=int, default=250, help="steps between reports")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    tokens, merges = train_tokenizer(args.seed, NANO.vocab)
    tokenizer = make_tokenizer(tokens, merges)
    model = NanoModel()
    matrices = [p for n, p in model.tensors.items() if p.ndim == 2 and n != "token_embd.weight"]
    rest = [p for n, p in model.tensors.items() if p.ndim == 1 or n == "token_embd.weight"]
    muon = Muon(matrices)
    adam = torch.optim.Adam(rest, lr=2e-3, betas=(0.9, 0.95))
    total = int(args.tokens) // (ROW * BATCH) + 1
    stream = batches(documents(tokenizer, args.seed + 1))
    checkpoint = args.out.with_suffix(".pt")
    step, seconds, seen = 0, 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        if state["total"] != total or state["seed"] != args.seed:
            raise SystemExit(f"{checkpoint} is of another run; remove it or choose another --out")
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        muon.momenta = state["muon"]
        step, seconds, seen = state["step"], state["seconds"], state["seen"]
        for _ in range(step):  # the data stream has no state of its own: replay it
            next(stream)
    saved = time.monotonic()
    running = 0.0
    while step < total:
        began = time.monotonic()
        ids, positions, owner, targets, weights = next(stream)
        same = (owner[:, :, None] == owner[:, None, :]).tril()
        logits = model(ids, positions, same.unsqueeze(1))
        loss_each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        loss = (loss_each * weights.flatten()).sum() / weights.sum()
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        factor = schedule(step / total, warmup=20 / total)
        factor = max(factor, 0.05) if step < 20 else factor
        for group in adam.param_groups:
            group["lr"] = 2e-3 * factor
        adam.step()
        muon.step(factor)
        step += 1
        seen += int((owner >= 0).sum())
        seconds += time.monotonic() - began
        running += (loss.item() - running) * (0.02 if step > 50 else 1 / step)
        if step % 25 == 0:
            print(
                f"step {step}/{total} loss {running:.3f} tokens {seen} {seconds:.0f}s"
                f" {seen / seconds:.0f} tok/s",
                flush=True,
            )
        last = step == total
        if last or time.monotonic() - saved > 180:
            saved = time.monotonic()
            state = {
                "model": model.state_dict(), "adam": adam.state_dict(), "muon": muon.momenta,
                "step": step, "seconds": seconds, "seen": seen, "total": total, "seed": args.seed,
            }  # fmt: skip
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            save_gguf(args.out, model, tokens, merges)
        if step % args.report_every == 0 or last:
            print("   ", quick_report(model, tokenizer, 100 if last else 50), flush=True)
    run = {"seed": args.seed, "steps": total, "tokens": seen, "positions": total * ROW * BATCH}
    run |= {"seconds": round(seconds), "threads": args.threads, "torch": torch.__version__}
    args.out.with_suffix(".run.json").write_text(json.dumps(run, indent=1) + "\n")


if __name__ == "__main__":
    main()
