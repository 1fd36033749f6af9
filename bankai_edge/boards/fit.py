"""Does a model fit on a board: the core's memory plan, and what the board has for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bankai_edge._facts import memory_plan
from bankai_edge.boards.schema import Board
from bankai_edge.defaults import BATCH, MAX_THREADS
from bankai_edge.errors import BankaiError, IncompatibleError, UsageError
from bankai_edge.shapes import ModelShape

if TYPE_CHECKING:
    from bankai_edge._facts import Plan

# The interpreter with NumPy, engine and agent (37 MB resident); then the tokenizer's tables and the
# text that they point to, per token of the vocabulary (91 bytes). Measured on x86-64, rounded up.
PROCESS_BYTES, TOKENIZER_BYTES = 48 << 20, 96
PAGES_SHARE = 64  # of a Linux board's RAM: 64 bytes of the kernel's for every 4 KiB page
HEADER_BYTES = 40  # of a file, per token of the vocabulary: texts, types, merges


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


def plan(board: Board, shape: ModelShape, ctx: int = 1, batch: int = 1, threads: int = 1) -> Plan:
    """The core's plan for the board's expected kernel, with tables as large as its port's."""
    assert board.cpu is not None
    return memory_plan(
        shape.counts, board.cpu.kernel, ctx, batch, threads, board.cpu.lookup_columns
    )


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
    if board.kind == "linux":
        planned = plan(board, shape, ctx, BATCH, min(board.cpu.cores, MAX_THREADS))
        weights = planned["packed"] or file_bytes
        reserved = memory.reserved + ram // PAGES_SHARE
        others = PROCESS_BYTES + TOKENIZER_BYTES * shape.vocab
    else:
        planned = plan(board, shape, ctx)
        reserved = memory.reserved
        weights = 0 if memory.weights == "flash" else file_bytes
        others = planned["tokenizer"] + planned["logits"]
    return Fit(
        board=board.id,
        model=shape.name,
        ctx=ctx,
        ram=ram,
        needed=weights + planned["state"] + others,
        available=max(0, ram - reserved),
        weights=weights,
        kv=planned["cache"],
        buffers=planned["state"] - planned["cache"] + others,
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
