/* bk_act.c: quantised activations and one row's product in plain C, eight weights at a time. */
#include "bk_act.h"

#include <stdbool.h>

#include "bk_fp16.h"

static void quantise_block(const float *x, int8_t *q, bk_act_block *block) {
    float amax = 0.0f;
    for (uint32_t j = 0; j < BK_Q1_COLS; j++) {
        float a = bk_float_from_bits(bk_float_bits(x[j]) & 0x7fffffff);
        if (a > amax) amax = a;
    }
    bool usable = amax > 1e-30f && amax < 3e38f; /* else 127/amax would overflow or vanish */
    float inverse = usable ? 127.0f / amax : 0.0f;
    int32_t sum = 0;
    for (uint32_t j = 0; j < BK_Q1_COLS; j++) {
        /* the mantissa of x*inverse + 1.5*2^23 ends in the rounded integer */
        uint32_t bits = bk_float_bits(x[j] * inverse + 12582912.0f);
        q[j] = (int8_t)(uint8_t)bits;
        sum += q[j];
    }
    block->scale = usable ? amax / 127.0f : 0.0f;
    block->sum = sum;
}

void bk_act_quantise(const float *x, uint32_t cols, void *act) {
    int8_t *q = act;
    bk_act_block *blocks = bk_act_blocks(act, cols);
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++)
        quantise_block(x + (size_t)b * BK_Q1_COLS, q + (size_t)b * BK_Q1_COLS, &blocks[b]);
}

/* Sum of the activations whose sign bit is set, over one block. */
static int32_t masked_sum(const uint8_t *bits, const int8_t *q) {
    int8_t kept[BK_Q1_COLS];
    for (uint32_t i = 0; i < BK_Q1_COLS / 8; i++) {
        uint64_t spread = (bits[i] * UINT64_C(0x0101010101010101)) & UINT64_C(0x8040201008040201);
        uint64_t ones = ((spread + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7) & UINT64_C(0x0101010101010101);
        uint64_t eight;
        memcpy(&eight, q + 8 * i, 8);
        eight &= ones * 0xff;
        memcpy(kept + 8 * i, &eight, 8);
    }
    int32_t sum = 0;
    for (uint32_t j = 0; j < BK_Q1_COLS; j++) sum += kept[j];
    return sum;
}

float bk_act_row(const uint8_t *blocks, uint32_t cols, const void *act) {
    const int8_t *q = act;
    const bk_act_block *info = bk_act_blocks(act, cols);
    float y = 0.0f;
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, blocks += BK_Q1_BYTES, q += BK_Q1_COLS) {
        int32_t dot = 2 * masked_sum(blocks + BK_Q1_BITS_AT, q) - info[b].sum;
        float d = bk_fp16_to_f32(bk_load16_le(blocks));
        y = y + (float)dot * (d * info[b].scale);
    }
    return y;
}
