"""A pack under changing flips: J exactly, at the least cost that leaves every decision as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bankai_edge.judge.crew import Crew, Reading
from bankai_edge.judge.evaluate import Change, Verdict
from bankai_edge.judge.reading import Scores
from bankai_edge.probes.packs import Pack
from bankai_edge.search.climb import promotion
from bankai_edge.search.climb.objective import Objective
from bankai_edge.search.climb.proposals import Focus
from bankai_edge.search.climb.sites import Sites, as_bytes, lowest_layer

FOCUSED = 256  # targets that a gradient looks at
DONE = -0.01  # log-probability from which an answer has nothing left to gain
NEAR = 5.0  # controls with at least this margin are evaluated only at a full check
STEEP = 4.0  # widths of a softplus within which it still slopes
STAGES = (0.15, 0.5, 1.0)  # shares of the near controls after which a bad trial may end


@dataclass(frozen=True)
class Outcome:
    """J; `verdict` is None when the trial ended early, and then J is only at most `j`."""

    j: float
    verdict: Verdict | None


class Trial:
    """One pack; counts what it evaluates."""

    def __init__(
        self, crew: Crew, pack: Pack, objective: Objective, layers: int, tap_bytes: int = 0
    ) -> None:
        self.pack = pack
        self.objective = objective
        self._layers = layers
        self._weights = pack.weights()
        n = max(len(pack.target) + len(pack.control), 1)
        target_share = tap_bytes * len(pack.target) // n
        self._target = Reading(crew, pack.target, target_share)
        self._control = Reading(crew, pack.control, tap_bytes - target_share)
        self.target_before = self._target.scores([])
        self.control_before = self._control.scores([])
        self._control_known = self.control_before  # as of the last full check
        self.checked: Sites = frozenset()  # the flips of that check
        self._base: Sites = frozenset()  # the flips under which the kept residuals hold
        self._accepted: Sites = frozenset()
        self._layers_lost = 0
        self._latest: tuple[Sites, Scores] = (frozenset(), self.target_before)
        self._standing = self.target_before  # targets under the accepted flips
        self.evaluations = 0
        self.probes_read = 0

    @property
    def near(self) -> NDArray[np.intp]:
        """Indices of the controls that a flip may turn, the most endangered first."""
        counts = np.isfinite(self.objective.ceiling(self.control_before))
        near = np.flatnonzero(counts & (self._control_known.margin < NEAR))
        return near[np.argsort(self._control_known.margin[near], kind="stable")]

    def accept(self, sites: Sites) -> None:
        """Trials to come will differ little from these flips."""
        self._accepted = sites
        if self._latest[0] != sites:
            self._latest = sites, self._target.scores(as_bytes(sites), self._layer(sites))
        self._standing = self._latest[1]

    @property
    def focus(self) -> Focus:
        """What a gradient needs: targets with something to gain, spread evenly, near controls."""
        value = self._standing.logprob
        open_ = np.arange(len(value))
        if self.objective.metric == "seq_logprob":
            open_ = np.flatnonzero(value < DONE)
        step = max(1.0, len(open_) / FOCUSED)
        some = open_[(np.arange(min(len(open_), FOCUSED)) * step).astype(np.intp)]
        # Beyond that margin softplus has no slope left.
        most = self.objective.margin + STEEP * self.objective.softness
        near = self.near
        return Focus(some, near[self._control_known.margin[near] < most], step)

    def check(self, sites: Sites) -> None:
        """Evaluate every control under these flips: which ones are near is known anew."""
        layer = self._layer(sites)
        self._control_known = self._control.scores(as_bytes(sites), layer)
        self.checked = sites
        self.probes_read += self._control.n

    def screen(self, sites: Sites, chosen: NDArray[np.intp]) -> float:
        """Mean value of a few targets: the published search's cheap look at a candidate."""
        self.probes_read += len(chosen)
        index = [int(i) for i in chosen]
        some = self._target.scores(as_bytes(sites), self._layer(sites), index)
        return float(self.objective.value(some).mean())

    def fitness(self, sites: Sites, *, beat: float | None = None, full: bool = False) -> Outcome:
        """J of these flips; ends early once J cannot exceed `beat`."""
        self.evaluations += 1
        patches, layer = as_bytes(sites), self._layer(sites)
        target = self._target.scores(patches, layer)
        self._latest = sites, target
        self.probes_read += self._target.n
        gain = self.objective.gain(self.target_before, target, self._weights)
        if full:
            self.check(sites)
            control = self._control_known
        else:
            control = self._control_known
            near, done = self.near, 0
            for stage in STAGES:
                if beat is not None and self._j(gain, control, near[done:]) <= beat:
                    return Outcome(self._j(gain, control, near[done:]), None)
                part = near[done : int(len(near) * stage)]
                if len(part):
                    some = self._control.scores(patches, layer, [int(i) for i in part])
                    self.probes_read += len(part)
                    control, done = control.put(part, some), done + len(part)
        return Outcome(
            self._j(gain, control),
            Verdict(
                Change.between(self.target_before.right, target.right),
                Change.between(self.control_before.right, control.right),
            ),
        )

    def value(self, verdict: Verdict) -> tuple[float, float]:
        """Whether it may be promoted; net share fixed, less the controls' weighted net loss."""
        t, c = verdict.target, verdict.control
        harm = self.objective.control_weight * max(0, c.broken - c.fixed) / max(c.n, 1)
        return float(not promotion.refusals(verdict)), (t.fixed - t.broken) / t.n - harm

    def _j(self, gain: float, control: Scores, unknown: NDArray[np.intp] | None = None) -> float:
        """J; at most that, when the harm to `unknown` controls is still to come."""
        harm = self.objective.harm(self.control_before, control)
        if unknown is not None:
            harm[unknown] = self.objective.least_harm(self.control_before)[unknown]
        return gain - self.objective.control_weight * float(harm.sum()) / max(len(harm), 1)

    def _layer(self, sites: Sites) -> int:
        """Where a pass may start; keeps new residuals once the old ones have cost a whole pass."""
        now = lowest_layer(sites ^ self._base, self._layers - 1)
        could = lowest_layer(sites ^ self._accepted, self._layers - 1)
        self._layers_lost += max(0, could - now)
        if self._layers_lost > self._layers and self._accepted != self._base:
            first = lowest_layer(self._accepted ^ self._base, self._layers - 1)
            for reading in (self._target, self._control):
                reading.rebase(as_bytes(self._accepted), first)
            self._base, self._layers_lost = self._accepted, 0
            return lowest_layer(sites ^ self._base, self._layers - 1)
        return now
