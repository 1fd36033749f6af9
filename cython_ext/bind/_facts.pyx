"""What the core knows without a model: its errors, its limits, the name rule, Q1_0's numbers."""

from enum import IntEnum

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "bk_error.h":
    const char *bk_error_name(int error)
    const char *bk_error_text(int error)
    int bk_error_at(uint32_t index)

cdef extern from "bk_gguf.h":
    enum: BK_TYPE_F32, BK_TYPE_F16, BK_TYPE_BF16, BK_TYPE_Q1_0

cdef extern from "bk_q1.h":
    enum: BK_Q1_COLS, BK_Q1_BYTES, BK_Q1_BITS_AT

cdef extern from "bk_flips.h":
    enum: BK_FLIPS_MAX_BITS, BK_FLIPS_MAX_SECTION, BK_FLIPS_MAX_BYTES

cdef extern from "bk_config.h":
    enum: BK_MAX_ACTIVE, BK_NAME_MAX

cdef extern from "bk_name.h":
    bint bk_name_ok(const char *name, size_t n)

cdef extern from "bk_plan.h":
    ctypedef struct bk_shape:
        uint32_t n_layers, hidden, ffn, n_heads, n_kv_heads, head_dim, vocab
    ctypedef struct bk_layout:
        uint32_t panel
    ctypedef struct bk_plan:
        uint64_t packed, state, cache, tokenizer, logits
    const bk_layout *bk_layout_of(const char *kernel)
    uint64_t bk_layout_packed_bytes(const bk_layout *layout, uint32_t rows, uint32_t cols)
    uint64_t bk_layout_act_bytes(const bk_layout *layout, uint32_t cols)
    int bk_plan_of(bk_plan *plan, const bk_shape *shape, const bk_layout *layout, uint32_t ctx,
                   uint32_t batch, uint32_t parts)


cdef extern from "bk_projection.h":
    enum: BK_N_PROJ
    const char *bk_projection_name(uint32_t projection)
    const char *bk_projection_tensor(uint32_t projection)


cdef dict _errors():
    found = {}
    while bk_error_at(<uint32_t>len(found)):
        number = bk_error_at(<uint32_t>len(found))
        found[bk_error_name(number).decode("ascii")] = number
    return found


Err = IntEnum("Err", _errors(), module=__name__)
F32, F16, BF16, Q1_0 = BK_TYPE_F32, BK_TYPE_F16, BK_TYPE_BF16, BK_TYPE_Q1_0
GROUP, GROUP_BYTES, GROUP_BITS_AT = BK_Q1_COLS, BK_Q1_BYTES, BK_Q1_BITS_AT
PROJECTIONS = tuple([bk_projection_name(i).decode("ascii") for i in range(BK_N_PROJ)])
TENSORS = tuple([bk_projection_tensor(i).decode("ascii") for i in range(BK_N_PROJ)])
FLIPS_BITS, FLIPS_SECTIONS, FLIPS_BYTES = (
    BK_FLIPS_MAX_BITS, BK_FLIPS_MAX_SECTION, BK_FLIPS_MAX_BYTES)
MAX_ACTIVE, NAME_MAX = BK_MAX_ACTIVE, BK_NAME_MAX
NAME_RULE = f"1 to {NAME_MAX} of a-z 0-9 . _ - that start with a letter or digit"


def error_text(int error):
    """What is wrong with the thing refused, as the words that follow its name."""
    return bk_error_text(error).decode("ascii")


def name_ok(str name not None):
    """Whether a patch or a key may be called so."""
    data = name.encode("utf-8", "surrogatepass")
    return bk_name_ok(data, <size_t>len(data))


cdef bk_layout _layout(str kernel, uint32_t panel) except *:
    cdef const bk_layout *found = bk_layout_of(kernel.encode())
    if found == NULL:
        raise ValueError(f"no kernel {kernel}")
    cdef bk_layout layout = found[0]
    if panel and layout.panel:
        layout.panel = panel
    return layout


def kernel_bytes(str kernel not None, uint32_t rows, uint32_t cols, uint32_t panel=0):
    """(bytes of one quantised vector, bytes of a kernel's own copy of one matrix)."""
    cdef bk_layout layout = _layout(kernel, panel)
    return bk_layout_act_bytes(&layout, cols), bk_layout_packed_bytes(&layout, rows, cols)


def memory_plan(counts not None, str kernel not None, uint32_t ctx, uint32_t batch=1,
                uint32_t threads=1, uint32_t panel=0):
    """Bytes by name of what a model of these counts takes on a kernel, which need not be here."""
    cdef bk_plan plan
    cdef bk_shape s
    (s.n_layers, s.hidden, s.ffn, s.n_heads, s.n_kv_heads, s.head_dim, s.vocab) = counts
    cdef bk_layout layout = _layout(kernel, panel)
    if bk_plan_of(&plan, &s, &layout, ctx, batch, threads):
        raise ValueError(f"no state of ctx {ctx}, batch {batch}")
    return plan
