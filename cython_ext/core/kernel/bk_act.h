/* bk_act.h: what every kernel's quantised vector starts with, and the plain C that makes it.
 *
 * int8 q [cols], then {scale, sum of q} [cols / 128]. A kernel may fill it with its own
 * instructions (the result is fixed to the bit); shadow rows are computed from it alone.
 */
#ifndef BK_ACT_H
#define BK_ACT_H

#include "bk_q1.h"

typedef struct {
    float scale; /* one quantum */
    int32_t sum; /* of the block's 128 q */
} bk_act_block;

static inline size_t bk_act_plain_bytes(uint32_t cols) {
    size_t n = cols + (size_t)(cols / BK_Q1_COLS) * sizeof(bk_act_block);
    return (n + 63) & ~(size_t)63;
}

static inline bk_act_block *bk_act_blocks(const void *act, uint32_t cols) {
    return (bk_act_block *)(uintptr_t)((const int8_t *)act + cols);
}

/* Fill the common part from x [cols]. */
void bk_act_quantise(const float *x, uint32_t cols, void *act);

/* y of one row given by its file blocks. */
float bk_act_row(const uint8_t *blocks, uint32_t cols, const void *act);

#endif
