"""Products of one matrix with one vector (GEMV) and with many: every kernel, every shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bankai_edge import _engine
from bankai_edge._facts import Q1_0
from bankai_edge.bench.bandwidth import read_bandwidth
from bankai_edge.bench.timing import repeat
from bankai_edge.model.kernels import some_rows

Shape = tuple[int, int]  # rows, columns
VECTORS = 64  # of a GEMM, as in a step of prefill
LARGEST_GEMM = 1 << 27  # weights; beyond are heads, of which prefill needs one row of results


@dataclass(frozen=True)
class KernelRow:
    """One kernel of this build: does it run here, and if not, what it needs."""

    name: str
    family: str
    runs: bool
    needs: str


@dataclass(frozen=True)
class ProductSpeed:
    """One vector: bytes of weights per second, and their share of the read bandwidth at the same
    size. VECTORS vectors: multiply-adds per second; None for a head."""

    kernel: str
    threads: int
    rows: int
    cols: int
    bytes_per_s: float
    read_share: float
    macs_per_s: float | None


def kernel_rows() -> list[KernelRow]:
    """All kernels of this build, the likely fastest first."""
    return [KernelRow(*row) for row in _engine.kernels()]


def matrix_shapes(core: _engine.Model) -> list[Shape]:
    """The distinct shapes of a model's Q1_0 matrices, the largest last."""
    found = {(dims[1], dims[0]) for _, kind, dims, _, _ in core.tensors() if kind == Q1_0}
    return sorted(found, key=lambda shape: (shape[0] * shape[1], shape))


def product_speeds(
    kernels: Sequence[str], shapes: Sequence[Shape], threads: int, *, budget: float = 0.05
) -> list[ProductSpeed]:
    """Each kernel on each shape; a matrix is multiplied again and again, so small ones lie in a
    cache, and the bandwidth that they are compared with is that cache's."""
    pool = _engine.Pool(threads) if threads > 1 else None
    found = []
    for rows, cols in shapes:
        blocks = some_rows(rows, cols)
        roof = read_bandwidth(threads, len(blocks), budget=budget)
        for kernel in kernels:
            matrix = _engine.Products(kernel, blocks, rows, cols, 1, pool)
            times = max(1, (1 << 20) // len(blocks))
            matrix.run(times)
            took = repeat(lambda m=matrix, n=times: m.run(n), budget=budget)  # type: ignore[misc]
            speed = len(blocks) * times / took.p50
            macs = None
            if rows * cols <= LARGEST_GEMM:
                many = _engine.Products(kernel, blocks, rows, cols, VECTORS, pool)
                many.run()
                macs = rows * cols * VECTORS / repeat(many.run, least=2, budget=budget).p50
            found.append(ProductSpeed(kernel, threads, rows, cols, speed, speed / roof, macs))
    return found
