"""Does a model fit on a board: the core's own memory plan, computed from the shape alone.

The sizes are those of bk_state.c (`lay_out`) and of each kernel's `packed_bytes` and `act_bytes`;
tests/boards/test_boards.py compares them with what the engine says, to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bankai_edge._facts import GROUP, GROUP_BYTES
from bankai_edge.boards.schema import Board
from bankai_edge.errors import BankaiError, IncompatibleError, UsageError
from bankai_edge.shapes import ModelShape

LINUX_BATCH, MAX_THREADS = 64, 4  # tokens per step of prefill; threads by default
FIRMWARE_BATCH = 1
# The interpreter with NumPy, engine and agent (37 MB resident); then the tokenizer's tables and the
# text that they point to, per token of the vocabulary (91 bytes). Measured on x86-64, rounded up.
PROCESS_BYTES, TOKENIZER_BYTES = 48 << 20, 96
PAGES_SHARE = 64  # of a Linux board's RAM: 64 bytes of the kernel's for every 4 KiB page
HEADER_BYTES = 40  # of a file, per token of the vocabulary: texts, types, merges


@dataclass(frozen=True)
class Layout:
    """A kernel's own copy of the weights: rows are padded to whole tiles (0: it reads the file's
    layout); `tables` are bytes that it adds to each 128 quantised activations, for at most `panel`
    times 128 of them; `own` bytes it adds once."""

    tile: int
    tables: int = 0
    panel: int = 1 << 31
    own: int = 0

    def matrix_bytes(self, rows: int, cols: int) -> int:
        """Bytes of one packed matrix."""
        if not self.tile:
            return 0
        tiles = -(-rows // self.tile)
        return _round64(tiles * self.tile * (cols // GROUP) * GROUP_BYTES)

    def act_bytes(self, cols: int) -> int:
        """Bytes of one quantised vector."""
        blocks = cols // GROUP
        tables = self.own + min(blocks, self.panel) * self.tables
        return _round64(_round64(cols + blocks * 8) + tables)


LAYOUTS = {
    "avx512-lut": Layout(128, 2048),
    "avx512-vnni": Layout(128),
    "avx512-popcount": Layout(128, 256),
    "avx2-lut": Layout(32, 1024),
    "avx2-maddubs": Layout(32),
    "neon-lut": Layout(32, 1026),
    "neon-sdot": Layout(16),
    "neon-popcount": Layout(16, 128),
    "scalar": Layout(0),
    "dsp": Layout(0, 8192, panel=2, own=64),
    "mve": Layout(0, 8192, panel=2, own=64),
}


@dataclass(frozen=True)
class Fit:
    """One model on one board: bytes that it needs, and bytes that are there for it.

    `needed` and `available` are of RAM; `flash_needed` and `flash_available` are 0 where the
    weights do not stay in flash.
    """

    board: str
    model: str
    ctx: int
    ram: int
    needed: int
    available: int
    weights: int  # of needed
    kv: int
    buffers: int
    flash_needed: int = 0
    flash_available: int = 0

    @property
    def ok(self) -> bool:
        """Whether it fits, in RAM and in flash."""
        return self.needed <= self.available and self.flash_needed <= self.flash_available

    def check(self) -> None:
        """Raises IncompatibleError (exit 4) with both figures when it does not fit."""
        if self.flash_needed > self.flash_available:
            raise IncompatibleError(
                f"{self.model} needs {size(self.flash_needed)} of flash, and {self.board} has "
                f"{size(self.flash_available)} for it",
                next_step="Choose a smaller model or another board (bankai-edge boards)",
            )
        if self.needed > self.available:
            raise IncompatibleError(
                f"{self.model} needs {size(self.needed)} at a context of {self.ctx:,} tokens, and "
                f"{self.board} with {size(self.ram)} has {size(self.available)} for it",
                next_step="Choose a smaller context or model, or another board "
                "(bankai-edge boards show)",
            )


def size(n_bytes: int) -> str:
    """A number of bytes for people, to a tenth: exact where it is a round one."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:,.{0 if n_bytes % scale == 0 else 1}f} {unit}"
    return f"{n_bytes} bytes"


def layout_of(board: Board) -> Layout:
    """The layout of the board's expected kernel, with tables as large as its port builds them."""
    assert board.cpu is not None
    layout = LAYOUTS[board.cpu.kernel]
    if board.cpu.lookup_columns:
        layout = replace(layout, panel=board.cpu.lookup_columns // GROUP)
    return layout


def packed_bytes(shape: ModelShape, layout: Layout) -> int:
    """Bytes of a kernel's own copy of all matrices; 0 when it reads the file's layout."""
    layer = sum(layout.matrix_bytes(rows, cols) for rows, cols in shape.layer_matrices)
    return shape.layers * layer + layout.matrix_bytes(*shape.head)


def state_bytes(shape: ModelShape, layout: Layout, ctx: int, batch: int, threads: int) -> int:
    """Bytes of one conversation: KV cache, activations, scores (bk_state_bytes)."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    widest = max(shape.hidden, shape.ffn, q)
    pieces = (
        shape.kv_bytes_per_token // 2 * ctx, shape.kv_bytes_per_token // 2 * ctx,
        batch * shape.hidden * 4, batch * max(shape.hidden, q) * 4,
        batch * max(shape.hidden, q + 2 * kv) * 4, batch * shape.ffn * 4, batch * shape.ffn * 4,
        threads * ((ctx + 15) // 16 * 16) * 4, batch * shape.head_dim * 4,
        batch * layout.act_bytes(widest),
    )  # fmt: skip
    return sum(_round64(n) for n in pieces)


def fits(
    board: Board, shape: ModelShape, ctx: int, *, ram: int | None = None,
    file_bytes: int | None = None,
) -> Fit:  # fmt: skip
    """What a model needs on a board at a context of `ctx` tokens, and what is there for it.

    `ram` is one of the sizes (bytes) that the board is sold with; the largest is assumed.
    `file_bytes` is the model file's real size, where it is known.

    Raises:
        UsageError: a context that the model does not have, or a size that the board has not.
        BankaiError: the board is only a serial port.
    """
    if board.memory is None or board.cpu is None:
        raise BankaiError(f"{board.id} is a serial port, of whose memory nothing is known")
    if not 1 <= ctx <= shape.context:
        raise UsageError(
            f"a context of {ctx} tokens", expected=f"1 to {shape.context} for {shape.name}"
        )
    memory = board.memory
    if ram is not None and ram not in memory.ram:
        sizes = ", ".join(size(n) for n in memory.ram)
        raise UsageError(f"{board.id} with {size(ram)} of RAM", expected=f"one of {sizes}")
    ram = ram or memory.ram[-1]
    file_bytes = file_bytes or shape.file_bytes + HEADER_BYTES * shape.vocab
    layout = layout_of(board)
    if board.kind == "linux":
        threads = min(board.cpu.cores, MAX_THREADS)
        state = state_bytes(shape, layout, ctx, LINUX_BATCH, threads)
        weights = packed_bytes(shape, layout) or file_bytes
        reserved = memory.reserved + ram // PAGES_SHARE
        others = PROCESS_BYTES + TOKENIZER_BYTES * shape.vocab
    else:
        state = state_bytes(shape, layout, ctx, FIRMWARE_BATCH, 1)
        reserved = memory.reserved
        weights = 0 if memory.weights == "flash" else file_bytes
        others = 17 * shape.vocab  # the tokenizer's tables, 13 bytes a token; logits
    kv = shape.kv_bytes_per_token * ctx
    return Fit(
        board=board.id,
        model=shape.name,
        ctx=ctx,
        ram=ram,
        needed=weights + state + others,
        available=max(0, ram - reserved),
        weights=weights,
        kv=kv,
        buffers=state - kv + others,
        flash_needed=file_bytes if memory.weights == "flash" else 0,
        flash_available=max(0, memory.flash - memory.program) if memory.weights == "flash" else 0,
    )


def sizes_that_fit(board: Board, shape: ModelShape, ctx: int) -> tuple[int, ...]:
    """The sizes of RAM, of those that the board is sold with, on which the model fits."""
    assert board.memory is not None
    return tuple(ram for ram in board.memory.ram if fits(board, shape, ctx, ram=ram).ok)


def largest_context(board: Board, shape: ModelShape, *, ram: int | None = None) -> int:
    """The largest context in tokens with which the model fits; 0 when it fits with none."""
    low, high = 0, shape.context
    while low < high:
        middle = (low + high + 1) // 2
        if fits(board, shape, middle, ram=ram).ok:
            low = middle
        else:
            high = middle - 1
    return low


def _round64(n: int) -> int:
    return (n + 63) // 64 * 64
