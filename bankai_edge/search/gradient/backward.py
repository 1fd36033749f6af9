"""First-order gains of every flip, by a backward pass in PyTorch (the `search` extra).

The pass goes layer by layer: forward keeps only the residual that enters each layer; backward runs
a layer again, takes the gradient of its weights, reduces it to candidates and forgets it. The gain
of flipping weight w is −2·w·∂J/∂w; that of a row or group is the sum of its weights'.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bankai_edge._facts import GROUP as GROUP_SIZE
from bankai_edge._facts import TENSORS
from bankai_edge.judge.reading import Scores
from bankai_edge.model import Model
from bankai_edge.probes.packs import Pack, Probe
from bankai_edge.search.climb.objective import Objective
from bankai_edge.search.climb.proposals import ALL_PROJECTIONS, Focus, Gains
from bankai_edge.search.climb.sites import BIT, GRANULARITIES, GROUP, ROW, Granularity, Sites
from bankai_edge.search.gradient.model import KEEP_BYTES, Batch, TorchModel

BATCH_TOKENS = 3072  # of one batch: bounds the memory of a layer's activations


class TorchGradient:
    """∂J/∂w of one search pack as gains of flips; see `proposals.Gradient`."""

    def __init__(
        self,
        model: Model,
        pack: Pack,
        control_before: Scores,
        objective: Objective,
        *,
        granularity: Granularity = "bit",
        projections: tuple[int, ...] = ALL_PROJECTIONS,
        device: str = "cpu",
        threads: int = 1,
        keep_bytes: int = KEEP_BYTES,
        dtype: torch.dtype | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        self._torch = TorchModel(model, device, keep_bytes, dtype)
        self._pack = pack
        self._objective = objective
        self._granularity: Granularity = granularity
        self._projections = projections
        self._scale = 1.0
        self._weights = torch.from_numpy(pack.weights()).to(device)
        self._bounds = bounds(objective, control_before, device)

    @property
    def dtype(self) -> str:
        """In what matrices are multiplied."""
        return str(self._torch.dtype).removeprefix("torch.")

    def __call__(self, sites: Sites, focus: Focus) -> Gains:
        """Gains under the flips, counting the probes in focus."""
        self._scale = focus.scale
        target = batches(self._pack.target, focus.targets.tolist(), self._torch.device)
        control = batches(self._pack.control, sorted(focus.controls.tolist()), self._torch.device)
        every = target + control
        entering = self._forward(every, sites)
        upstream = [
            self._head(batch, x, k < len(target))
            for k, (batch, x) in enumerate(zip(every, entering[-1], strict=True))
        ]
        best, undoing = [], {}
        for layer in reversed(range(self._torch.shape.layers)):
            weights = dict(self._torch.layer(layer, sites))
            for p in self._projections:
                weights[TENSORS[p]] = weights[TENSORS[p]].detach().requires_grad_()
            for k, x in enumerate(entering[layer]):
                x = x.detach().requires_grad_()
                torch.autograd.backward(self._torch.run(x, weights), upstream[k])
                assert x.grad is not None
                upstream[k] = x.grad
            entering[layer] = []
            for p in self._projections:
                w = weights[TENSORS[p]]
                assert w.grad is not None
                gain = w.grad.mul_(w.detach()).mul_(-2)
                part = reduced(gain, self._granularity, layer, p, sites)
                best += part.best
                undoing.update(part.undoing)
        return Gains(best, undoing)

    @torch.no_grad()
    def _forward(self, every: Sequence[Batch], sites: Sites) -> list[list[Tensor]]:
        """What enters each layer, and the head, of each batch."""
        entering = [[self._torch.embed(batch.ids) for batch in every]]
        for layer in range(self._torch.shape.layers):
            weights = self._torch.layer(layer, sites)
            entering.append([self._torch.run(x, weights) for x in entering[-1]])
        return entering

    def _head(self, batch: Batch, x: Tensor, is_target: bool) -> Tensor:
        """∂J/∂x of a batch at the head."""
        x = x.detach().requires_grad_()
        logprob, margin, gap = self._torch.answers(x, batch)
        if is_target:
            value = gap if self._objective.metric == "token_gap" else logprob
            part = self._scale * (value * self._weights[batch.index]).sum()
        else:
            part = -softened_harm(margin, self._bounds[:, batch.index], self._objective).sum()
            part = part * self._objective.control_weight / len(self._pack.control)
        part.backward()
        assert x.grad is not None
        return x.grad


def reduced(
    gain: Tensor, granularity: Granularity, layer: int, projection: int, sites: Sites,
    keep: int = 512,
) -> Gains:  # fmt: skip
    """The best sites of one matrix from the gains of its single weights: [rows, columns].

    Of each row only its best group or bit is a candidate: neighbours promise the same thing.
    """
    kind = GRANULARITIES.index(granularity)
    rows, columns = gain.shape
    here = [site for site in sites if site[1:3] == (layer, projection)]
    by_kind: dict[int, Tensor] = {BIT: gain}
    if any(of_kind != BIT for of_kind in (kind, *(site[0] for site in here))):
        by_kind[GROUP] = gain.reshape(rows, columns // GROUP_SIZE, GROUP_SIZE).sum(-1)
        by_kind[ROW] = by_kind[GROUP].sum(-1, keepdim=True)
    best, column = by_kind[kind].max(1)  # [rows]
    top = best.topk(min(keep, rows))
    chosen = [
        (float(value), (kind, layer, projection, int(row), int(column[row])))
        for value, row in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    ]
    undoing = {site: float(by_kind[site[0]][site[3], site[4]]) for site in here}
    return Gains(chosen, undoing)


def bounds(objective: Objective, control_before: Scores, device: str) -> Tensor:
    """[2, controls]: each one's floor and ceiling."""
    both = objective.floor(control_before), objective.ceiling(control_before)
    return torch.from_numpy(np.stack(both)).to(device)


def softened_harm(margin: Tensor, bounds: Tensor, objective: Objective) -> Tensor:
    """[n]: what each control pays, with softplus for relu and without the indicator."""
    width = objective.softness
    short, weak = (width * F.softplus((bounds - margin) / width)).unbind()
    harm: Tensor = short + objective.relief * weak
    return harm


def batches(probes: Sequence[Probe], chosen: Sequence[int], device: torch.device) -> list[Batch]:
    """Texts of similar length together, so that little is padding."""
    order = sorted(chosen, key=lambda i: len(probes[i].tokens))
    found, start = [], 0
    while start < len(order):
        end, longest = start, 0
        while end < len(order):
            longest = len(probes[order[end]].tokens)
            if end > start and longest * (end + 1 - start) > BATCH_TOKENS:
                break
            end += 1
        found.append(_batch(probes, order[start:end], device))
        start = end
    return found


def _batch(probes: Sequence[Probe], index: list[int], device: torch.device) -> Batch:
    some = [probes[i] for i in index]
    ids = torch.zeros(len(some), max(len(p.tokens) for p in some), dtype=torch.long)
    for row, p in enumerate(some):
        ids[row, : len(p.tokens)] = torch.tensor(p.tokens)
    rows = [r for r, p in enumerate(some) for _ in p.answer]
    at = [len(p.prompt) - 1 + i for p in some for i in range(len(p.answer))]
    answer = [t for p in some for t in p.answer]
    rival = [p.wrong[0] if p.wrong else p.answer[0] for p in some]
    whole = (
        torch.tensor(part, dtype=torch.long, device=device) for part in (rows, at, answer, rival)
    )
    return Batch(index, ids.to(device), *whole)
