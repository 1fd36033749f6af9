"""How much memory a model needs at a given context, told before any of it is taken."""

from __future__ import annotations

from dataclasses import dataclass

from bankai_edge import _engine
from bankai_edge._facts import Q1_0, memory_plan
from bankai_edge.defaults import BATCH
from bankai_edge.errors import UsageError
from bankai_edge.model.weights import shape_of


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of each part; `read_bytes` are the weights that one token reads."""

    ctx: int
    file_bytes: int
    packed_bytes: int  # 0 when the kernel reads the file's own layout
    kv_bytes: int
    buffer_bytes: int
    read_bytes: int

    @property
    def weight_bytes(self) -> int:
        """What stays in memory of the weights: the copy, or the mapped file."""
        return self.packed_bytes or self.file_bytes

    @property
    def total_bytes(self) -> int:
        """Weights, cache and buffers; without Python and the tokenizer's tables."""
        return self.weight_bytes + self.kv_bytes + self.buffer_bytes

    def tokens_per_s(self, bandwidth: float, *, full: bool = False) -> float:
        """Decode at best, reading `bandwidth` bytes/s; `full`: with the whole cache to read."""
        return bandwidth / (self.read_bytes + (self.kv_bytes if full else 0))


def memory_need(
    core: _engine.Model, file_bytes: int, kernel: str, ctx: int, threads: int
) -> MemoryNeed:
    """What `Model` and `Session` will take.

    Raises:
        UsageError: a context that the model does not have.
    """
    most = core.shape["context"]
    if not 1 <= ctx <= most:
        raise UsageError(f"a context of {ctx} tokens", expected=f"1 to {most} for this model")
    packed, state = core.needs(kernel, ctx, BATCH, threads)
    kv = memory_plan(shape_of(core).counts, kernel, ctx, BATCH, threads)["cache"]
    tensors = {name: (kind, n) for name, kind, _, _, n in core.tensors()}
    if "output.weight" in tensors:
        del tensors["token_embd.weight"]  # of which a token reads one row
    read = sum(n for kind, n in tensors.values() if kind != Q1_0 or not packed)
    return MemoryNeed(ctx, file_bytes, packed, kv, state - kv, read + packed)
