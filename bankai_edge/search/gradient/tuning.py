"""Sign tuning: thousands of signs trained at once, for a skill that the model lacks (5 to 32 KB).

Latents start at the weights themselves (±scale); a forward pass uses their signs with the scales
frozen, the gradient goes straight through, Adam moves them. The signs that have changed are the
patch. Every few steps the engine judges it, and validation keeps the best one.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bankai_edge._facts import TENSORS
from bankai_edge.errors import UsageError
from bankai_edge.model import Model
from bankai_edge.search.climb.loop import Found, Limits, Watch
from bankai_edge.search.climb.proposals import GATE_UP
from bankai_edge.search.climb.sites import BIT, Site, Sites
from bankai_edge.search.climb.trial import Trial
from bankai_edge.search.gradient.backward import batches, bounds, softened_harm
from bankai_edge.search.gradient.model import KEEP_BYTES, TorchModel, multiplies_bfloat16

RATE = 0.05  # of a latent's own scale, a step
STEPS = 400
JUDGED_EVERY = 20
TARGETS, CONTROLS = 96, 48  # probes of a step; as many controls again of those in danger
BITS_OF_A_FLIP = 11  # a first guess; the encoder says later
STALE = 5  # judgements without a better validation


class Tuner:
    """Latents of gate and up (and others, when asked) of every layer."""

    def __init__(
        self, model: Model, trials: tuple[Trial, Trial], limits: Limits, watch: Watch, seed: int,
        projections: tuple[int, ...] = GATE_UP, device: str = "cpu", threads: int = 1,
    ) -> None:  # fmt: skip
        s = model.shape
        if 12 * s.layers * s.ffn * s.hidden * 4 > KEEP_BYTES:
            raise UsageError("tune holds every weight three times, and this model is too large",
                             next_step="Use --strategy gradient")  # fmt: skip
        torch.set_num_threads(threads)
        self._torch = TorchModel(model, device, dtype=torch.float32)
        if multiplies_bfloat16(self._torch.device):
            self._torch.products = torch.bfloat16
        self._trials, self._limits, self._watch = trials, limits, watch
        self._rng = np.random.default_rng([seed, 11])
        self._began = time.monotonic()
        self._weights = [dict(self._torch.layer(i, frozenset())) for i in range(s.layers)]
        self._latent: dict[tuple[int, int], Tensor] = {}
        self._scale: dict[tuple[int, int], Tensor] = {}
        for layer, weights in enumerate(self._weights):
            for p in projections:
                w = weights[TENSORS[p]]
                self._scale[layer, p] = w.abs()
                self._latent[layer, p] = torch.nn.Parameter(torch.sign(w))  # in units of the scale
        self._full = False  # were there more flips than fit?
        self._room = limits.budget_bytes * 8 // BITS_OF_A_FLIP  # flips that fit
        search = trials[0]
        objective = search.objective
        self._share = torch.from_numpy(search.pack.weights()).to(device)
        self._bounds = bounds(objective, search.control_before, device)

    def run(self) -> Found:
        """Train and judge until the time, the steps or the validation ends it."""
        found, best, stale = Found(), (0.0, 0.0, 0.0), 0
        search, validation = self._trials
        optimiser = torch.optim.Adam(list(self._latent.values()), lr=RATE, betas=(0.9, 0.98))
        try:
            for step in range(1, STEPS + 1):
                rate = RATE * min(1.0, 2 * (1 - step / (STEPS + 1)))
                for group in optimiser.param_groups:
                    group["lr"] = rate
                optimiser.zero_grad(set_to_none=True)
                self._backward(search)
                optimiser.step()
                self._project()
                found.passes += 1
                if step % JUDGED_EVERY and step != STEPS:
                    continue
                sites = self._affordable()
                if not sites:
                    continue
                self._room = min(self._room, max(len(sites), 1)) if self._full else self._room
                outcome = search.fitness(sites, full=True)
                judged = validation.fitness(sites, full=True)
                assert judged.verdict is not None
                value = (*validation.value(judged.verdict), judged.j)
                self._tell(
                    "step",
                    step=step,
                    total=len(sites),
                    j=outcome.j,
                    bytes=self._limits.size(sites),
                    verdict=asdict(judged.verdict),
                )
                stale = 0 if value > best else stale + 1
                if value > best:
                    best = value
                    found.sites, found.fitness = sites, outcome.j
                    found.validation = judged.verdict
                if stale >= STALE or time.monotonic() - self._began > self._limits.minutes * 60:
                    break
        except KeyboardInterrupt:
            found.interrupted = True
            self._tell("interrupted")
        found.evaluations = search.evaluations + validation.evaluations
        found.probes_read = search.probes_read + validation.probes_read
        found.seconds = time.monotonic() - self._began
        return found

    def _backward(self, search: Trial) -> None:
        """Accumulate −∂J of a random batch."""
        pack, objective = search.pack, search.objective
        targets = self._some(len(pack.target), TARGETS)
        near = search.focus.controls
        far = np.setdiff1d(np.flatnonzero(search.control_before.right), near)
        strata = [group[self._some(len(group), CONTROLS)] for group in (near, far)]
        stands_for = torch.zeros(len(pack.control), dtype=torch.float64, device=self._torch.device)
        for group, some in zip((near, far), strata, strict=True):
            stands_for[torch.from_numpy(some)] = len(group) / max(len(some), 1)
        controls = np.concatenate(strata)
        weights = []
        for layer, fixed in enumerate(self._weights):
            mine = dict(fixed)
            for (at, p), latent in self._latent.items():
                if at == layer:
                    hard = torch.where(latent >= 0, 1.0, -1.0)
                    mine[TENSORS[p]] = (latent + (hard - latent).detach()) * self._scale[at, p]
            weights.append(mine)
        device = self._torch.device
        for is_target, probes, chosen in (
            (True, pack.target, targets), (False, pack.control, controls),
        ):  # fmt: skip
            for batch in batches(probes, chosen.tolist(), device):
                x = self._torch.embed(batch.ids)
                for mine in weights:
                    x = self._torch.run(x, mine)
                logprob, margin, _ = self._torch.answers(x, batch)
                if is_target:
                    share = self._share[batch.index]
                    loss = -(logprob * share).sum() * len(pack.target) / len(chosen)
                else:
                    harm = softened_harm(margin, self._bounds[:, batch.index], objective)
                    harm = (harm * stands_for[batch.index]).sum()
                    loss = objective.control_weight * harm / len(pack.control)
                loss.backward(retain_graph=True)

    @torch.no_grad()
    def _project(self) -> None:
        """Send all flips but the furthest back to just before zero: the budget is trained with."""
        keys = sorted(self._latent)
        past = torch.cat([self._past(key) for key in keys])
        flipped = past[past > 0]
        if len(flipped) <= self._room:
            return
        least = flipped.topk(self._room).values[-1]
        for key in keys:
            latent = self._latent[key]
            past = self._past(key).view_as(latent)
            start = torch.sign(self._weights[key[0]][TENSORS[key[1]]])
            latent.copy_(torch.where((past > 0) & (past < least), 0.02 * start, latent))

    def _some(self, n: int, wanted: int) -> NDArray[np.intp]:
        return np.sort(self._rng.permutation(n)[:wanted])

    def _affordable(self) -> Sites:
        """The changed signs, those that went furthest first, as many as the budget holds."""
        keys = sorted(self._latent)
        past = torch.cat([self._past(key) for key in keys])
        most = min(len(past), 4 * self._limits.budget_bytes)  # a flip takes two bits at least
        top = past.topk(most)
        found = top.indices[top.values > 0].cpu().numpy()
        ends = np.cumsum([self._latent[key].numel() for key in keys])
        ranked: list[Site] = []
        for index, k in zip(found.tolist(), np.searchsorted(ends, found, "right"), strict=True):
            layer, p = keys[k]
            rows, columns = self._latent[layer, p].shape
            row, column = divmod(index - int(ends[k]) + rows * columns, columns)
            ranked.append((BIT, layer, p, row, column))
        few, many = 0, len(ranked)
        if self._size(ranked, many) <= self._limits.budget_bytes:
            few = many
        while many - few > max(1, many // 64):
            half = (few + many) // 2
            if self._size(ranked, half) <= self._limits.budget_bytes:
                few = half
            else:
                many = half
        self._full = few < len(ranked)
        return frozenset(ranked[:few])

    @torch.no_grad()
    def _past(self, key: tuple[int, int]) -> Tensor:
        """How far beyond zero each latent went, in scales; of a weight of scale 0, not at all."""
        start = torch.sign(self._weights[key[0]][TENSORS[key[1]]])  # [rows, columns]
        return (-self._latent[key].detach() * start).flatten()

    def _size(self, ranked: list[Site], n: int) -> float:
        return self._limits.size(frozenset(ranked[:n])) if n else math.inf

    def _tell(self, kind: str, **fields: Any) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self._watch.event({"event": kind, "seconds": seconds, **fields})
