"""Search for single bits: first-order gains propose a few flips, the engine decides exactly.

Every step asks for the gain of each weight under the flips accepted so far (so an accepted flip
may be proposed back), tries the best bit of each of the best rows together, and keeps them only if
the objective, evaluated exactly, has risen. A validation pack that the search never optimises keeps
the best state and decides whether there is a patch at all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bankai_edge.patch.bkp import Patch, encode
from bankai_edge.patch.flips import Flip
from bankai_edge.search.evaluate import Change, Evaluator, Verdict
from bankai_edge.search.objective import Objective
from bankai_edge.search.probes import Pack

Flips = frozenset[Flip]
"""Bits: (layer, projection, row, column)."""
Gains = dict[tuple[int, int], NDArray[np.float32]]
"""(layer, projection) → [rows, cols]: first-order change of J when that weight is flipped."""
Gradient = Callable[[Flips, NDArray[np.intp]], Gains]
"""Gains under flips, counting the controls with these indices."""

MIN_GAIN = 0.002  # of J: an exchange of flips that brings less is not worth its evaluation
NEAR = 5.0  # controls with at least this margin are evaluated only at a full check
FULL_CHECK_EVERY = 4  # accepts
MAX_STEP = 16  # flips that are tried together: estimates of more of them add up badly
SWAP = 8  # flips that may be exchanged at once when the budget is spent
CONTROLS_MAY_BREAK = 0.003  # share of validation controls, net, beyond which nothing ships


def as_bytes(flips: Iterable[Flip]) -> list[bytes]:
    """The active set for an engine: one unbound patch, or none."""
    bits = tuple(sorted(flips))
    return [encode(Patch("trial", bits=bits))] if bits else []


class Trial:
    """A pack under changing flips: J exactly, sparing the controls that are far from turning."""

    def __init__(self, evaluator: Evaluator, pack: Pack, objective: Objective) -> None:
        self._evaluator = evaluator
        self._objective = objective
        self.pack = pack
        self.target_before = evaluator.scores(pack.target)
        self.control_before = evaluator.scores(pack.control)
        self._control_known = self.control_before  # as of the last full check
        self.evaluations = 0

    @property
    def near(self) -> NDArray[np.intp]:
        """Indices of the controls that were right and may turn wrong."""
        right = self.control_before.right
        return np.flatnonzero(right & (self._control_known.margin < NEAR))

    def fitness(self, flips: Flips, *, full: bool = False) -> tuple[float, Verdict]:
        """J of these flips, and the answers they change as teacher forcing sees it."""
        self.evaluations += 1
        patches = as_bytes(flips)
        target = self._evaluator.scores(self.pack.target, patches)
        if full:
            control = self._control_known = self._evaluator.scores(self.pack.control, patches)
        else:
            near = self.near
            some = self._evaluator.scores([self.pack.control[i] for i in near], patches)
            control = self._control_known.put(near, some)
        j = self._objective.fitness((self.target_before, target), (self.control_before, control))
        return j, Verdict(
            Change.between(self.target_before.right, target.right),
            Change.between(self.control_before.right, control.right),
        )


@dataclass(frozen=True)
class Limits:
    """Where a search ends."""

    size: Callable[[Flips], int]  # bytes of the finished patch
    budget_bytes: int
    minutes: float
    start: int = 6  # flips of the first step
    rejects: int = 8  # in a row
    stale: int = 8  # accepts without a better validation


@dataclass
class Found:
    """The best state by validation, and what it took."""

    flips: Flips = frozenset()
    fitness: float = 0.0
    validation: Verdict | None = None
    evaluations: int = 0
    passes: int = 0
    seconds: float = 0.0
    log: list[str] = field(default_factory=list)

    @property
    def ships(self) -> bool:
        """Does validation say that it helps (2 σ of its changes) and does no harm?"""
        if self.validation is None:
            return False
        t, c = self.validation.target, self.validation.control
        helps = t.fixed - t.broken > 2 * math.sqrt(t.fixed + t.broken)
        return helps and c.broken - c.fixed <= CONTROLS_MAY_BREAK * c.n


def best_bits(gains: Gains, skip: set[Flip]) -> list[Flip]:
    """The bit of greatest gain of every row that has a positive one, best first."""
    ranked: list[tuple[float, Flip]] = []
    for (layer, projection), gain in gains.items():
        for bit in skip:
            if bit[:2] == (layer, projection):
                gain = gain.copy()
                gain[bit[2], bit[3]] = -np.inf
        columns = gain.argmax(axis=1)  # [rows]
        best = gain[np.arange(len(gain)), columns]
        ranked += [
            (-float(best[r]), (layer, projection, int(r), int(columns[r])))
            for r in np.flatnonzero(best > 0)
        ]
    return [bit for _, bit in sorted(ranked)]


class BitSearch:
    """One search; `run` gives the best state that validation saw, pruned."""

    def __init__(
        self,
        evaluator: Evaluator,
        packs: tuple[Pack, Pack],
        objective: Objective,
        limits: Limits,
        say: Callable[[str], None],
    ) -> None:
        self._began = time.monotonic()
        self.search = Trial(evaluator, packs[0], objective)
        self.validation = Trial(evaluator, packs[1], objective)
        self._control_weight = objective.control_weight
        self._limits = limits
        self._say = say
        self._found = Found()

    def run(self, gradient: Gradient) -> Found:
        """Search until the budget, the time or the validation ends it."""
        flips: Flips = frozenset()
        best = (0.0, 0.0)
        j, step, rejects, accepts, stale = 0.0, self._limits.start, 0, 0, 0
        tried: set[Flip] = set()  # single bits that failed alone since the last accept
        gains = self._gains(gradient, flips)
        ranked = best_bits(gains, tried)
        while ranked and rejects < self._limits.rejects and stale < self._limits.stale:
            if time.monotonic() - self._began > self._limits.minutes * 60:
                self._log("out of time")
                break
            base, chosen = flips, self._affordable(flips, ranked[:step])
            if not chosen:  # the budget is spent: let the weakest make room
                step = min(step, SWAP)
                base = flips - frozenset(self._weakest(gains, flips, step))
                chosen = self._affordable(base, [b for b in ranked if b not in flips][:step])
            if not chosen:
                self._log("the budget is spent")
                break
            trial = base ^ frozenset(chosen)
            now, verdict = self.search.fitness(trial)
            gone = f", {len(flips) - len(base)} out" if base != flips else ""
            self._log(f"{len(chosen)} bits{gone}: J {j:.4f} -> {now:.4f}", verdict, trial)
            if now <= j + (MIN_GAIN if base != flips else 0.0):
                rejects += 1
                if step == 1:
                    tried.add(chosen[0])
                    ranked = [bit for bit in ranked if bit not in tried]
                step = max(1, min(step, len(chosen)) // 2)
                continue
            flips, j, rejects, accepts = trial, now, 0, accepts + 1
            step = min(MAX_STEP, math.ceil(step * 1.5))
            tried.clear()
            if accepts % FULL_CHECK_EVERY == 0:
                j, _ = self.search.fitness(flips, full=True)
            value = self._validate(flips, full=accepts % FULL_CHECK_EVERY == 0)
            stale = 0 if value > best else stale + 1
            if value > best:
                best = value
                self._keep(flips, j)
            gains = self._gains(gradient, flips)
            ranked = best_bits(gains, tried)
        if self._found.flips:
            self._prune(gradient)
        self._found.evaluations = self.search.evaluations + self.validation.evaluations
        self._found.seconds = time.monotonic() - self._began
        return self._found

    def _prune(self, gradient: Gradient) -> None:
        """Drop flips that earn less than a tenth of the average, if validation agrees."""
        flips = self._found.flips
        j, _ = self.search.fitness(flips, full=True)
        fair = 0.1 * max(j, 0.0) / len(flips)
        gains = self._gains(gradient, flips)
        order = self._weakest(gains, flips, len(flips))
        at, block, trials = 0, max(1, len(order) // 8), 0
        while at < len(order) and block and trials < 12:
            drop = order[at : at + block]
            now, verdict = self.search.fitness(flips - frozenset(drop))
            trials += 1
            self._log(f"without {len(drop)}: J {j:.4f} -> {now:.4f}", verdict, flips)
            if now >= j - fair * len(drop):
                flips, j, at = flips - frozenset(drop), now, at + len(drop)
            else:
                block //= 2
        if flips != self._found.flips and flips:
            before = self._value(self._found.validation)
            j, _ = self.search.fitness(flips, full=True)
            value = self._validate(flips, full=True)
            if value[0] >= before:
                self._keep(flips, j)

    def _value(self, verdict: Verdict | None) -> float:
        """Net share of targets fixed, less the weighted net share of controls broken."""
        if verdict is None:
            return 0.0
        t, c = verdict.target, verdict.control
        harm = self._control_weight * max(0, c.broken - c.fixed) / c.n
        return (t.fixed - t.broken) / t.n - harm

    def _validate(self, flips: Flips, *, full: bool) -> tuple[float, float]:
        j, verdict = self.validation.fitness(flips, full=full)
        self._last = verdict
        self._log(f"validation: J {j:.4f}", verdict, flips)
        return self._value(verdict), j

    def _keep(self, flips: Flips, j: float) -> None:
        self._found.flips, self._found.fitness = flips, j
        self._found.validation = self._last

    def _affordable(self, flips: Flips, chosen: list[Flip]) -> list[Flip]:
        while chosen and self._limits.size(flips ^ frozenset(chosen)) > self._limits.budget_bytes:
            chosen = chosen[:-1]
        return chosen

    def _gains(self, gradient: Gradient, flips: Flips) -> Gains:
        self._found.passes += 1
        return gradient(flips, self.search.near)

    @staticmethod
    def _weakest(gains: Gains, flips: Flips, n: int) -> list[Flip]:
        """The n flips whose going costs least, to first order."""
        return sorted(flips, key=lambda b: (-float(gains[b[0], b[1]][b[2], b[3]]), b))[:n]

    def _log(self, text: str, verdict: Verdict | None = None, flips: Flips = frozenset()) -> None:
        if verdict:
            t, c = verdict.target, verdict.control
            text += (
                f" | targets {t.before} -> {t.after} of {t.n}, controls +{c.fixed} -{c.broken}"
                f" of {c.n} | {len(flips)} flips"
            )
        line = f"{time.monotonic() - self._began:6.1f} s  {text}"
        self._found.log.append(line)
        self._say(line)
