"""All measurements of one model on this machine, in the order in which they are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bankai_edge import _engine
from bankai_edge.bench.bandwidth import ReadSpeed, read_bandwidth, sweep
from bankai_edge.bench.machine import (
    Machine,
    Memory,
    machine,
    memory,
    throttle_marks,
    throttle_notes,
)
from bankai_edge.bench.products import (
    KernelRow,
    ProductSpeed,
    kernel_rows,
    matrix_shapes,
    product_speeds,
)
from bankai_edge.bench.switching import SwitchSpeed, switch_speeds
from bankai_edge.bench.timing import Samples
from bankai_edge.bench.tokens import Runner, TokenSpeed, cold_start
from bankai_edge.boards.conditions import find_vcgencmd
from bankai_edge.defaults import BATCH
from bankai_edge.model import Model

PREFILLS, DECODES = (64, 512), 64
MEMORY_CTX = 2048


@dataclass(frozen=True)
class ModelRow:
    """What is measured: a name, its file's size, and how many weights it has."""

    name: str
    id: str
    file_bytes: int
    weights: int
    weight_bytes: int  # of all matrices that a token is multiplied by
    kernel: str
    load_s: float


@dataclass
class Measurements:
    """Everything that one run of the benchmark found; seconds and bytes throughout."""

    machine: Machine
    model: ModelRow
    kernels: list[KernelRow]
    bandwidth: list[ReadSpeed] = field(default_factory=list)
    roof: dict[int, float] = field(default_factory=dict)  # threads -> bytes/s at the model's size
    products: list[ProductSpeed] = field(default_factory=list)
    tokens: list[TokenSpeed] = field(default_factory=list)
    first_token: Samples | None = None
    switches: list[SwitchSpeed] = field(default_factory=list)
    memory: Memory | None = None  # before the first context is made
    memory_ctx: int = 0  # tokens of the context that state_bytes are for
    state_bytes: int = 0
    notes: list[str] = field(default_factory=list)
    after: Machine | None = None  # the same machine when everything had been measured

    @property
    def warnings(self) -> list[str]:
        """What slows the machine, before or after measuring; each once."""
        late = self.after.warnings if self.after else []
        return list(dict.fromkeys([*self.machine.warnings, *late]))

    def read_share(self, speed: TokenSpeed) -> float:
        """Decode's bytes of weights per second, as a share of the read bandwidth."""
        return speed.per_s * self.model.weight_bytes / self.roof[speed.threads]

    @property
    def over_weights_bytes(self) -> int:
        """Memory beside the weights with a full context; all of a state's pages counted."""
        return self.state_bytes + (self.memory.over_weights if self.memory else 0)

    def as_json(self) -> dict[str, Any]:
        """Plain values; microseconds, GB/s and tokens/s where people use them."""
        return {
            "machine": asdict(self.machine),
            "model": asdict(self.model),
            "kernels": [asdict(row) for row in self.kernels],
            "bandwidth": [
                {"threads": r.threads, "bytes": r.n_bytes, "gb_per_s": r.bytes_per_s / 1e9}
                for r in self.bandwidth
            ],
            "products": [
                {
                    "kernel": p.kernel,
                    "threads": p.threads,
                    "rows": p.rows,
                    "cols": p.cols,
                    "gb_per_s": p.bytes_per_s / 1e9,
                    "read_share": p.read_share,
                    "gemm_gmac_per_s": p.macs_per_s / 1e9 if p.macs_per_s else None,
                }
                for p in self.products
            ],
            "tests": [self._test_json(speed) for speed in self.tokens],
            "first_token_s": self.first_token.p50 if self.first_token else None,
            "switches": [
                {
                    "what": s.what,
                    "rows": s.rows,
                    "p50_us": s.switch.p50 * 1e6,
                    "p99_us": s.switch.quantile(0.99) * 1e6,
                    "decode_slowdown": s.slowdown,
                }
                for s in self.switches
            ],
            "memory": {
                "ctx": self.memory_ctx,
                "resident_bytes": self.memory.resident,
                "weights_bytes": self.memory.weights,
                "state_bytes": self.state_bytes,
                "over_weights_bytes": self.over_weights_bytes,
            }
            if self.memory
            else None,
            "notes": self.notes,
            "warnings": self.warnings,
            "after": asdict(self.after) if self.after else None,
        }

    def _test_json(self, speed: TokenSpeed) -> dict[str, Any]:
        steps = speed.per_token
        return {
            "threads": speed.threads,
            "test": speed.test,
            "tokens_per_s": speed.per_s,
            "spread": speed.spread,
            "rounds": len(speed.seconds.seconds),
            "p50_ms": (steps or speed.seconds).p50 * 1e3,
            "p95_ms": (steps or speed.seconds).quantile(0.95) * 1e3,
            "read_share": self.read_share(speed) if steps else None,
        }


def measure(
    path: Path,
    threads: Sequence[int],
    *,
    every_kernel: bool = False,
    budget: float = 1.0,
    say: Callable[[str], None] = lambda what: None,
) -> Measurements:
    """Measure everything about the model at `path`, `budget` seconds for each row of the table.

    `say` is told what comes next. Raises what opening the model raises.
    """
    vcgencmd = find_vcgencmd()
    here, marks = machine(vcgencmd=vcgencmd), throttle_marks()
    say("loading the model")
    start = time.perf_counter()
    model = Model(path, writable=True, threads=max(threads))
    found = Measurements(here, _model_row(model, time.perf_counter() - start), kernel_rows())
    _measure_memory(found, model)
    for n in threads:
        say(f"reading memory, {n} threads")
        found.bandwidth += sweep(n, budget=budget / 20)
        found.roof[n] = read_bandwidth(n, found.model.weight_bytes, budget=budget / 8)
    for n in threads:
        say(f"tokens, {n} threads")
        found.tokens += _token_speeds(model, _pool(n), budget)
    say("switching patches")
    found.switches = switch_speeds(model, budget=budget / 3)
    names = [k.name for k in found.kernels if k.runs] if every_kernel else [model.core.kernel]
    for n in threads:
        say(f"products, {n} threads")
        shapes = matrix_shapes(model.core)
        found.products += product_speeds(names, shapes, n, budget=budget / 20)
    say("starting afresh")
    found.first_token = cold_start(path, max(threads))
    found.after = machine(kernel=model.core.kernel, vcgencmd=vcgencmd)
    seen = throttle_notes(marks, throttle_marks())
    found.notes = [*here.notes, *(note for note in seen if not note.startswith("Raspberry Pi"))]
    return found


def _pool(threads: int) -> _engine.Pool | None:
    return _engine.Pool(threads) if threads > 1 else None


def _model_row(model: Model, load_s: float) -> ModelRow:
    weights = weight_bytes = 0
    names = {name for name, *_ in model.core.tensors()}
    for name, _, dims, _, n_bytes in model.core.tensors():
        count = 1
        for dim in dims:
            count *= dim
        weights += count
        # of a separate embedding a token reads one row only
        if len(dims) > 1 and not (name == "token_embd.weight" and "output.weight" in names):
            weight_bytes += n_bytes
    return ModelRow(
        name=model.name,
        id=model.id.hex(),
        file_bytes=model.path.stat().st_size,
        weights=weights,
        weight_bytes=weight_bytes,
        kernel=model.core.kernel,
        load_s=load_s,
    )


def _token_speeds(model: Model, pool: _engine.Pool | None, budget: float) -> list[TokenSpeed]:
    """Prefills and decode, each at most as long as the model's context."""
    limit = min(model.shape.context, max(*PREFILLS, DECODES))
    runner = Runner(model.core, pool, limit)
    lengths = sorted({min(n, limit) for n in PREFILLS})
    found = [runner.prefill(n, budget=budget) for n in lengths]
    return [*found, runner.decode(min(DECODES, limit), budget=budget)]


def _measure_memory(found: Measurements, model: Model) -> None:
    """Resident memory with the tokenizer in use, and what a full context adds to it."""
    ctx = min(MEMORY_CTX, model.shape.context)
    model.tokenizer.encode("1")
    found.memory = memory(model.core.packed_bytes, model.path)
    found.memory_ctx = ctx
    found.state_bytes = _engine.State(model.core, ctx, BATCH, model.pool).n_bytes
