"""Tokens per second: prefill, decode, the first token."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bankai_edge import _engine
from bankai_edge.bench.timing import Samples, repeat, samples
from bankai_edge.defaults import BATCH
from bankai_edge.errors import BankaiError


@dataclass(frozen=True)
class TokenSpeed:
    """One test in llama-bench's words: `pp64` reads 64 tokens, `tg64` writes 64.

    `seconds` are of whole rounds; `per_token` of single steps (decode only).
    """

    threads: int
    test: str
    tokens: int
    seconds: Samples
    per_token: Samples | None = None

    @property
    def per_s(self) -> float:
        """Tokens per second of the median round."""
        return self.tokens / self.seconds.p50

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, in tokens per second."""
        low, high = self.seconds.quantile(0.75), self.seconds.quantile(0.25)
        return (self.tokens / high - self.tokens / low) / 2


class Runner:
    """One model and one pool, with a context of its own; random tokens."""

    def __init__(self, core: _engine.Model, pool: _engine.Pool | None, ctx: int) -> None:
        self.threads = pool.threads if pool else 1
        self.state = _engine.State(core, ctx, BATCH, pool)
        vocab = core.shape["vocab"]
        self.tokens = np.random.default_rng(1).integers(0, vocab, ctx).astype(np.int32)
        self.logits = np.empty(vocab, np.float32)

    def prefill(self, n: int, *, budget: float, least: int = 3) -> TokenSpeed:
        """Read n tokens from an empty context, up to the logits of the last."""

        def round_() -> None:
            self.state.truncate(0)
            self.state.forward(self.tokens[:n], self.logits)

        round_()
        return TokenSpeed(self.threads, f"pp{n}", n, repeat(round_, least=least, budget=budget))

    def step(self, at: int) -> float:
        """Seconds of one token at position `at`, which may be the next or an earlier one."""
        self.state.truncate(at)
        start = time.perf_counter()
        self.state.forward(self.tokens[at : at + 1], self.logits)
        return time.perf_counter() - start

    def decode(self, n: int, *, budget: float, least: int = 3) -> TokenSpeed:
        """Write n tokens, one after the other, from an empty context; choosing is not included."""
        steps: list[float] = []

        def round_() -> None:
            steps.extend(self.step(i) for i in range(n))

        round_()
        steps.clear()
        rounds = repeat(round_, least=least, budget=budget)
        return TokenSpeed(self.threads, f"tg{n}", n, rounds, samples(steps))


def cold_start(model_path: Path, threads: int, *, least: int = 3) -> Samples:
    """Seconds from starting a fresh process to the end of its first token.

    Raises:
        BankaiError: that process failed.
    """
    command = [sys.executable, "-m", "bankai_edge", "run", "-m", str(model_path.resolve()),
               "-p", "1", "-n", "1"]  # fmt: skip
    env = {**os.environ, "BANKAI_THREADS": str(threads)}

    def run() -> None:
        # from "/": a checkout in the current directory must not stand in for the package
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd="/")
        if done.returncode:
            raise BankaiError(f"a fresh process failed: {done.stderr.strip()}")

    return repeat(run, least=least, most=least)
