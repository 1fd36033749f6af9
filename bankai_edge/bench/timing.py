"""Repeating a thing and keeping what it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Samples:
    """Seconds of repeated runs, ascending."""

    seconds: tuple[float, ...]

    def quantile(self, q: float) -> float:
        """Seconds that a share `q` of the runs did not exceed (nearest rank)."""
        return self.seconds[min(int(q * len(self.seconds)), len(self.seconds) - 1)]

    @property
    def p50(self) -> float:
        """The median, in seconds."""
        return self.quantile(0.5)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, in seconds."""
        return (self.quantile(0.75) - self.quantile(0.25)) / 2


def samples(seconds: Sequence[float]) -> Samples:
    """Samples of at least one run, in any order."""
    return Samples(tuple(sorted(seconds)))


def repeat(
    work: Callable[[], object], *, least: int = 5, budget: float = 0.5, most: int = 1 << 20
) -> Samples:
    """Run `work` for `budget` seconds: at least `least` times, at most `most`."""
    taken: list[float] = []
    end = time.perf_counter() + budget
    while len(taken) < least or (len(taken) < most and time.perf_counter() < end):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return samples(taken)
