"""Several patches at once: each alone, all together, and how far that is from their sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from bankai_edge.judge.comparison import Judge
from bankai_edge.judge.evaluate import Change
from bankai_edge.model import Model
from bankai_edge.patch.bkp import decode
from bankai_edge.probes import questions

ALL = "all together"


@dataclass(frozen=True)
class StackReport:
    """`changes[i][k]`: what the set `active[i]` does to the source `questions[k]`.

    `interference` is the mean |shift of the stack − sum of the single shifts| of log-probability
    over all questions, `shift` the stack's mean |shift|.
    """

    active: list[str]
    questions: list[str]
    changes: list[list[Change]]
    interference: float
    shift: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "interference": self.interference,
            "shift": self.shift,
            "rows": [
                {
                    "active": active,
                    "changes": {
                        name: asdict(change)
                        for name, change in zip(self.questions, changes, strict=True)
                    },
                }
                for active, changes in zip(self.active, self.changes, strict=True)
            ],
        }


def stack_report(
    model: Model,
    patches: Sequence[bytes],
    probes: Sequence[str],
    control: Sequence[str] = (),
    *,
    limit: int | None = None,
    threads: int = 1,
) -> StackReport:
    """Judge each patch alone and all together on every source (see `questions.load`)."""
    names = [*probes, *control]
    packs = [questions.load(spec, model.tokenizer, limit) for spec in names]
    judge = Judge(model, [q for pack in packs for q in pack], threads=threads)
    cuts = np.cumsum([0, *map(len, packs)])
    sets = [[patch] for patch in patches] + [list(patches)]
    changes, shifts = [], []
    for active in sets:
        side, _ = judge.sides(active)
        changes.append([
            Change.between(side.before.right[a:b], side.after.right[a:b])
            for a, b in pairwise(cuts)
        ])  # fmt: skip
        shifts.append(side.shift)
    apart = np.abs(shifts[-1] - np.sum(shifts[:-1], axis=0))
    return StackReport(
        [*(decode(patch).name for patch in patches), ALL],
        names,
        changes,
        float(apart.mean()),
        float(np.abs(shifts[-1]).mean()),
    )
