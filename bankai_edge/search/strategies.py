"""Which flips to try: at random, by scale (the published way), or by first-order gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bankai_edge.model import Model
from bankai_edge.search.sites import Granularity, Site, Sites

GATE_UP = (4, 5)
ALL_PROJECTIONS = tuple(range(7))
DRAWN = 64  # sites of one draw
NAMES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
BLOCK = 18  # bytes of 128 weights: an fp16 scale and their signs
Q1_0 = 41


@dataclass(frozen=True)
class Ranking:
    """Sites to try, best first; and what undoing each flip in place would bring."""

    order: list[Site]
    undoing: dict[Site, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Focus:
    """The probes that a gradient should look at; `scale` makes up for the targets left out."""

    targets: NDArray[np.intp]
    controls: NDArray[np.intp]
    scale: float = 1.0


class Strategy(Protocol):
    """Proposes sites."""

    name: str
    guided: bool  # knows what flips bring: ranks anew after each accept, may exchange flips
    screens: bool  # looks at two probes before the whole pack
    start: int  # flips tried together at first
    max_step: int
    patience: int  # rejections in a row that end the search

    def rank(self, sites: Sites, focus: Focus, draw: int) -> Ranking:
        """What to try under the flips in place; `draw` counts the draws of a sampling strategy."""


def tensors_of(model: Model) -> dict[tuple[int, int], tuple[int, int, NDArray[np.uint8]]]:
    """(layer, projection) → rows, columns, Q1_0 blocks [rows, columns / 128, 18] of the file."""
    data = np.frombuffer(model.mapped, np.uint8)
    found = {}
    places = {name: (kind, dims, at, n) for name, kind, dims, at, n in model.core.tensors()}
    for layer in range(model.shape.layers):
        for projection, name in enumerate(NAMES):
            kind, dims, at, n = places[f"blk.{layer}.{name}.weight"]
            if kind != Q1_0:
                continue  # a matrix of floats has no bits to flip
            columns, rows = dims
            blocks = data[at : at + n].reshape(rows, columns // 128, BLOCK)
            found[layer, projection] = rows, columns, blocks
    return found


class _Sampling:
    """Draws single sites, never one twice in a draw."""

    guided = False
    start = max_step = 1
    patience = 400

    def __init__(
        self, model: Model, granularity: Granularity, projections: tuple[int, ...], seed: int
    ) -> None:
        self._seed = seed
        self._kind = ("row", "group", "bit").index(granularity)
        self._tensors = {k: v for k, v in tensors_of(model).items() if k[1] in projections}
        self._keys = sorted(self._tensors)
        self._log_weight = self._log_weights()  # [all rows]

    def _log_weights(self) -> NDArray[np.float64]:
        return np.zeros(sum(self._tensors[key][0] for key in self._keys))

    def rank(self, sites: Sites, focus: Focus, draw: int) -> Ranking:
        """See `Strategy.rank`."""
        rng = np.random.default_rng([self._seed, draw])
        keys = self._log_weight + rng.gumbel(size=len(self._log_weight))
        top = np.argsort(-keys, kind="stable")[:DRAWN]
        ends = np.cumsum([self._tensors[key][0] for key in self._keys])
        order: list[Site] = []
        for row in top:
            k = int(np.searchsorted(ends, row, side="right"))
            rows, columns, _ = self._tensors[self._keys[k]]
            width = (1, columns // 128, columns)[self._kind]
            column = int(rng.integers(width))
            order.append((self._kind, *self._keys[k], int(row - (ends[k] - rows)), column))
        return Ranking([site for site in order if site not in sites])


class Random(_Sampling):
    """Every row alike."""

    name = "random"
    screens = False


class Scale(_Sampling):
    """Rows drawn in proportion to their mean scale, after two probes have liked them."""

    name = "scale"
    screens = True

    def _log_weights(self) -> NDArray[np.float64]:
        means = []
        for key in self._keys:
            blocks = self._tensors[key][2]
            scales = blocks[..., :2].copy().view(np.float16)[..., 0].astype(np.float64)
            means.append(np.abs(scales).mean(axis=1))
        logs: NDArray[np.float64] = np.log(np.maximum(np.concatenate(means), 1e-12))
        return logs


@dataclass(frozen=True)
class Gains:
    """First-order changes of J: the best candidates, and of each flip in place its undoing."""

    best: list[tuple[float, Site]]
    undoing: dict[Site, float]


Gradient = Callable[[Sites, Focus], Gains]
"""Gains under flips, counting the probes in focus."""


class Guided:
    """The sites of greatest first-order gain, several together; un-flips are among them."""

    name = "gradient"
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
        """See `Strategy.rank`."""
        gains = self._gradient(sites, focus)
        ranked = sorted((-gain, site) for gain, site in gains.best if gain > 0)
        return Ranking([site for _, site in ranked], gains.undoing)


def reduced(gain: Any, granularity: Granularity, layer: int, projection: int, sites: Sites,
            keep: int = 512) -> Gains:  # fmt: skip
    """The best sites of one matrix from the gains of its single weights: a tensor [rows, columns].

    Of each row only its best group or bit is a candidate: neighbours promise the same thing.
    """
    kind = ("row", "group", "bit").index(granularity)
    rows, columns = gain.shape
    here = [site for site in sites if site[1:3] == (layer, projection)]
    by_kind = [None, None, gain]
    if any(of_kind != 2 for of_kind in (kind, *(site[0] for site in here))):
        groups = gain.reshape(rows, columns // 128, 128).sum(-1)
        by_kind[:2] = groups.sum(-1, keepdim=True), groups
    best, column = by_kind[kind].max(1)  # [rows]
    top = best.topk(min(keep, rows))
    chosen = [
        (float(value), (kind, layer, projection, int(row), int(column[row])))
        for value, row in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    ]
    undoing = {site: float(by_kind[site[0]][site[3], site[4]]) for site in here}
    return Gains(chosen, undoing)
