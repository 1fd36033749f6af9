"""All search strategies, by name; the first one is what a search takes when none is named."""

from __future__ import annotations

from bankai_edge.search.strategies.gradient import GRADIENT
from bankai_edge.search.strategies.joint import JOINT
from bankai_edge.search.strategies.plug import Strategy
from bankai_edge.search.strategies.random import RANDOM
from bankai_edge.search.strategies.scale import SCALE
from bankai_edge.search.strategies.tune import TUNE

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy for strategy in (GRADIENT, SCALE, RANDOM, TUNE, JOINT)
}
