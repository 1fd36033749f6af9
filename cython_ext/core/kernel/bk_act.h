/* bk_act.h: what every kernel's quantised vector starts with, and the plain C that makes it.
 *
 * int8 q [cols], then {scale, sum of q} [cols / 128]. A kernel may fill it with its own
 * instructions (the result is fixed to the bit); shadow rows are computed from it alone.
 */
#ifndef BK_ACT_H
#define BK_ACT_H

#include <stdbool.h>

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

/* The greatest |x| of 128; a NaN is never greater. */
static inline float bk_act_amax(const float *x) {
    float amax = 0.0f;
    for (uint32_t j = 0; j < BK_Q1_COLS; j++) {
        float a = bk_float_from_bits(bk_float_bits(x[j]) & 0x7fffffff);
        if (a > amax) amax = a;
    }
    return amax;
}

/* ---- the same with an instruction set's own pieces ---- */

/* amax_of: as bk_act_amax; round_block: 128 q = round-half-even(x * inverse), returns their sum. */
static inline __attribute__((always_inline)) void bk_act_quantise_with(
    const float *x, uint32_t cols, void *act, float (*amax_of)(const float *x),
    int32_t (*round_block)(const float *x, float inverse, int8_t *q)) {
    int8_t *q = act;
    bk_act_block *blocks = bk_act_blocks(act, cols);
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, x += BK_Q1_COLS, q += BK_Q1_COLS) {
        float amax = amax_of(x);
        bool usable = amax > 1e-30f && amax < 3e38f; /* else 127/amax would overflow or vanish */
        float inverse = usable ? 127.0f / amax : 0.0f;
        blocks[b].scale = usable ? amax / 127.0f : 0.0f;
        blocks[b].sum = round_block(x, inverse, q);
    }
}

/* masked_sum: of the 128 q whose bit is set; from_f16: as bk_fp16_to_f32. */
static inline __attribute__((always_inline)) float bk_act_row_with(
    const uint8_t *blocks, uint32_t cols, const void *act,
    int32_t (*masked_sum)(const uint8_t *bits, const int8_t *q), float (*from_f16)(uint16_t half)) {
    const int8_t *q = act;
    const bk_act_block *info = bk_act_blocks(act, cols);
    float y = 0.0f;
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, blocks += BK_Q1_BYTES, q += BK_Q1_COLS) {
        int32_t dot = 2 * masked_sum(blocks + BK_Q1_BITS_AT, q) - info[b].sum;
        y = y + (float)dot * (from_f16(bk_load16_le(blocks)) * info[b].scale);
    }
    return y;
}

#endif
