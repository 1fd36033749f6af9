"""What a search strategy is: one `Strategy` in a file of its own, and a line of table.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bankai_edge.model import Model
from bankai_edge.probes.packs import SEARCH, Sizes
from bankai_edge.search.climb.loop import Found, Limits, Search, State, Watch
from bankai_edge.search.climb.proposals import ALL_PROJECTIONS, Proposer
from bankai_edge.search.climb.sites import Granularity
from bankai_edge.search.climb.trial import Trial


@dataclass(frozen=True)
class Task:
    """What a strategy is asked to do, and with what."""

    model: Model
    trials: tuple[Trial, Trial]  # the search pack, the validation pack
    limits: Limits
    watch: Watch
    state: State | None  # where to go on
    seed: int
    granularity: Granularity
    projections: tuple[int, ...]
    start: int  # flips tried together at first
    device: str  # of PyTorch
    threads: int

    def climb(self, proposer: Proposer) -> Found:
        """The loop of climb/loop.py over what `proposer` ranks."""
        return Search(
            self.trials, proposer, self.limits, self.watch, self.state, self.seed
        ).run()  # fmt: skip


@dataclass(frozen=True)
class Strategy:
    """A way to find a patch; granularity, projections and probes are for jobs that name none."""

    name: str
    run: Callable[[Task], Found]
    granularity: Granularity = "bit"
    projections: tuple[int, ...] = ALL_PROJECTIONS
    probes: Sizes = SEARCH  # of the search pack
    least_targets: int = 1
    every_layer: bool = False  # flips lie in all alike: what enters each is worth keeping
    resumes: bool = True
    needs_torch: bool = False
