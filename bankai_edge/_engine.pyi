"""The core's model and forward pass (cython_ext/bind/_engine.pyx)."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

def kernels() -> list[tuple[str, str, bool, str]]:
    """Name, family, whether this CPU runs it, what it needs; the fastest first."""

def gguf_entries(buffer: Buffer) -> list[tuple[str, int, bytes]]:
    """Key, type id and raw value of every key/value of a GGUF, whatever its tensors are.

    Raises `CoreError` when the bytes are no such file.
    """

class Pool:
    """Threads that share one computation; a second caller waits for the first."""

    threads: int
    def __init__(self, threads: int) -> None: ...

class _Overlay(Protocol):
    def capsule(self) -> object: ...

class Model:
    """A GGUF's weights, as views into `buffer`.

    Raises `CoreError` when the bytes are no such model; `writable` allows in-place flips and needs
    a writable buffer.
    """

    def __init__(self, buffer: Buffer, writable: bool = False) -> None: ...
    packed_bytes: int
    def capsule(self) -> object: ...
    def pack(self, kernel: str, pool: Pool | None = None, writable: bool = False) -> None:
        """Run on this kernel from its own layout; `ValueError` when this CPU cannot."""
    def needs(self, kernel: str, ctx: int, batch: int = 32, threads: int = 1) -> tuple[int, int]:
        """Bytes of packed weights and of a state on this kernel; nothing is allocated."""
    def pack_intact(self) -> bool:
        """Whether the packed weights are, to the byte, what the buffer's weights give."""
    def packed(self) -> memoryview | None: ...
    @property
    def kernel(self) -> str: ...
    @property
    def id(self) -> bytes: ...
    def text(self, key: str) -> str:
        """The header's text of this key, or ""."""
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> dict[str, Any]: ...
    @property
    def rope(self) -> tuple[list[float], float]:
        """Turns per position of every frequency [head_dim / 2], and the magnitude factor."""
    def tensors(self) -> list[tuple[str, int, tuple[int, ...], int, int]]:
        """Name, type, dimensions, offset in the buffer and bytes of every tensor."""

class State:
    """KV cache and activations of one conversation; `batch` tokens per step of prefill."""

    n_bytes: int
    def __init__(
        self, model: Model, ctx: int, batch: int = 32, pool: Pool | None = None
    ) -> None: ...
    @property
    def ctx(self) -> int: ...
    @property
    def pos(self) -> int: ...
    def truncate(self, pos: int) -> None: ...
    def set_overlay(self, overlay: _Overlay | None) -> None: ...
    def forward(self, tokens: NDArray[np.int32], logits: NDArray[np.float32] | None) -> None:
        """Append int32 tokens [n]; float32 logits [vocab] of the last one, unless None."""
    def forward_all(self, tokens: NDArray[np.int32], logits: NDArray[np.float32]) -> None:
        """Append int32 tokens [n]; float32 logits [n * vocab]."""

def read_probes(
    state: State,
    at: NDArray[np.uint32],
    tokens: NDArray[np.int32],
    nodes: NDArray[np.uint32],
    same: NDArray[np.uint32],
    n_answer: NDArray[np.uint32],
    rival: NDArray[np.int32],
    chosen: NDArray[np.uint32],
    layer: int,
    taps: NDArray[np.float32] | None,
    fill: bool,
    scores: NDArray[np.float64],
) -> None:
    """Teacher-forced `scores` [3, chosen]: log-probability, least margin, gap to the rival.

    Probe i is tokens[at[i]:at[i + 1]], the last n_answer[i] of them its answer, in sorted order;
    `same` counts the leading ones shared with the probe before, `nodes` names each position's row
    in `taps` [layers, nodes, hidden]. From `layer` on, with what enters it from `taps`; or, with
    `fill`, writing `taps` of every later layer.
    """

class Products:
    """One matrix (`blocks`: Q1_0 rows) in one kernel's layout, for timing its products."""

    weight_bytes: int
    vectors: int
    def __init__(
        self,
        kernel: str,
        blocks: Buffer,
        rows: int,
        cols: int,
        vectors: int = 1,
        pool: Pool | None = None,
    ) -> None: ...
    def run(self, times: int = 1) -> None: ...

def read_all(data: Buffer, pool: Pool | None = None, times: int = 1) -> None:
    """Read every whole cache line of `data` with all threads, `times` times."""
