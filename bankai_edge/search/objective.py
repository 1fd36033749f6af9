"""What a search maximises: better answers on the targets, no harm on the controls.

    J = mean Δ value of the targets
        − λ/|C| · Σ over controls that were right of [relu(min(m₀, τ) − m) + 1{m ≤ 0}]

The value is log p(answer | prompt), or the paper's first metric: how far the right answer's first
token lies before the wrong one's. m is the smallest margin of an answer's tokens and m₀ its value
before: a control may lose margin that it has to spare, pays for each unit below τ, and once more
when its answer turns wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bankai_edge.search.reading import Scores

Metric = Literal["seq_logprob", "token_gap"]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True)
class Objective:
    """λ and τ of J; `softness` is the width of the softplus that stands for relu in gradients."""

    control_weight: float = 4.0
    margin: float = 2.0
    softness: float = 0.3
    metric: Metric = "seq_logprob"

    def value(self, scores: Scores) -> NDArray[np.float64]:
        """[n]: what the search raises."""
        return scores.gap if self.metric == "token_gap" else scores.logprob

    def floor(self, control_before: Scores) -> NDArray[np.float64]:
        """[n]: the margin below which each control pays; −inf for those that were wrong."""
        floor = np.minimum(control_before.margin, self.margin)
        return np.where(control_before.right, floor, -np.inf)

    def harm(self, before: Scores, after: Scores) -> NDArray[np.float64]:
        """[n]: what each control pays, before weighting; never negative."""
        short = np.maximum(self.floor(before) - after.margin, 0.0)
        return short + (before.right & ~after.right)

    def gain(
        self, before: Scores, after: Scores, weights: NDArray[np.float64] | None = None
    ) -> float:
        """The targets' part of J; `weights` [n] sum to 1 (the plain mean when None)."""
        change = self.value(after) - self.value(before)
        return float(change.mean() if weights is None else (change * weights).sum())

    def fitness(
        self,
        target: tuple[Scores, Scores],
        control: tuple[Scores, Scores],
        weights: NDArray[np.float64] | None = None,
    ) -> float:
        """J from (before, after) of targets and of controls."""
        harm = self.harm(*control)
        share = float(harm.sum()) / max(len(harm), 1)
        return self.gain(*target, weights) - self.control_weight * share
