"""Measured read bandwidth: the roof over every product of packed bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bankai_edge import _engine
from bankai_edge.bench.machine import available_bytes
from bankai_edge.bench.timing import repeat

# 16 KiB (first cache level) .. 256 MiB (DRAM, whatever the machine)
SWEEP = tuple(1 << shift for shift in (14, 16, 18, 20, 22, 24, 25, 26, 27, 28))
CACHE_LINE = 64
_PASS_BYTES = 64 << 20  # read at least so much between two looks at the clock


@dataclass(frozen=True)
class ReadSpeed:
    """Bytes per second when `threads` cores share out and read the same `n_bytes` repeatedly."""

    threads: int
    n_bytes: int
    bytes_per_s: float


def largest_size() -> int:
    """Bytes that a measurement may allocate here: a quarter of what is free, at most 256 MiB."""
    return min(available_bytes() // 4, SWEEP[-1])


def read_bandwidth(threads: int, n_bytes: int, *, budget: float = 0.15) -> float:
    """Bytes per second of `threads` cores reading `n_bytes` of memory repeatedly; the median.

    `n_bytes` decides which level of the memory answers. It is rounded up to a whole cache line for
    every thread and limited to `largest_size()`.
    """
    return _read(_pool(threads), threads, min(n_bytes, largest_size()), budget)


def sweep(threads: int, sizes: tuple[int, ...] = SWEEP, *, budget: float = 0.05) -> list[ReadSpeed]:
    """Read bandwidth from the first cache level to DRAM; sizes that do not fit are left out."""
    pool, limit = _pool(threads), largest_size()
    return [ReadSpeed(threads, n, _read(pool, threads, n, budget)) for n in sizes if n <= limit]


def _pool(threads: int) -> _engine.Pool | None:
    return _engine.Pool(threads) if threads > 1 else None


def _read(pool: _engine.Pool | None, threads: int, n_bytes: int, budget: float) -> float:
    unit = CACHE_LINE * threads
    n_bytes = -(-n_bytes // unit) * unit
    data = np.ones(n_bytes + CACHE_LINE, np.uint8)  # ones: pages of zeros may be one shared page
    at = -data.ctypes.data % CACHE_LINE
    view = data[at : at + n_bytes].data
    times = max(1, _PASS_BYTES // n_bytes)
    _engine.read_all(view, pool, times)
    took = repeat(lambda: _engine.read_all(view, pool, times), budget=budget)
    return n_bytes * times / took.p50
