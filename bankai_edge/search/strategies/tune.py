"""Thousands of signs trained at once, for a skill that the model lacks; see gradient/tuning.py."""

from __future__ import annotations

from bankai_edge.probes.packs import TUNING
from bankai_edge.search.climb.loop import Found
from bankai_edge.search.climb.proposals import GATE_UP
from bankai_edge.search.strategies.plug import Strategy, Task


def _run(task: Task) -> Found:
    from bankai_edge.search.gradient.tuning import Tuner

    return Tuner(
        task.model, task.trials, task.limits, task.watch, task.seed, task.projections,
        task.device, task.threads,
    ).run()  # fmt: skip


TUNE = Strategy(
    "tune", _run, projections=GATE_UP, probes=TUNING, resumes=False, needs_torch=True
)  # fmt: skip
