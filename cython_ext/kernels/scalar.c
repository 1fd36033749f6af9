/* scalar.c: the kernel that every CPU has: plain C, eight weights at a time in a 64-bit word. */
#include "bk_bytes.h"
#include "bk_fp16.h"
#include "bk_kernel.h"

/* A quantised vector: int8 [cols], then scale and sum of each block: {float, int32} [cols/128]. */
typedef struct {
    float scale;
    int32_t sum;
} block_info;

static size_t act_bytes(uint32_t cols) {
    size_t n = cols + (size_t)(cols / BK_Q1_COLS) * sizeof(block_info);
    return (n + 63) & ~(size_t)63;
}

static const block_info *infos(const void *act, uint32_t cols) {
    return (const block_info *)(const void *)((const int8_t *)act + cols);
}

static void quantise(const float *x, uint32_t cols, void *act) {
    int8_t *q = act;
    block_info *info = (block_info *)(void *)(q + cols);
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, x += BK_Q1_COLS, q += BK_Q1_COLS) {
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
        info[b].scale = usable ? amax / 127.0f : 0.0f;
        info[b].sum = sum;
    }
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

static float row(const uint8_t *blocks, uint32_t cols, const void *act) {
    const int8_t *q = act;
    const block_info *info = infos(act, cols);
    float y = 0.0f;
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, blocks += BK_Q1_BYTES, q += BK_Q1_COLS) {
        int32_t dot = 2 * masked_sum(blocks + BK_Q1_BITS_AT, q) - info[b].sum;
        float d = bk_fp16_to_f32(bk_load16_le(blocks));
        y = y + (float)dot * (d * info[b].scale);
    }
    return y;
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    size_t row_bytes = bk_q1_row_bytes(w->cols);
    for (uint32_t r = row0; r < row1; r++) y[r] = row(w->data + r * row_bytes, w->cols, act);
}

const bk_kernel bk_kernel_scalar = {"scalar", act_bytes, quantise, gemv, row};
