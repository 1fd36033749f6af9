"""What passes between the loop of a search and whatever proposes its flips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bankai_edge._facts import PROJECTIONS
from bankai_edge.search.climb.sites import Site, Sites

GATE_UP = (4, 5)
ALL_PROJECTIONS = tuple(range(len(PROJECTIONS)))


@dataclass(frozen=True)
class Ranking:
    """Sites to try, best first; and what undoing each flip in place would bring."""

    order: list[Site]
    undoing: dict[Site, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Focus:
    """The probes that a gradient should look at; `scale` makes up for the targets left out."""

    targets: NDArray[np.intp]
    controls: NDArray[np.intp]
    scale: float = 1.0


@dataclass(frozen=True)
class Gains:
    """First-order changes of J: the best candidates, and of each flip in place its undoing."""

    best: list[tuple[float, Site]]
    undoing: dict[Site, float]


Gradient = Callable[[Sites, Focus], Gains]
"""Gains under flips, counting the probes in focus."""


class Proposer(Protocol):
    """Proposes sites."""

    guided: bool  # knows what flips bring: ranks anew after each accept, may exchange flips
    screens: bool  # looks at two probes before the whole pack
    start: int  # flips tried together at first
    max_step: int
    patience: int  # rejections in a row that end the search

    def rank(self, sites: Sites, focus: Focus, draw: int) -> Ranking:
        """What to try under the flips in place; `draw` counts the draws of a sampling one."""
