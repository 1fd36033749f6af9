/* bk_act.c: quantised activations and one row's product in plain C, eight weights at a time. */
#include "bk_act.h"

#include "bk_fp16.h"

static __attribute__((noinline)) int32_t round_block(const float *x, float inverse, int8_t *q) {
    int32_t sum = 0;
    for (uint32_t j = 0; j < BK_Q1_COLS; j++) {
        /* the mantissa of x*inverse + 1.5*2^23 ends in the rounded integer */
        uint32_t bits = bk_float_bits(x[j] * inverse + 12582912.0f);
        q[j] = (int8_t)(uint8_t)bits;
        sum += q[j];
    }
    return sum;
}

void bk_act_quantise(const float *x, uint32_t cols, void *act) {
    bk_act_quantise_with(x, cols, act, bk_act_amax, round_block);
}

/* Sum of the activations whose sign bit is set, over one block. */
static int32_t masked_sum(const uint8_t *bits, const int8_t *q) {
    int8_t kept[BK_Q1_COLS];
    for (uint32_t i = 0; i < BK_Q1_COLS / 8; i++) {
        uint64_t spread = (bits[i] * UINT64_C(0x0101010101010101)) & UINT64_C(0x8040201008040201);
        uint64_t ones = ((spread + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7) &
                        UINT64_C(0x0101010101010101);
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
    return bk_act_row_with(blocks, cols, act, masked_sum, bk_fp16_to_f32);
}
