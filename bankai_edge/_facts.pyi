"""What the core knows without a model (cython_ext/bind/_facts.pyx); imports no NumPy."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, TypeAlias, TypedDict

class Err(IntEnum):
    """The core's errors (bk_error.h), by name; a `CoreError` has one as its code."""

    TRUNCATED = ...
    MAGIC = ...
    VERSION = ...
    MALFORMED = ...
    TENSOR_TYPE = ...
    MISSING = ...
    SHAPE = ...
    ARCH = ...
    LIMIT = ...
    TOKENIZER = ...
    MEMORY = ...
    CONTEXT = ...
    TOKEN = ...
    ARGUMENT = ...
    PATCH_MODEL = ...
    PATCH_UNBOUND = ...
    PATCH_RANGE = ...
    PATCH_CRC = ...
    PATCH_SIGNED = ...
    READ_ONLY = ...
    FRAME = ...

def error_text(error: int) -> str:
    """What is wrong with the thing refused, as the words that follow its name."""

F32: Final[int]
F16: Final[int]
BF16: Final[int]
Q1_0: Final[int]  # types of tensors in a GGUF

GROUP: Final[int]  # weights of Q1_0 that share one scale
GROUP_BYTES: Final[int]  # its scale and their bits
GROUP_BITS_AT: Final[int]  # where in them the bits start

PROJECTIONS: Final[tuple[str, ...]]  # of a layer, in the order of their numbers: q_proj, ...
TENSORS: Final[tuple[str, ...]]  # the same as a GGUF calls them: attn_q, ...

FLIPS_BITS: Final[int]  # rows, columns and counts of a flip stream stay below 2**this
FLIPS_SECTIONS: Final[int]  # layers times projections, at most
FLIPS_BYTES: Final[int]  # of a stream, at most

MAX_ACTIVE: Final[int]  # patches active at once

NAME_MAX: Final[int]  # characters of a name
NAME_RULE: Final[str]  # what a name may be, for people

def name_ok(name: str) -> bool:
    """Whether a patch or a key may be called so: [a-z0-9][a-z0-9._-]{0,31}."""

Counts: TypeAlias = Sequence[int]
"""Of a shape: layers, hidden, ffn, heads, kv heads, head dimension, vocabulary."""

class Plan(TypedDict):
    """Bytes: a kernel's own copy of the matrices (0: it reads the file's), one conversation's
    state, the cache in it, the tokenizer's tables (about), one token's logits."""

    packed: int
    state: int
    cache: int
    tokenizer: int
    logits: int

def memory_plan(
    counts: Counts, kernel: str, ctx: int, batch: int = 1, threads: int = 1, panel: int = 0
) -> Plan:
    """What a model of this shape takes on a kernel, which need not run here.

    `panel`: columns whose look-up tables a Cortex-M's port keeps, where not the default's.
    """

def kernel_bytes(kernel: str, rows: int, cols: int, panel: int = 0) -> tuple[int, int]:
    """Bytes of one quantised vector, and of a kernel's own copy of one matrix."""
