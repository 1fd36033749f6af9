"""What a search maximises: better answers on the targets, no harm on the controls.

    J = mean Δ value of the targets
        − λ/|C| · (Σ over controls that were right of [relu(min(m₀, τ) − m) + 1{m ≤ 0}]
                   + ρ · Σ over controls with m₀ > −τ of [relu(τ − m) − relu(τ − m₀)])

The value is log p(answer | prompt), or the paper's first metric: how far the right answer's first
token lies before the wrong one's. m is the smallest margin of an answer's tokens and m₀ its value
before: a control may lose margin that it has to spare, pays for each unit below τ, and once more
when its answer turns wrong. The second sum pays a little for controls that grow surer, those that
are just wrong included: some answers at the edge always fall, and others have to make up for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bankai_edge.judge.reading import Metric, Scores


@dataclass(frozen=True)
class Objective:
    """λ, τ and ρ of J; in gradients a softplus of width `softness` stands for relu."""

    control_weight: float = 20.0
    margin: float = 3.0
    relief: float = 0.25
    softness: float = 0.3
    metric: Metric = "seq_logprob"

    def value(self, scores: Scores) -> NDArray[np.float64]:
        """[n]: what the search raises."""
        return scores.gap if self.metric == "token_gap" else scores.logprob

    def floor(self, control_before: Scores) -> NDArray[np.float64]:
        """[n]: the margin below which each control pays; −inf for those that were wrong."""
        floor = np.minimum(control_before.margin, self.margin)
        return np.where(control_before.right, floor, -np.inf)

    def ceiling(self, control_before: Scores) -> NDArray[np.float64]:
        """[n]: the margin up to which each control earns; −inf for those far from right."""
        return np.where(control_before.margin > -self.margin, self.margin, -np.inf)

    def harm(self, before: Scores, after: Scores) -> NDArray[np.float64]:
        """[n]: what each control pays, before weighting; never less than `least_harm`."""
        short = np.maximum(self.floor(before) - after.margin, 0.0)
        weak = np.maximum(self.ceiling(before) - after.margin, 0.0)
        return short + (before.right & ~after.right) + self.relief * weak + self.least_harm(before)

    def least_harm(self, before: Scores) -> NDArray[np.float64]:
        """[n]: what each control pays at best: nothing, or less when it can grow surer."""
        return -self.relief * np.maximum(self.ceiling(before) - before.margin, 0.0)

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
