"""Tokens per second that a board should reach: computed from counted instructions, never measured.

    compute   = cores in use * clock * instructions per cycle / instructions per token
    bandwidth = measured read bandwidth / bytes that a token reads
    expected  = the smaller of the two

Instructions are exact counts of this engine's kernels (boards/counts/*.json);
bandwidth is a published measurement; instructions per cycle are assumed, board by board. All cores
are taken to share the work without loss, so the figure is what a quiet, cool board comes near to.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bankai_edge._facts import GROUP
from bankai_edge.boards.fit import fits, plan
from bankai_edge.boards.schema import Board
from bankai_edge.defaults import MAX_THREADS, SMALL_MODEL_BYTES
from bankai_edge.shapes import ModelShape, q1_bytes

HERE = Path(__file__).resolve().parent
COUNTS = (HERE / "counts", HERE.parent.parent / "boards/counts")  # installed; in a checkout
POSITION = 32  # tokens that attention looks back over: the middle of a run of 64
LEAST_CONTEXT = 48  # tokens: where not even so many fit, no speed is of interest
CORTEX_M = {"Cortex-M4F": "m4", "Cortex-M7": "m7", "Cortex-M55": "m55"}  # as counted


@dataclass(frozen=True)
class Expected:
    """One model on one board with `threads`; tokens per second, never measured."""

    board: str
    model: str
    threads: int
    instructions: int  # of one token
    bytes_read: int
    compute: float
    bandwidth: float | None  # None: no measurement is known, or memory is no limit there
    assumptions: tuple[str, ...]

    @property
    def tokens_per_s(self) -> float:
        """The smaller bound."""
        return self.compute if self.bandwidth is None else min(self.compute, self.bandwidth)

    @property
    def bound(self) -> str:
        """Which of the two it is."""
        return "compute" if self.tokens_per_s == self.compute else "bandwidth"

    def as_json(self) -> dict[str, Any]:
        """Plain values; says that it is computed."""
        return {
            "status": "computed",
            **asdict(self),
            "tokens_per_s": self.tokens_per_s,
            "bound": self.bound,
        }


@cache
def _counts(name: str) -> dict[str, Any]:
    for folder in COUNTS:
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
    return {}


def instructions_per_token(shape: ModelShape, kernel: str, position: int = POSITION) -> int | None:
    """Instructions of one decoded token on aarch64; None for a kernel that was not counted.

    Products per 128 weights over whole rows (scales, quantising and tables included), vectors per
    element; look-ups of the embedding and the choice of a token are left out (under 1 %).
    """
    table = _counts("instructions.json")
    if kernel not in table:
        return None
    products = {k: v for k, v in table[kernel].items() if k.startswith("gemv") and ":" not in k}
    vectors = table["scalar vectors" if kernel == "scalar" else "neon vectors"]
    heads = shape.heads + shape.kv_heads
    normed = (2 * shape.layers + 1) * shape.hidden + shape.layers * heads * shape.head_dim
    total = shape.multiplied_weights / GROUP * sum(products.values()) / len(products)
    total += vectors["rms_norm 2048"] * normed
    total += vectors["silu_mul 6144"] * shape.layers * shape.ffn
    total += vectors["attend 1024x128"] * shape.layers * shape.heads * shape.head_dim * position
    return int(total)


def expect(board: Board, shape: ModelShape, threads: int | None = None) -> Expected | None:
    """What one model should reach on a board; None where counts or assumptions are missing, or
    where the model does not fit. Without `threads`, the number that is the fastest."""
    cpu, memory = board.cpu, board.memory
    if cpu is None or memory is None or not cpu.ipc or not cpu.mhz:
        return None
    if not fits(board, shape, LEAST_CONTEXT).ok:
        return None
    packed = plan(board, shape)["packed"]
    small = board.kind == "linux" and packed < SMALL_MODEL_BYTES
    if threads is None:
        most = 1 if board.kind != "linux" or small else min(cpu.cores, MAX_THREADS)
        found = [expect(board, shape, n) for n in (1, 2, 4) if n <= most]
        return max((e for e in found if e), key=lambda e: e.tokens_per_s, default=None)
    if board.kind == "linux":
        instructions = instructions_per_token(shape, cpu.kernel)
    else:
        instructions = cortex_m_instructions(board, shape)
    if instructions is None:
        return None
    read = (packed or q1_bytes(shape.multiplied_weights)) + shape.kv_bytes_per_token * POSITION
    speed = board.bandwidth.at(threads) if board.bandwidth and not small else None
    return Expected(
        board=board.id,
        model=shape.name,
        threads=threads,
        instructions=instructions,
        bytes_read=read,
        compute=threads * cpu.mhz * 1e6 * cpu.ipc / instructions,
        bandwidth=speed / read if speed else None,
        assumptions=_assumptions(board, threads, small),
    )


def _assumptions(board: Board, threads: int, small: bool) -> tuple[str, ...]:
    assert board.cpu is not None
    cpu = board.cpu
    said = [f"{cpu.mhz} MHz, {cpu.ipc:g} instructions per cycle and core ({cpu.ipc_from})"]
    if threads > 1:
        said.append(f"{threads} cores share the work without loss")
    if small:
        said.append("a model of less than 16 MiB stays in the caches")
    elif board.bandwidth is None:
        said.append("reading weights costs nothing beyond its instructions")
    else:
        measured = board.bandwidth.threads_at(threads)
        said.append(
            f"{board.bandwidth.at(threads) / 1e9:g} GB/s ({board.bandwidth.what}; "
            f"{measured} thread{'s' * (measured > 1)})"
        )
    return tuple(said)


def cortex_m_instructions(board: Board, shape: ModelShape) -> int | None:
    """Counted instructions of one token of the nano; None for other models and chips."""
    if board.cpu is None or shape.name != "nano":
        return None
    tokens = _counts("cortex_m.json").get(f"{CORTEX_M.get(board.cpu.name)} token", {})
    columns = board.cpu.lookup_columns
    kernel = board.cpu.kernel + (f", tables of {columns} columns" if columns else "")
    value = tokens.get(kernel)
    return None if value is None else int(value)
