"""The search: a strategy proposes flips, the engine decides exactly, validation has the last word.

Each step tries a few proposed flips together and keeps them only if J, evaluated exactly, has
risen. A validation pack that the search never optimises keeps the best state and decides whether
there is a patch at all. Everything but the clock depends on the seed alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from bankai_edge.judge.evaluate import Change, Verdict
from bankai_edge.search.climb import promotion
from bankai_edge.search.climb.proposals import Proposer, Ranking
from bankai_edge.search.climb.sites import Site, Sites, named
from bankai_edge.search.climb.trial import Outcome, Trial

MIN_GAIN = 0.002  # of J: an exchange of flips that brings less is not worth its evaluation
FULL_CHECK_EVERY = 4  # accepts
SWAP = 8  # flips that may be exchanged at once when the budget is spent
SCREENED = 2  # probes of a screening
PRUNE_TRIALS = 16


Value = tuple[float, float, float]
"""Of a state on the validation pack: may it ship, net share fixed, J; greater is better."""


@dataclass(frozen=True)
class Limits:
    """Where a search ends."""

    size: Callable[[Sites], int]  # bytes of the finished patch
    budget_bytes: int
    minutes: float = math.inf
    evaluations: int | None = None  # exact ones on the search pack
    patience: int | None = None  # rejections in a row; the proposer's own when None
    stale: int = 8  # accepts without a better validation


@dataclass
class Found:
    """The best state by validation, and what it took."""

    sites: Sites = frozenset()
    fitness: float = 0.0
    validation: Verdict | None = None
    evaluations: int = 0
    passes: int = 0
    probes_read: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def refusals(self) -> list[str]:
        """Why validation lets nothing ship; see promotion.py."""
        if self.validation is None or not self.sites:
            return ["no flip was worth keeping"]
        return promotion.refusals(self.validation)

    @property
    def ships(self) -> bool:
        """Does validation say that it helps, and does no harm?"""
        return not self.refusals


@dataclass
class State:
    """All that a search must know to go on; plain numbers, for a checkpoint."""

    sites: Sites = frozenset()
    j: float = 0.0
    step: int = 0
    rejects: int = 0
    accepts: int = 0
    stale: int = 0
    draw: int = 0
    tried: Sites = frozenset()  # single flips that failed since the ranking was made
    best: Sites = frozenset()
    best_j: float = 0.0
    best_value: Value = (0.0, 0.0, 0.0)
    best_verdict: Verdict | None = None
    checked: tuple[Sites, Sites] = (frozenset(), frozenset())  # last full checks of both packs
    evaluations: int = 0
    validations: int = 0
    passes: int = 0
    probes_read: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object; floats keep every bit."""
        plain = {
            key: sorted(value) if isinstance(value, frozenset) else value
            for key, value in vars(self).items()
        }
        plain["checked"] = [sorted(part) for part in self.checked]
        plain["best_verdict"] = asdict(self.best_verdict) if self.best_verdict else None
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> State:
        """The inverse of `to_json`."""

        def sites(listed: list[list[int]]) -> Sites:
            return frozenset((s[0], s[1], s[2], s[3], s[4]) for s in listed)

        fields = dict(plain)
        for key in ("sites", "tried", "best"):
            fields[key] = sites(plain[key])
        fields["checked"] = (sites(plain["checked"][0]), sites(plain["checked"][1]))
        fields["best_value"] = tuple(plain["best_value"])
        if verdict := plain["best_verdict"]:
            fields["best_verdict"] = Verdict(
                Change(**verdict["target"]), Change(**verdict["control"])
            )
        return cls(**fields)


@dataclass
class Watch:
    """Who is told: every decision, and every state worth going on from."""

    event: Callable[[dict[str, Any]], None] = field(default=lambda event: None)
    checkpoint: Callable[[State], None] = field(default=lambda state: None)


class Search:
    """One search; `run` gives the best state that validation saw, pruned."""

    def __init__(
        self,
        trials: tuple[Trial, Trial],
        proposer: Proposer,
        limits: Limits,
        watch: Watch | None = None,
        state: State | None = None,
        seed: int = 0,
    ) -> None:
        """`trials`: the search pack and the validation pack; `state`: where to go on."""
        self._began = time.monotonic() - (state.seconds if state else 0.0)
        self.search, self.validation = trials
        self._proposer = proposer
        self._limits = limits
        self._watch = watch or Watch()
        self.state = state or State(step=proposer.start)
        self._undoing: dict[Site, float] = {}
        wrong = np.flatnonzero(~self.search.target_before.right)
        pool = wrong if len(wrong) >= SCREENED else np.arange(len(self.search.target_before.right))
        rng = np.random.default_rng([seed, 7])
        self._screen = rng.permutation(pool)[:SCREENED]
        self._screen_value = -math.inf

    # ---- the loop ----------------------------------------------------------------------------

    def run(self) -> Found:
        """Search until the budget, the time, the patience or the validation ends it."""
        interrupted = False
        try:
            self._restore()
            self._climb()
            if self.state.best:
                self._prune()
                self._recheck()
        except KeyboardInterrupt:
            interrupted = True
            self._tell("interrupted")
        s = self.state
        return Found(
            s.best, s.best_j, s.best_verdict, self._evaluations, s.passes, self._read,
            self._elapsed, interrupted,
        )  # fmt: skip

    def _climb(self) -> None:
        s, limits = self.state, self._limits
        patience = self._proposer.patience if limits.patience is None else limits.patience
        order = self._ranked()
        while order and s.rejects < patience and s.stale < limits.stale and not self._spent():
            base, chosen = s.sites, self._affordable(s.sites, order[: s.step])
            if not chosen and self._proposer.guided:  # let the weakest make room
                s.step = min(s.step, SWAP)
                base = s.sites - frozenset(self._weakest(s.sites, s.step))
                chosen = self._affordable(base, [x for x in order if x not in s.sites][: s.step])
            if not chosen:
                self._tell("budget")
                break
            swapped = len(s.sites) - len(base)
            trial = base ^ frozenset(chosen)
            if self._rejected(trial, chosen, swapped):
                s.rejects += 1
                if len(chosen) == 1 and (s.step == 1 or len(order) == 1):
                    s.tried |= {chosen[0]}
                    order = [site for site in order if site not in s.tried]
                    if not order and not self._proposer.guided:
                        order = self._redraw()
                s.step = max(1, min(s.step, len(chosen)) // 2)
                continue
            self._accept(trial, chosen)
            if self._proposer.guided:
                s.tried = frozenset()
                order = self._ranked()
            else:
                s.tried |= frozenset(chosen)
                order = [site for site in order if site not in s.tried] or self._redraw()

    def _rejected(self, trial: Sites, chosen: list[Site], swapped: int) -> bool:
        s = self.state
        if self._proposer.screens:
            value = self.search.screen(trial, self._screen)
            if value <= self._screen_value:
                self._tell("screened", flips=[named(site) for site in chosen])
                return True
        beat = s.j + (MIN_GAIN if swapped else 0.0)
        outcome = self.search.fitness(trial, beat=beat)
        s.evaluations += 1
        took = outcome.j > beat and outcome.verdict is not None
        self._tell(
            "accept" if took else "reject",
            outcome,
            j_before=s.j,
            flips=[named(site) for site in chosen],
            removed=swapped,
            total=len(trial if took else s.sites),
            **({"bytes": self._limits.size(trial)} if took else {}),
        )
        if took:
            s.j = outcome.j
        return not took

    def _accept(self, trial: Sites, chosen: list[Site]) -> None:
        s = self.state
        s.sites, s.rejects, s.accepts = trial, 0, s.accepts + 1
        s.step = min(self._proposer.max_step, math.ceil(max(s.step, len(chosen)) * 1.5))
        self.search.accept(trial)
        full = s.accepts % FULL_CHECK_EVERY == 0
        if full:
            s.j = self.search.fitness(trial, full=True).j
            s.evaluations += 1
        if self._proposer.screens:
            self._screen_value = self.search.screen(trial, self._screen)
        value, outcome = self._validate(trial, full=full)
        s.stale = 0 if value > s.best_value else s.stale + 1
        if value > s.best_value:
            self._keep(trial, s.j, value, outcome)
        self._checkpoint()

    def _ranked(self) -> list[Site]:
        s = self.state
        ranking: Ranking = self._proposer.rank(s.sites, self.search.focus, s.draw)
        s.passes += self._proposer.guided
        self._undoing = ranking.undoing
        return [site for site in ranking.order if site not in s.tried]

    def _redraw(self) -> list[Site]:
        self.state.draw += 1
        self.state.tried = frozenset()
        return self._ranked()

    # ---- validation and pruning --------------------------------------------------------------

    def _validate(self, sites: Sites, *, full: bool) -> tuple[Value, Outcome]:
        self.state.validations += 1
        outcome = self.validation.fitness(sites, full=full)
        self._tell("validation", outcome, total=len(sites))
        assert outcome.verdict is not None
        return (*self.validation.value(outcome.verdict), outcome.j), outcome

    def _recheck(self) -> None:
        """Let every control of the validation pack speak on the state that was chosen."""
        s = self.state
        if self.validation.checked != s.best:
            self._keep(s.best, s.best_j, *self._validate(s.best, full=True))

    def _keep(self, sites: Sites, j: float, value: Value, outcome: Outcome) -> None:
        s = self.state
        s.best, s.best_j, s.best_value = sites, j, value
        s.best_verdict = outcome.verdict

    def _prune(self) -> None:
        """Drop flips that earn less than a tenth of the average, if validation agrees."""
        s = self.state
        sites = s.best
        self.search.accept(sites)
        j = self.search.fitness(sites, full=True).j
        fair = 0.1 * max(j, 0.0) / len(sites)
        if self._proposer.guided:
            self._undoing = self._proposer.rank(sites, self.search.focus, s.draw).undoing
            s.passes += 1
        order = self._weakest(sites, len(sites))
        at, block, trials = 0, max(1, len(order) // 8), 0
        while at < len(order) and block and trials < PRUNE_TRIALS and not self._spent():
            drop = order[at : at + block]
            floor = j - fair * len(drop)
            outcome = self.search.fitness(sites - frozenset(drop), beat=floor)
            trials, s.evaluations = trials + 1, s.evaluations + 1
            gone = outcome.verdict is not None and outcome.j >= floor
            self._tell("pruned" if gone else "needed", outcome, j_before=j, total=len(sites),
                       flips=[named(site) for site in drop])  # fmt: skip
            if gone:
                sites, j, at = sites - frozenset(drop), outcome.j, at + len(drop)
            elif block == 1 and not self._proposer.guided:
                at += 1
            else:
                block //= 2
        if sites != s.best and sites:
            value, outcome = self._validate(sites, full=True)
            if value[:2] >= s.best_value[:2]:
                self._keep(sites, self.search.fitness(sites, full=True).j, value, outcome)

    # ---- small things ------------------------------------------------------------------------

    def _weakest(self, sites: Sites, n: int) -> list[Site]:
        """The n flips whose going costs least, to first order."""
        return sorted(sites, key=lambda site: (-self._undoing.get(site, 0.0), site))[:n]

    def _affordable(self, sites: Sites, chosen: list[Site]) -> list[Site]:
        while chosen and self._limits.size(sites ^ frozenset(chosen)) > self._limits.budget_bytes:
            chosen = chosen[:-1]
        return chosen

    def _spent(self) -> bool:
        limit = self._limits.evaluations
        if self._elapsed > self._limits.minutes * 60:
            self._tell("time")
            return True
        return limit is not None and self.state.evaluations >= limit

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    @property
    def _evaluations(self) -> int:
        return self.state.evaluations + self.state.validations

    @property
    def _read(self) -> int:
        return self.state.probes_read + self.search.probes_read + self.validation.probes_read

    def _restore(self) -> None:
        s = self.state
        for trial, checked in zip((self.search, self.validation), s.checked, strict=True):
            if checked:
                trial.check(checked)
        self.search.accept(s.sites)
        if self._proposer.screens:
            self._screen_value = self.search.screen(s.sites, self._screen)

    def _checkpoint(self) -> None:
        s = self.state
        s.checked = (self.search.checked, self.validation.checked)
        s.seconds = self._elapsed
        self._watch.checkpoint(replace(s, probes_read=self._read))

    def _tell(self, kind: str, outcome: Outcome | None = None, **fields: Any) -> None:
        event: dict[str, Any] = {"event": kind, "seconds": round(self._elapsed, 3), **fields}
        event["evaluations"] = self._evaluations
        event["probes_read"] = self._read
        if outcome:
            event["j"] = outcome.j
            event["verdict"] = asdict(outcome.verdict) if outcome.verdict else None
        self._watch.event(event)
