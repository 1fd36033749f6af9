"""A crew reads the probes: every reading's probes are cut into one shard a worker.

A shard's scores do not depend on who reads it, and they are put together by index: the number of
workers changes nothing but time. Threads of this process are here; search/workers.py has others.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from bankai_edge.judge.reading import Scores, Shard
from bankai_edge.model import Model
from bankai_edge.probes.packs import Probe


class Crew(Protocol):
    """Workers that hold shards."""

    size: int

    def add(self, shards: Sequence[Sequence[Probe]], tap_bytes: int) -> int:
        """Give each worker its shard (probes sorted by tokens) of a new reading; its number."""

    def ask(self, reading: int, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of every worker's shard of a reading, each with its arguments."""

    def close(self) -> None:
        """Let the workers go."""


class Reading:
    """Probes spread over a crew."""

    def __init__(self, crew: Crew, probes: Sequence[Probe], tap_bytes: int = 0) -> None:
        self._crew = crew
        self.n = len(probes)
        order = sorted(range(self.n), key=lambda i: probes[i].tokens)
        cuts = [self.n * k // crew.size for k in range(crew.size + 1)]
        self._order = [order[a:b] for a, b in pairwise(cuts)]
        shards = [[probes[i] for i in part] for part in self._order]
        self._number = crew.add(shards, tap_bytes // crew.size)

    def scores(
        self, patches: Sequence[bytes], layer: int = 0, chosen: Sequence[int] | None = None
    ) -> Scores:
        """Scores of all probes, or of `chosen` ones in ascending order; see `Shard.scores`."""
        wanted = None if chosen is None else set(map(int, chosen))
        calls: list[tuple[Any, ...]] = []
        places: list[list[int]] = []
        for part in self._order:
            some = None if wanted is None else [k for k, i in enumerate(part) if i in wanted]
            calls.append((patches, layer, some))
            places.append(part if some is None else [part[k] for k in some])
        whole = np.empty((3, self.n), np.float64)
        for place, raw in zip(places, self._crew.ask(self._number, "scores", calls), strict=True):
            whole[:, place] = raw
        return Scores.of(whole if chosen is None else whole[:, np.asarray(chosen, np.intp)])

    def rebase(self, patches: Sequence[bytes], layer: int) -> None:
        """See `Shard.rebase`."""
        self._crew.ask(self._number, "rebase", [(patches, layer)] * self._crew.size)


class Threads:
    """Threads of this process; the engine works outside of Python's lock."""

    def __init__(self, model: Model, threads: int) -> None:
        self._model = model
        self.size = threads
        self._pool = ThreadPoolExecutor(threads)
        self._shards: list[list[Shard]] = []

    def add(self, shards: Sequence[Sequence[Probe]], tap_bytes: int) -> int:
        """See `Crew.add`."""
        build = self._pool.map(lambda part: Shard(self._model, part, tap_bytes), shards)
        self._shards.append(list(build))
        return len(self._shards) - 1

    def ask(self, reading: int, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """See `Crew.ask`."""
        shards = self._shards[reading]
        if len(shards) == 1:
            return [getattr(shards[0], method)(*arguments[0])]
        return list(
            self._pool.map(
                lambda pair: getattr(pair[0], method)(*pair[1]),
                zip(shards, arguments, strict=True),
            )
        )

    def close(self) -> None:
        """See `Crew.close`."""
        self._pool.shutdown()
