"""Choosing the next token from logits: greedy, or by chance within what the filters leave.

The order is that of llama.cpp's default chain:

1. repetition penalty over the last `repeat_last` tokens of prompt and text (positive logits are
   divided by it, negative ones multiplied);
2. top-k: the k most likely;
3. top-p: of these, the fewest whose probabilities reach p together;
4. min-p: of these, those at least min-p times as likely as the likeliest;
5. temperature, then one draw.

Filters see probabilities at temperature 1. Temperature 0 is greedy: after the penalty the likeliest
token is taken, of equals the one with the lowest id, and the filters do not matter.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bankai_edge.errors import UsageError


@dataclass(frozen=True)
class Sampling:
    """What may be chosen; the defaults are greedy."""

    temperature: float = 0.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last: int = 64  # tokens

    def __post_init__(self) -> None:
        """Refuse values that mean nothing (UsageError)."""
        for name, value, low, high in (
            ("temperature", self.temperature, 0.0, 100.0),
            ("top-k", self.top_k, 0, 2**31),
            ("top-p", self.top_p, 0.0, 1.0),
            ("min-p", self.min_p, 0.0, 1.0),
            ("repeat-penalty", self.repeat_penalty, 0.01, 100.0),
            ("repeat-last", self.repeat_last, 0, 2**31),
        ):
            if not low <= value <= high:  # NaN fails too
                raise UsageError(f"a {name} of {value}", expected=f"{low} to {high}")


class Sampler:
    """Draws tokens; the same seed and the same logits give the same tokens.

    One sampler serves one text at a time: each draw moves its random stream on.
    """

    def __init__(self, sampling: Sampling | None = None, seed: int | None = None) -> None:
        """`seed` None takes one from the system; `self.seed` says which."""
        self.sampling = sampling or Sampling()
        self.seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        self._stream = np.random.PCG64(self.seed)  # its raw stream is fixed for all time

    def pick(self, logits: NDArray[np.float32], tokens: Sequence[int] = ()) -> int:
        """The next token, given logits [vocab] and the text so far."""
        if self.sampling.temperature == 0:
            return int(self._penalised(logits, tokens).argmax())
        ids, p = self.choices(logits, tokens)
        share = np.cumsum(p)
        at = int(np.searchsorted(share, self._uniform() * share[-1], side="right"))
        return int(ids[min(at, len(ids) - 1)])

    def choices(
        self, logits: NDArray[np.float32], tokens: Sequence[int] = ()
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """What may be drawn at a temperature above 0: ids, likeliest first, and probabilities."""
        s = self.sampling
        logits = self._penalised(logits, tokens)
        ids = most_likely(logits, s.top_k or len(logits))
        x = logits[ids].astype(np.float64)
        p = np.exp(x - x[0])
        share = np.cumsum(p) / p.sum()
        keep = min(int(np.searchsorted(share, s.top_p)) + 1, len(ids)) if s.top_p < 1 else len(ids)
        keep = min(keep, max(1, int((p >= s.min_p).sum())))
        weights = np.exp((x[:keep] - x[0]) / s.temperature)
        return ids[:keep], weights / weights.sum()

    def _penalised(self, logits: NDArray[np.float32], tokens: Sequence[int]) -> NDArray[np.float32]:
        s = self.sampling
        if s.repeat_penalty == 1 or not s.repeat_last or not len(tokens):
            return logits
        recent = np.unique(np.asarray(tokens[-s.repeat_last :], np.int64))
        logits = logits.copy()
        x, penalty = logits[recent], np.float32(s.repeat_penalty)
        logits[recent] = np.where(x > 0, x / penalty, x * penalty)
        return logits

    def _uniform(self) -> float:
        """In [0, 1), 53 bits."""
        return (int(self._stream.random_raw()) >> 11) * 2.0**-53


def most_likely(logits: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """The ids of the n largest logits, the largest first; of equals, lower ids first."""
    if n < len(logits):
        least = np.partition(logits, len(logits) - n)[len(logits) - n]
        above = np.flatnonzero(logits > least)
        ids = np.sort(np.append(above, np.flatnonzero(logits == least)[: n - len(above)]))
    else:
        ids = np.arange(len(logits))
    order: NDArray[np.int64] = ids[np.argsort(-logits[ids], kind="stable")]
    return order
