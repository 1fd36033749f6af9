"""The flips of greatest first-order gain, by PyTorch's gradients; the engine confirms each."""

from __future__ import annotations

from bankai_edge.search.climb.loop import Found
from bankai_edge.search.climb.proposals import Focus, Gradient, Ranking
from bankai_edge.search.climb.sites import Granularity, Sites
from bankai_edge.search.strategies.plug import Strategy, Task


class Guided:
    """The sites of greatest first-order gain, several together; un-flips are among them."""

    guided = True
    screens = False
    max_step = 16  # estimates of more of them add up badly
    patience = 8

    def __init__(self, gradient: Gradient, granularity: Granularity, start: int = 6) -> None:
        self._gradient = gradient
        self.start = 1 if granularity == "row" else start
        if granularity != "bit":
            self.max_step = 4

    def rank(self, sites: Sites, focus: Focus, draw: int) -> Ranking:
        """See `Proposer.rank`."""
        gains = self._gradient(sites, focus)
        ranked = sorted((-gain, site) for gain, site in gains.best if gain > 0)
        return Ranking([site for _, site in ranked], gains.undoing)


def _run(task: Task) -> Found:
    from bankai_edge.search.gradient.backward import TorchGradient

    search = task.trials[0]
    gradient = TorchGradient(
        task.model, search.pack, search.control_before, search.objective,
        granularity=task.granularity, projections=task.projections, device=task.device,
        threads=task.threads,
    )  # fmt: skip
    return task.climb(Guided(gradient, task.granularity, task.start))


GRADIENT = Strategy("gradient", _run, needs_torch=True)
