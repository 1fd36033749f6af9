"""Proposals drawn by lot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bankai_edge._facts import GROUP as GROUP_SIZE
from bankai_edge.judge.matrices import matrices
from bankai_edge.model import Model
from bankai_edge.search.climb.proposals import Focus, Ranking
from bankai_edge.search.climb.sites import GRANULARITIES, Granularity, Site, Sites

DRAWN = 64  # sites of one draw


class Sampling:
    """Draws single sites, never one twice in a draw."""

    guided = screens = False
    start = max_step = 1
    patience = 400

    def __init__(
        self, model: Model, granularity: Granularity, projections: tuple[int, ...], seed: int
    ) -> None:
        self._seed = seed
        self._kind = GRANULARITIES.index(granularity)
        self.matrices = {k: v for k, v in matrices(model).items() if k[1] in projections}
        self.keys = sorted(self.matrices)
        self._ends = np.cumsum([len(self.matrices[key]) for key in self.keys])
        self._log_weight = self.log_weights()

    def log_weights(self) -> NDArray[np.float64]:
        """[all rows]: logarithms of what each row's chance is proportional to."""
        return np.zeros(int(self._ends[-1]))

    def rank(self, sites: Sites, focus: Focus, draw: int) -> Ranking:
        """See `Proposer.rank`."""
        rng = np.random.default_rng([self._seed, draw])
        keys = self._log_weight + rng.gumbel(size=len(self._log_weight))
        top = np.argsort(-keys, kind="stable")[:DRAWN]
        order: list[Site] = []
        for row in top:
            k = int(np.searchsorted(self._ends, row, side="right"))
            rows, groups, _ = self.matrices[self.keys[k]].shape
            width = (1, groups, groups * GROUP_SIZE)[self._kind]
            column = int(rng.integers(width))
            order.append((self._kind, *self.keys[k], int(row - (self._ends[k] - rows)), column))
        return Ranking([site for site in order if site not in sites])
