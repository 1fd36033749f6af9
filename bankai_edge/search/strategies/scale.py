"""The published search: rows of large scale, looked at on two probes first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bankai_edge.judge.matrices import row_scales
from bankai_edge.search.climb.loop import Found
from bankai_edge.search.climb.proposals import GATE_UP
from bankai_edge.search.strategies.plug import Strategy, Task
from bankai_edge.search.strategies.sampling import Sampling


class Scale(Sampling):
    """Rows drawn in proportion to their mean scale, after two probes have liked them."""

    screens = True

    def log_weights(self) -> NDArray[np.float64]:
        """See `Sampling.log_weights`."""
        means = np.concatenate([row_scales(self.matrices[key]) for key in self.keys])
        logs: NDArray[np.float64] = np.log(np.maximum(means, 1e-12))
        return logs


def _run(task: Task) -> Found:
    return task.climb(Scale(task.model, task.granularity, task.projections, task.seed))


SCALE = Strategy("scale", _run, granularity="row", projections=GATE_UP, every_layer=True)
