"""What a set of patches does: every question before and after, with intervals.

Right and wrong are greedy exact match on the engine, the only measure reported as a result;
log-probabilities say how far each answer moved. All of it is the same to the bit on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bankai_edge.judge.evaluate import EXTRA_TOKENS, Change, Evaluator
from bankai_edge.judge.statistics import Interval, mcnemar, net_interval, wilson
from bankai_edge.judge.texts import TextChange
from bankai_edge.model import Model
from bankai_edge.patch.algebra import compose, sections
from bankai_edge.patch.bkp import decode, encode
from bankai_edge.probes.questions import Question


@dataclass(frozen=True)
class Row:
    """A line of the table: one category, or all; `choice` counts multiple choice."""

    name: str
    change: Change
    choice: Change | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values; intervals hold 95 %."""
        return {"name": self.name, **_json(self.change),
                "choice": _json(self.choice) if self.choice else None}  # fmt: skip


def _json(c: Change) -> dict[str, Any]:
    return {
        "n": c.n,
        "before": c.before,
        "after": c.after,
        "fixed": c.fixed,
        "broken": c.broken,
        "net": c.fixed - c.broken,
        "before_interval": wilson(c.before, c.n),
        "after_interval": wilson(c.after, c.n),
        "fixed_share_interval": wilson(c.fixed, c.n - c.before),
        "broken_share_interval": wilson(c.broken, c.before),
        "net_share_interval": net_interval_of(c),
        "mcnemar_p": mcnemar(c.fixed, c.broken),
    }


def net_interval_of(change: Change) -> Interval:
    """95 % interval of the net share fixed."""
    return net_interval(change.fixed, change.broken, change.n)


@dataclass(frozen=True)
class Answers:
    """How a pack is answered under one set of patches."""

    right: NDArray[np.bool_]  # [n], greedy exact match
    logprob: NDArray[np.float64]  # [n], of the right answer
    chosen: NDArray[np.bool_]  # [n], most likely of all choices; False where there are none


@dataclass(frozen=True)
class Side:
    """Targets or controls before and after."""

    questions: tuple[Question, ...]
    before: Answers
    after: Answers

    @property
    def shift(self) -> NDArray[np.float64]:
        """[n]: change of the right answer's log-probability."""
        return self.after.logprob - self.before.logprob

    @property
    def total(self) -> Row:
        """All questions in one row."""
        return self._row("all", np.ones(len(self.questions), np.bool_))

    @property
    def rows(self) -> list[Row]:
        """A row for each category, in alphabetical order."""
        names = np.array([q.category for q in self.questions])
        return [self._row(str(name), names == name) for name in sorted(set(names.tolist()))]

    def _row(self, name: str, of: NDArray[np.bool_]) -> Row:
        change = Change.between(self.before.right[of], self.after.right[of])
        some = of & np.array([bool(q.wrong) for q in self.questions], np.bool_)
        choice = None
        if some.any():
            choice = Change.between(self.before.chosen[some], self.after.chosen[some])
        return Row(name, change, choice)

    def as_json(self) -> dict[str, Any]:
        """The rows, and every question whose answer was or is wrong or that changed."""
        return {
            "total": self.total.as_json(),
            "categories": [row.as_json() for row in self.rows],
            "mean_shift": float(self.shift.mean()) if len(self.questions) else 0.0,
            "probes": [
                {
                    "prompt": q.probe.item.prompt,
                    "answer": q.probe.item.answer,
                    "category": q.category,
                    "before": bool(self.before.right[i]),
                    "after": bool(self.after.right[i]),
                    "logprob_before": round(float(self.before.logprob[i]), 4),
                    "logprob_after": round(float(self.after.logprob[i]), 4),
                }
                for i, q in enumerate(self.questions)
                if not (self.before.right[i] and self.after.right[i])
            ],
        }


@dataclass(frozen=True)
class Section:
    """What the flips of one matrix do: alone, and by being there among the others."""

    layer: int
    projection: int
    flips: int
    alone: float  # mean change of log-probability with only these
    earned: float  # mean loss of log-probability when these are left out


@dataclass(frozen=True)
class Comparison:
    """Everything that `eval` found."""

    target: Side
    control: Side | None
    text: TextChange | None = None
    sections: list[Section] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "target": self.target.as_json(),
            "control": self.control.as_json() if self.control else None,
            "text": self.text.as_json() if self.text else None,
            "sections": [vars(section) for section in self.sections],
        }


class Judge:
    """Questions put to a model again and again; the pristine answers are computed once."""

    def __init__(
        self,
        model: Model,
        target: Sequence[Question],
        control: Sequence[Question] = (),
        *,
        threads: int = 1,
    ) -> None:
        """Raises UsageError where a question is longer than the model's context."""
        self.target, self.control = tuple(target), tuple(control)
        every = (*self.target, *self.control)
        longest = max((q.longest for q in every), default=1) + EXTRA_TOKENS
        self.evaluator = Evaluator(
            model, threads=threads, ctx=min(model.shape.context, longest + 1)
        )
        self._before = self._answers(every, ())

    def sides(self, patches: Sequence[bytes]) -> tuple[Side, Side | None]:
        """Targets and controls (None without any) under these .bkp bytes."""
        every, n = (*self.target, *self.control), len(self.target)
        after = self._answers(every, patches)
        target, control = (
            Side(every[part], _cut(self._before, part), _cut(after, part))
            for part in (slice(0, n), slice(n, None))
        )
        return target, control if self.control else None

    def _answers(self, questions: Sequence[Question], patches: Sequence[bytes]) -> Answers:
        probes = [q.probe for q in questions]
        logprob = self.evaluator.scores(probes, patches).logprob
        chosen = np.zeros(len(questions), np.bool_)
        with_choices = [i for i, q in enumerate(questions) if q.wrong]
        wrong = [p for i in with_choices for p in questions[i].wrong_probes]
        likely = self.evaluator.scores(wrong, patches).logprob if wrong else np.empty(0)
        at = 0
        for i in with_choices:
            n = len(questions[i].wrong)
            chosen[i] = logprob[i] > likely[at : at + n].max()
            at += n
        return Answers(self.evaluator.exact(probes, patches), logprob, chosen)

    def by_section(self, patches: Sequence[bytes], limit: int = 100) -> list[Section]:
        """The patches' flips matrix by matrix, on the first `limit` targets."""
        if not patches:
            return []
        whole = compose([decode(patch) for patch in patches], "whole")
        probes = [q.probe for q in self.target[:limit]]
        before = self.evaluator.scores(probes).logprob.mean()
        after = self.evaluator.scores(probes, [encode(whole)]).logprob.mean()
        found = []
        for (layer, projection), part in sections(whole).items():
            alone = self.evaluator.scores(probes, [encode(part)]).logprob.mean()
            # flipping these once more on top of all takes them back
            without = self.evaluator.scores(probes, [encode(whole), encode(part)]).logprob.mean()
            found.append(
                Section(layer, projection, part.n_flips, float(alone - before),
                        float(after - without))
            )  # fmt: skip
        return found


def _cut(answers: Answers, part: slice) -> Answers:
    return Answers(answers.right[part], answers.logprob[part], answers.chosen[part])
