"""What a search maximises: better answers on the targets, no harm on the controls.

    J = mean Δ log p(answer | prompt) over the targets
        − λ/|C| · Σ over controls that were right of [relu(min(m₀, τ) − m) + 1{m ≤ 0}]

with m the smallest margin of an answer's tokens and m₀ its value before: a control may lose margin
that it has to spare, pays for each unit below τ, and once more when its answer turns wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bankai_edge.search.evaluate import Scores


@dataclass(frozen=True)
class Objective:
    """λ and τ of J; `softness` is the width of the softplus that stands for relu in gradients."""

    control_weight: float = 4.0
    margin: float = 2.0
    softness: float = 0.3

    def floor(self, control_before: Scores) -> NDArray[np.float64]:
        """[n]: the margin below which each control pays; −inf for those that were wrong."""
        floor = np.minimum(control_before.margin, self.margin)
        return np.where(control_before.right, floor, -np.inf)

    def harm(self, before: Scores, after: Scores) -> NDArray[np.float64]:
        """[n]: what each control pays, before weighting; never negative."""
        short = np.maximum(self.floor(before) - after.margin, 0.0)
        return short + (before.right & ~after.right)

    def fitness(self, target: tuple[Scores, Scores], control: tuple[Scores, Scores]) -> float:
        """J from (before, after) of targets and of controls."""
        gain = float((target[1].logprob - target[0].logprob).mean())
        return gain - self.control_weight * float(self.harm(*control).mean())
