"""What the core knows without a model: its errors, its limits, the name rule, Q1_0's numbers."""

from enum import IntEnum

from libc.stdint cimport uint32_t

cdef extern from "bk_error.h":
    const char *bk_error_name(int error)
    const char *bk_error_text(int error)
    int bk_error_at(uint32_t index)

cdef extern from "bk_gguf.h":
    enum: BK_TYPE_F32, BK_TYPE_F16, BK_TYPE_BF16, BK_TYPE_Q1_0

cdef extern from "bk_q1.h":
    enum: BK_Q1_COLS, BK_Q1_BYTES, BK_Q1_BITS_AT

cdef extern from "bk_config.h":
    enum: BK_MAX_ACTIVE, BK_NAME_MAX

cdef extern from "bk_name.h":
    bint bk_name_ok(const char *name, size_t n)


cdef dict _errors():
    found = {}
    while bk_error_at(<uint32_t>len(found)):
        number = bk_error_at(<uint32_t>len(found))
        found[bk_error_name(number).decode("ascii")] = number
    return found


Err = IntEnum("Err", _errors(), module=__name__)
F32, F16, BF16, Q1_0 = BK_TYPE_F32, BK_TYPE_F16, BK_TYPE_BF16, BK_TYPE_Q1_0
GROUP, GROUP_BYTES, GROUP_BITS_AT = BK_Q1_COLS, BK_Q1_BYTES, BK_Q1_BITS_AT
MAX_ACTIVE, NAME_MAX = BK_MAX_ACTIVE, BK_NAME_MAX
NAME_RULE = f"1 to {NAME_MAX} of a-z 0-9 . _ - that start with a letter or digit"


def error_text(int error):
    """What is wrong with the thing refused, as the words that follow its name."""
    return bk_error_text(error).decode("ascii")


def name_ok(str name not None):
    """Whether a patch or a key may be called so."""
    data = name.encode("utf-8", "surrogatepass")
    return bk_name_ok(data, <size_t>len(data))
