"""Shapes of models: what memory and speed are computed from, and what can be written.

Counts of the published files (docs of their publisher). Nothing here opens a model.
"""

from __future__ import annotations

from dataclasses import dataclass

from bankai_edge._facts import GROUP, GROUP_BYTES
from bankai_edge.errors import UsageError


def q1_bytes(weights: int) -> int:
    """Bytes of so many weights in Q1_0."""
    return weights // GROUP * GROUP_BYTES


@dataclass(frozen=True)
class ModelShape:
    """What decides a model's tensors; counts, except `yarn` (factor, original context)."""

    name: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    tied: bool = True  # the head is the embedding
    yarn: tuple[float, int] | None = None
    rope_base: float = 1e6

    def checked(self) -> ModelShape:
        """Itself; raises UsageError when no such model can be."""
        for field in ("hidden", "ffn"):
            if getattr(self, field) % GROUP or getattr(self, field) <= 0:
                raise UsageError(
                    f"{field} {getattr(self, field)}", expected=f"a multiple of {GROUP}"
                )
        if self.heads * self.head_dim % GROUP or self.head_dim % 2:
            raise UsageError(
                f"{self.heads} heads of {self.head_dim}",
                expected=f"an even head dimension, and together a multiple of {GROUP}",
            )
        if not 0 < self.kv_heads <= self.heads or self.heads % self.kv_heads:
            raise UsageError(f"{self.kv_heads} kv heads", expected=f"a divisor of {self.heads}")
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """What the core plans memory by."""
        return (
            self.layers, self.hidden, self.ffn, self.heads, self.kv_heads, self.head_dim,
            self.vocab,
        )  # fmt: skip

    @property
    def layer_matrices(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of one layer's seven projections: q, k, v, o, gate, up, down."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return (
            (q, self.hidden), (kv, self.hidden), (kv, self.hidden), (self.hidden, q),
            (self.ffn, self.hidden), (self.ffn, self.hidden), (self.hidden, self.ffn),
        )  # fmt: skip

    @property
    def head(self) -> tuple[int, int]:
        """(rows, columns) of the matrix that makes logits."""
        return self.vocab, self.hidden

    @property
    def multiplied_weights(self) -> int:
        """Weights that one token is multiplied by: all layers and the head."""
        layer = sum(rows * cols for rows, cols in self.layer_matrices)
        return self.layers * layer + self.vocab * self.hidden

    @property
    def file_bytes(self) -> int:
        """Bytes of all tensors in a file; its header and tokenizer (megabytes) come on top."""
        embedding = 0 if self.tied else self.vocab * self.hidden
        norms = self.layers * 2 * (self.hidden + self.head_dim) + self.hidden
        return q1_bytes(self.multiplied_weights + embedding) + 4 * norms

    @property
    def kv_bytes_per_token(self) -> int:
        """A key and a value of every layer, in half floats."""
        return self.layers * self.kv_heads * self.head_dim * 2 * 2


NANO = ModelShape("nano", 6, 256, 768, 8, 2, 32, 512, 256)
BONSAI = (
    ModelShape("bonsai-0.6b", 28, 1024, 3072, 16, 8, 128, 151_669, 40_960),
    ModelShape("bonsai-1.7b", 28, 2048, 6144, 16, 8, 128, 151_669, 32_768, yarn=(4.0, 8192)),
    ModelShape("bonsai-4b", 36, 2560, 9728, 32, 8, 128, 151_669, 32_768, yarn=(4.0, 8192)),
    ModelShape("bonsai-8b", 36, 4096, 12288, 32, 8, 128, 151_669, 65_536, False, (4.0, 16384)),
)
SHAPES = {shape.name: shape for shape in (NANO, *BONSAI)}
