"""A whole search: probes, audit, workers, strategy, verdict on held-out items, and the patch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import bankai_edge
from bankai_edge.durable import write_atomically
from bankai_edge.errors import BankaiError, UsageError
from bankai_edge.judge import audit
from bankai_edge.judge.crew import Crew, Threads
from bankai_edge.judge.evaluate import Change, Evaluator, Verdict
from bankai_edge.judge.reading import Metric
from bankai_edge.model import Model
from bankai_edge.patch.bind import bind
from bankai_edge.patch.bkp import Patch, encode
from bankai_edge.probes import goals
from bankai_edge.probes.packs import JUDGE, VALIDATION, Sizes
from bankai_edge.search.climb import promotion
from bankai_edge.search.climb.loop import Found, Limits, State, Watch
from bankai_edge.search.climb.objective import Objective
from bankai_edge.search.climb.sites import Granularity, Sites, in_patch
from bankai_edge.search.climb.trial import Trial
from bankai_edge.search.strategies.plug import Strategy, Task
from bankai_edge.search.strategies.table import STRATEGIES
from bankai_edge.search.workers import Dask, Processes

DEFAULT = next(iter(STRATEGIES))
TAP_BYTES = 1 << 30  # for what enters each layer, over all workers
SHOWN = 5  # findings of a kind that a refusal names


@dataclass(frozen=True)
class Job:
    """What to search.

    The fields of the second group change how long it takes, not what is found (but for the clock).
    """

    model: Path
    targets: tuple[str, ...]
    name: str
    controls: tuple[str, ...] = ()
    strategy: str = DEFAULT
    granularity: Granularity | None = None
    projections: tuple[int, ...] | None = None
    metric: Metric = "seq_logprob"
    budget_bytes: int = 1024
    seed: int = 1
    control_weight: float = Objective.control_weight
    margin: float = Objective.margin
    start: int = 6
    sizes: tuple[Sizes, Sizes, Sizes] | None = None
    drop_bad_probes: bool = False

    minutes: float = 10.0
    evaluations: int | None = None
    patience: int | None = None
    threads: int = 1
    workers: int = 0
    scheduler: Any = None
    device: str = "cpu"

    @property
    def plug(self) -> Strategy:
        """The strategy of that name."""
        return STRATEGIES[self.strategy]

    @property
    def kind(self) -> Granularity:
        """What is flipped."""
        return self.granularity or self.plug.granularity

    @property
    def packs(self) -> tuple[Sizes, Sizes, Sizes]:
        """Probes to search, to choose and to judge by."""
        return self.sizes or (self.plug.probes, VALIDATION, JUDGE)

    @property
    def touched(self) -> tuple[int, ...]:
        """Projections in which flips may lie."""
        return self.projections or self.plug.projections

    def fingerprint(self, model_id: bytes) -> str:
        """Names all that decides what is found; a search resumes only under the same one."""
        free = ("minutes", "evaluations", "patience", "threads", "workers", "scheduler", "device")
        fields = {k: v for k, v in asdict(replace(self, scheduler=None)).items() if k not in free}
        text = json.dumps({**fields, "model": model_id.hex()}, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Result:
    """What a search found; `patch` is None when validation lets nothing ship."""

    found: Found
    patch: Patch | None
    heldout: Verdict | None
    by_target: dict[str, Change] = field(default_factory=dict)
    findings: tuple[audit.Finding, ...] = ()
    probes: dict[str, int] = field(default_factory=dict)

    @property
    def helps(self) -> bool:
        """Did held-out items confirm it?"""
        return (
            self.patch is not None
            and self.heldout is not None
            and promotion.significant(self.heldout.target)
        )


@dataclass(frozen=True)
class Checkpoint:
    """Where a search writes its state, and reads it with --resume."""

    path: Path

    def save(self, fingerprint: str, state: State) -> None:
        """Replace the file at once: an interrupt leaves the old one or the new one."""
        text = json.dumps({"version": 1, "job": fingerprint, "state": state.to_json()})
        write_atomically(self.path, text.encode())

    def load(self, fingerprint: str) -> State:
        """Raises BankaiError when there is none, or it belongs to another search."""
        try:
            document = json.loads(self.path.read_text())
            if document["job"] != fingerprint:
                raise UsageError(
                    f"{self.path} belongs to a search with other options",
                    next_step="Resume with the options it was started with, or start anew",
                )
            return State.from_json(document["state"])
        except OSError as error:
            raise UsageError(
                f"nothing to resume: {self.path} cannot be read ({error.strerror})"
            ) from None
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BankaiError(f"{self.path} is no search state ({error})") from None

    def remove(self) -> None:
        """The search has ended."""
        self.path.unlink(missing_ok=True)


def search(
    job: Job,
    watch: Callable[[dict[str, Any]], None],
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
) -> Result:
    """Run a job; `watch` hears every decision.

    Raises:
        UsageError: unknown targets, or probes that would falsify the result (see audit).
        BankaiError: an optional package is missing, or a worker failed.
    """
    model = Model(job.model, threads=1)
    state = None
    fingerprint = job.fingerprint(model.id)
    if resume:
        if checkpoint is None or not job.plug.resumes:
            raise UsageError(f"{job.strategy} keeps no state to resume")
        state = checkpoint.load(fingerprint)
    plan = goals.load(job.targets, job.controls, model.tokenizer, job.seed, job.packs)
    findings = audit.examine(plan, model.tokenizer, job.metric)
    if any(finding.fatal for finding in findings):
        if not job.drop_bad_probes:
            raise _refusal(findings)
        plan = audit.without(plan, findings)
    if len(job.targets) < job.plug.least_targets:
        raise UsageError(f"{job.strategy} wants several targets", next_step="Repeat --target")
    crew = _crew(job, model)
    try:
        objective = Objective(job.control_weight, job.margin, metric=job.metric)
        layers = model.shape.layers
        # Flips by gradient mostly begin in layer 0; there is nothing to keep for them.
        taps = TAP_BYTES if job.plug.every_layer or job.kind == "row" else 0
        trials = (
            Trial(crew, plan.search, objective, layers, taps),
            Trial(crew, plan.validation, objective, layers),
        )
        findings += audit.unthinkable(plan.search.target, trials[0].target_before)
        for kind, fatal in sorted({(f.kind, f.fatal) for f in findings}):
            some = [f for f in findings if (f.kind, f.fatal) == (kind, fatal)]
            text = f"{len(some)} × {some[0]}" + (", left out" if fatal else "")
            watch({"event": "audit", "kind": kind, "n": len(some), "fatal": fatal, "text": text})
        counts = {"target": len(plan.search.target), "control": len(plan.search.control)}
        watch({"event": "start", "job": fingerprint, "seed": job.seed, **counts,
               "right": int(trials[0].target_before.right.sum())})  # fmt: skip
        limits = Limits(
            lambda sites: (
                len(encode(_finished(job, plan, model, sites, 1.1, trial=True))) if sites else 0
            ),
            job.budget_bytes, job.minutes, job.evaluations, job.patience,
        )  # fmt: skip
        save = (lambda s: checkpoint.save(fingerprint, s)) if checkpoint else (lambda s: None)
        found = _run(job, model, trials, limits, Watch(watch, save), state)
    finally:
        crew.close()
    patch = None
    heldout = None
    by_target: dict[str, Change] = {}
    if found.ships:
        patch = bind(_finished(job, plan, model, found.sites, found.fitness), model)
        judge = Evaluator(model, threads=job.threads)
        heldout, changes = judge.verdicts(plan.heldout, [encode(patch)])
        by_target = dict(zip(plan.names, changes, strict=True))
        watch({"event": "held-out", "verdict": asdict(heldout)})
    if checkpoint and not found.interrupted:
        checkpoint.remove()
    return Result(found, patch, heldout, by_target, tuple(findings), counts)


def _run(
    job: Job, model: Model, trials: tuple[Trial, Trial], limits: Limits, watch: Watch,
    state: State | None,
) -> Found:  # fmt: skip
    if job.plug.needs_torch:
        _need_torch()
    return job.plug.run(
        Task(
            model, trials, limits, watch, state, job.seed, job.kind, job.touched, job.start,
            job.device, max(job.threads, 1),
        )
    )  # fmt: skip


def _need_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        others = " or ".join(s.name for s in STRATEGIES.values() if not s.needs_torch)
        raise BankaiError(
            "this strategy needs PyTorch, which is not installed",
            next_step=f"Install bankai-edge[search], or use --strategy {others}",
        ) from error


def _crew(job: Job, model: Model) -> Crew:
    if job.scheduler is not None:
        return Dask(model, job.scheduler)
    return Processes(model, job.workers) if job.workers else Threads(model, max(job.threads, 1))


def _finished(
    job: Job, plan: goals.Goals, model: Model, sites: Sites, fitness: float, trial: bool = False
) -> Patch:
    """The patch with its provenance; keys are short because every byte travels."""
    provenance = {
        "creator": "bankai-edge",
        "version": bankai_edge.__version__,
        "metric": job.metric,
        "fitness": float(np.float16(fitness)),  # 3 bytes
        "form": "+".join(plan.names),
        "probes": [len(plan.search.target), len(plan.search.control)],
        "seed": job.seed,
    }
    patch = Patch(job.name, domain=plan.domain, provenance=provenance)
    if trial:  # as large as the bound one
        patch = replace(patch, model_id=model.id, crc=0xFFFFFFFF)
    return in_patch(patch, sites)


def _refusal(findings: list[audit.Finding]) -> UsageError:
    fatal = [finding for finding in findings if finding.fatal]
    shown = "; ".join(map(str, fatal[:SHOWN])) + ("; …" if len(fatal) > SHOWN else "")
    return UsageError(
        f"{len(fatal)} probes would falsify the result: {shown}",
        expected="probes that can be trusted",
        next_step="Mend the probes, or leave these out with --drop-bad-probes",
    )
