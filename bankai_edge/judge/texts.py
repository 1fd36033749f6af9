"""Text as a whole: perplexity before and after, and how far the predictions moved (KL)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bankai_edge.errors import BankaiError, UsageError
from bankai_edge.model import Model, Session
from bankai_edge.probes import questions
from bankai_edge.probes.goals import NANO

WINDOW = 256  # tokens predicted from each other; the first of a window is given
SLAB = 16  # positions turned into probabilities at once
Documents = list[list[int]]


@dataclass(frozen=True)
class TextChange:
    """Means over `tokens` predicted tokens; `kl` is KL(base ‖ patched) in nats."""

    tokens: int
    nll_before: float
    nll_after: float
    kl: float
    same_choice: float  # share of positions whose greedy choice stayed

    @property
    def perplexity_before(self) -> float:
        """Per token, of the pristine model."""
        return math.exp(self.nll_before)

    @property
    def perplexity_after(self) -> float:
        """Per token, of the patched model."""
        return math.exp(self.nll_after)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **vars(self),
            "perplexity_before": self.perplexity_before,
            "perplexity_after": self.perplexity_after,
        }


def load(spec: str, model: Model) -> Documents:
    """A text file, or prompts with their answers of ``nano:…`` questions: one document each.

    Raises what `from_file` and `questions.load` raise.
    """
    if not spec.startswith(NANO):
        return from_file(Path(spec), model)
    asked = questions.load(spec, model.tokenizer)
    return [[*q.probe.prompt, *q.probe.answer] for q in asked]


def from_file(path: Path, model: Model, limit: int = 4096) -> Documents:
    """The first `limit` tokens of a text file, cut into windows.

    Raises:
        BankaiError: it cannot be read, or is not UTF-8.
        UsageError: it holds fewer than two tokens (exit 2).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BankaiError(
            f"{path} cannot be read as text ({error})", expected="a UTF-8 file"
        ) from error
    tokens = model.tokenizer.encode(text)[:limit]
    if len(tokens) < 2:
        raise UsageError(f"{path} holds {len(tokens)} tokens", expected="at least 2")
    window = min(WINDOW, model.shape.context)
    return [tokens[i : i + window] for i in range(0, len(tokens), window)]


def compare_text(model: Model, documents: Documents, patches: Sequence[bytes]) -> TextChange:
    """Perplexity and KL over documents of at least two tokens each (shorter ones are left out)."""
    documents = [tokens for tokens in documents if len(tokens) > 1]
    ctx = max(map(len, documents), default=1)
    base, patched = (Session(model, ctx=ctx) for _ in range(2))
    patched.use(patches, allow_unbound=True)
    sums = np.zeros(4)
    n = 0
    for tokens in documents:
        next_tokens = np.asarray(tokens[1:], np.intp)
        rows = base.logits(tokens[:-1]), patched.logits(tokens[:-1])
        for at in range(0, len(next_tokens), SLAB):
            part = slice(at, at + SLAB)
            sums += _sums(rows[0][part], rows[1][part], next_tokens[part])
        n += len(next_tokens)
    nll_before, nll_after, kl, same = (sums / max(n, 1)).tolist()
    return TextChange(n, nll_before, nll_after, max(kl, 0.0), same)


def _sums(
    before: NDArray[np.float32], after: NDArray[np.float32], chosen: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Over positions [n]: −log p before and after, KL, same greedy choice."""
    p, q = _log_softmax(before), _log_softmax(after)
    at = np.arange(len(chosen)), chosen
    kl = (np.exp(p) * (p - q)).sum()
    same = (before.argmax(axis=1) == after.argmax(axis=1)).sum()
    return np.array([-p[at].sum(), -q[at].sum(), kl, same], np.float64)


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    found: NDArray[np.float64] = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return found
