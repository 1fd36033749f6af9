/* mve.c: products for a Cortex-M with Helium (MVE): eight table look-ups in one instruction.
 *
 * Eight bytes of a row, widened to 16 bits, index eight neighbouring tables (bk_lut.h): one load,
 * one addition of the tables' places, one gather, one sum across lanes for 64 weights. Four rows
 * are then scaled and added together.
 */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)

#pragma GCC optimize("O2")

#include "bk_lut.h"
#include "mve_vectors.h"

enum { HALF = BK_LUT_BLOCK / 2 }; /* int16 of eight tables */

/* ---- tables ------------------------------------------------------------------------------- */

/* The 256 sums of eight columns: eight neighbours in a register, four registers for columns 3 and
 * 4, then what a set bit of the other three adds to them. */
static inline void build_table(const int8_t *q, int16_t *to) {
    static const int16_t BITS[3][8] = {
        {0, 2, 0, 2, 0, 2, 0, 2}, {0, 0, 2, 2, 0, 0, 2, 2}, {0, 0, 0, 0, 2, 2, 2, 2}};
    int16_t five = (int16_t)(2 * q[5]), six = (int16_t)(2 * q[6] - five);
    int16_t seven = (int16_t)(2 * q[7] - 2 * q[6] - five);
    int16x8_t a = vdupq_n_s16((int16_t)-vaddvq_s16(vldrbq_s16(q)));
    a = vmlaq_n_s16(a, vldrhq_s16(BITS[0]), q[0]);
    a = vmlaq_n_s16(a, vldrhq_s16(BITS[1]), q[1]);
    a = vmlaq_n_s16(a, vldrhq_s16(BITS[2]), q[2]);
    int16x8_t b = vaddq_n_s16(a, (int16_t)(2 * q[3]));
    int16x8_t c = vaddq_n_s16(a, (int16_t)(2 * q[4])), d = vaddq_n_s16(b, (int16_t)(2 * q[4]));
#pragma GCC unroll 8
    for (uint32_t m = 1; m <= 8; m++, to += 32) {
        vstrhq_s16(to, a);
        vstrhq_s16(to + 8, b);
        vstrhq_s16(to + 16, c);
        vstrhq_s16(to + 24, d);
        if (m == 8) break;
        int16_t step = m % 2 ? five : m % 4 ? six : seven;
        a = vaddq_n_s16(a, step);
        b = vaddq_n_s16(b, step);
        c = vaddq_n_s16(c, step);
        d = vaddq_n_s16(d, step);
    }
}

/* The tables of a panel, unless they are there. */
static const int16_t *tables_for(const void *act, uint32_t cols, uint32_t panel) {
    bk_lut *lut = bk_lut_of(act, cols);
    if (lut->made != panel + 1) {
        const int8_t *q = (const int8_t *)act + panel * BK_LUT_PANEL;
        const int8_t *end = q + bk_lut_blocks(cols, panel) * BK_Q1_COLS;
        for (int16_t *to = lut->tables; q < end; q += 8, to += BK_LUT_ENTRIES) build_table(q, to);
        lut->made = panel + 1;
    }
    return lut->tables;
}

static void quantise(const float *x, uint32_t cols, void *act) {
    bk_mve_quantise(x, cols, act);
    bk_lut_of(act, cols)->made = 0;
}

/* ---- rows --------------------------------------------------------------------------------- */

/* Where the eight tables begin. */
static inline uint16x8_t places(void) { return vshlq_n_u16(vidupq_n_u16(0, 1), 8); }

/* The block's product with one row; p: its 16 bytes. */
static inline int32_t dot(const uint8_t *p, const int16_t *tables, uint16x8_t at) {
    uint16x8_t low = vaddq_u16(vldrbq_u16(p), at), high = vaddq_u16(vldrbq_u16(p + 8), at);
    int32_t sum = vaddvq_s16(vldrhq_gather_shifted_offset_s16(tables, low));
    return vaddvaq_s16(sum, vldrhq_gather_shifted_offset_s16(tables + HALF, high));
}

/* y[0..4) of four rows go on; p: the panel's first block in the first row. */
static inline void four_rows(const uint8_t *p, uint32_t row_bytes, const int16_t *tables,
                             const bk_act_block *info, const bk_act_block *end, float *y) {
    const uint8_t *p0 = p + BK_Q1_BITS_AT, *p1 = p0 + row_bytes, *p2 = p1 + row_bytes;
    const uint8_t *p3 = p2 + row_bytes;
    uint16x8_t at = places();
    uint32x4_t rows = vmulq_n_u32(vidupq_n_u32(0, 1), row_bytes);
    float32x4_t sum = vldrwq_f32(y);
    for (; info < end; info++, tables += BK_LUT_BLOCK) {
        uint32x4_t d = vldrhq_gather_offset_u32((const uint16_t *)(uintptr_t)p, rows);
        float32x4_t scale = vmulq_n_f32(bk_mve_from_f16(d), info->scale);
        int32_t d0 = dot(p0, tables, at), d1 = dot(p1, tables, at);
        int32_t d2 = dot(p2, tables, at), d3 = dot(p3, tables, at);
        int32x4_t dots;
        __asm__("vmov %q0[2], %q0[0], %1, %2\n\tvmov %q0[3], %q0[1], %3, %4"
                : "=&w"(dots)
                : "r"(d0), "r"(d2), "r"(d1), "r"(d3));
        sum = vaddq_f32(sum, vmulq_f32(vcvtq_f32_s32(dots), scale));
        p += BK_Q1_BYTES, p0 += BK_Q1_BYTES, p1 += BK_Q1_BYTES, p2 += BK_Q1_BYTES;
        p3 += BK_Q1_BYTES;
    }
    vstrwq_f32(y, sum);
}

/* The same of one row; y is what was there. */
static float one_row(const uint8_t *p, const int16_t *tables, const bk_act_block *info,
                     const bk_act_block *end, float y) {
    uint16x8_t at = places();
    for (; info < end; info++, p += BK_Q1_BYTES, tables += BK_LUT_BLOCK) {
        float d = bk_float_from_bits(bk_load16_le(p));
        __asm__("vcvtb.f32.f16 %0, %0" : "+t"(d));
        y = y + (float)dot(p + BK_Q1_BITS_AT, tables, at) * (d * info->scale);
    }
    return y;
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    uint32_t row_bytes = (uint32_t)bk_q1_row_bytes(w->cols);
    for (uint32_t r = row0; r < row1; r++) y[r] = 0.0f;
    for (uint32_t i = 0; i * BK_LUT_PANEL < w->cols; i++) {
        const uint8_t *p = w->data + row0 * row_bytes + (size_t)i * BK_LUT_BLOCKS * BK_Q1_BYTES;
        const int16_t *tables = tables_for(act, w->cols, i);
        const bk_act_block *info = bk_act_blocks(act, w->cols) + i * BK_LUT_BLOCKS;
        const bk_act_block *end = info + bk_lut_blocks(w->cols, i);
        uint32_t r = row0;
        for (; r + 4 <= row1; r += 4, p += 4 * row_bytes)
            four_rows(p, row_bytes, tables, info, end, y + r);
        for (; r < row1; r++, p += row_bytes) y[r] = one_row(p, tables, info, end, y[r]);
    }
}

/* A shadow row of a narrow matrix finds the tables of the product before it. */
static float row(const uint8_t *blocks, uint32_t cols, const void *act) {
    if (cols > BK_LUT_PANEL) return bk_act_row(blocks, cols, act);
    const bk_act_block *info = bk_act_blocks(act, cols);
    return one_row(blocks, tables_for(act, cols, 0), info, info + cols / BK_Q1_COLS, 0.0f);
}

const bk_kernel bk_kernel_mve = {
    .name = "mve",
    .family = "look-up",
    .tile = 4,
    .writes_act = true,
    .act_bytes = bk_lut_act_bytes,
    .quantise = quantise,
    .gemv = gemv,
    .row = row,
    .rms_norm = bk_mve_rms_norm,
    .silu_mul = bk_mve_silu_mul,
    .attend = bk_mve_attend,
};

#endif
