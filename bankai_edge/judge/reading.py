"""Reads a fixed set of probes again and again, under changing patches.

Probes are sorted by their tokens: a prefix that neighbours share is computed once. What enters each
layer can be kept from one pass, so that patches which change nothing before layer L start there.
Both leave every score as it is, to the last bit, at any number of shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bankai_edge import _engine, _patch
from bankai_edge.errors import UsageError
from bankai_edge.model import Model
from bankai_edge.probes.packs import Probe

Raw = NDArray[np.float64]
"""[3, n]: log-probabilities, margins, gaps."""
Metric = Literal["seq_logprob", "token_gap"]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True)
class Scores:
    """What the model thinks of n right answers."""

    logprob: NDArray[np.float64]  # [n], summed over the answer's tokens
    margin: NDArray[np.float64]  # [n], smallest (right token's logit − best other) of its tokens
    gap: NDArray[
        np.float64
    ]  # [n], first token: right − wrong answer's logit; 0 without a wrong one

    @property
    def right(self) -> NDArray[np.bool_]:
        """[n]: every token of the answer is the greedy choice."""
        return self.margin > 0

    def put(self, index: NDArray[np.intp], part: Scores) -> Scores:
        """A copy in which the probes of `index` have the scores of `part`."""
        logprob, margin, gap = self.logprob.copy(), self.margin.copy(), self.gap.copy()
        logprob[index], margin[index], gap[index] = part.logprob, part.margin, part.gap
        return Scores(logprob, margin, gap)

    @classmethod
    def of(cls, raw: Raw) -> Scores:
        """From a shard's or a reading's numbers."""
        return cls(raw[0], raw[1], raw[2])


class Shard:
    """Probes in the order of their tokens, in one state: what one worker reads."""

    def __init__(self, model: Model, probes: Sequence[Probe], tap_bytes: int = 0) -> None:
        """`tap_bytes` bounds the memory for what enters each layer; 0 keeps none."""
        self._model = model
        texts = [p.prompt + p.answer for p in probes]
        longest = max((len(t) for t in texts), default=2)
        if longest > model.shape.context:
            raise UsageError(
                f"a probe of {longest} tokens", expected=f"at most {model.shape.context}"
            )
        self._state = _engine.State(model.core, longest, longest)
        self._at = np.cumsum([0, *map(len, texts)]).astype(np.uint32)
        self._tokens = np.array([t for text in texts for t in text], np.int32)
        self._n_answer = np.array([len(p.answer) for p in probes], np.uint32)
        rivals = [p.wrong[0] if p.wrong else -1 for p in probes]
        self._rival = np.array(rivals, np.int32)
        self._same, self._nodes, n_nodes = _shared(probes)
        self._all = np.arange(len(probes), dtype=np.uint32)
        shape = (model.shape.layers, n_nodes, model.shape.hidden)
        self._taps: NDArray[np.float32] | None = None
        if tap_bytes >= 4 * int(np.prod(shape)):
            self._taps = np.empty(shape, np.float32)
            self._read((), 0, self._all, fill=True)

    @property
    def cached(self) -> bool:
        """Whether passes may start at a later layer."""
        return self._taps is not None

    def scores(self, patches: Sequence[bytes], layer: int, chosen: Sequence[int] | None) -> Raw:
        """Scores [3, n] of all probes or of the ascending `chosen` ones.

        `patches` differ from those of the last `rebase` (none at first) only from `layer` on.
        """
        index = self._all if chosen is None else np.asarray(chosen, np.uint32)
        return self._read(patches, layer if self.cached else 0, index, fill=False)

    def rebase(self, patches: Sequence[bytes], layer: int) -> None:
        """Keep what enters the layers after `layer` under `patches`; nothing before it changes."""
        if self.cached:
            self._read(patches, layer, self._all, fill=True)

    def _read(
        self, patches: Sequence[bytes], layer: int, chosen: NDArray[np.uint32], *, fill: bool
    ) -> Raw:
        self._state.set_overlay(_patch.Overlay(self._model.core, patches) if patches else None)
        scores = np.empty((3, len(chosen)), np.float64)
        _engine.read_probes(
            self._state, self._at, self._tokens, self._nodes, self._same, self._n_answer,
            self._rival, chosen, layer, self._taps, fill, scores,
        )  # fmt: skip
        return scores


def _shared(probes: Sequence[Probe]) -> tuple[NDArray[np.uint32], NDArray[np.uint32], int]:
    """(tokens shared with the probe before [n], node of every position, number of nodes)."""
    same, nodes, n_nodes = [], [], 0
    before: tuple[int, ...] = ()
    row: list[int] = []
    for p in probes:
        tokens, equal = p.tokens, 0
        for a, b in zip(before, tokens, strict=False):
            if a != b:
                break
            equal += 1
        keep = min(equal, len(p.prompt) - 1)  # the rest is computed, for its logits
        new = len(tokens) - keep
        row = row[:keep] + list(range(n_nodes, n_nodes + new))
        n_nodes += new
        same.append(equal)
        nodes += [*row, 0]  # the last token of an answer is not read
        before = tokens
    return np.array(same, np.uint32), np.array(nodes, np.uint32), n_nodes
