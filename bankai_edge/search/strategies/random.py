"""Every row alike: what a search must beat."""

from __future__ import annotations

from bankai_edge.search.climb.loop import Found
from bankai_edge.search.climb.proposals import GATE_UP
from bankai_edge.search.strategies.plug import Strategy, Task
from bankai_edge.search.strategies.sampling import Sampling


class Random(Sampling):
    """Rows drawn evenly, a flip in each."""

    screens = False


def _run(task: Task) -> Found:
    return task.climb(Random(task.model, task.granularity, task.projections, task.seed))


RANDOM = Strategy("random", _run, granularity="row", projections=GATE_UP, every_layer=True)
