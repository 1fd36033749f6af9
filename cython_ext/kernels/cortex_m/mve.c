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
static inline int16_t *build_table(const int8_t *q, int16_t *to) {
    static const int16_t BITS[3][8] = {
        {0, 2, 0, 2, 0, 2, 0, 2}, {0, 0, 2, 2, 0, 0, 2, 2}, {0, 0, 0, 0, 2, 2, 2, 2}};
    int32_t five = 2 * q[5], six = 2 * q[6] - five, seven = 2 * q[7] - 2 * q[6] - five;
    int16x8_t a = vdupq_n_s16((int16_t)-vaddvq_s16(vldrbq_s16(q)));
    a = vmlaq_n_s16(a, vldrhq_s16(BITS[0]), q[0]);
    a = vmlaq_n_s16(a, vldrhq_s16(BITS[1]), q[1]);
    a = vmlaq_n_s16(a, vldrhq_s16(BITS[2]), q[2]);
    int16x8_t b = vaddq_n_s16(a, (int16_t)(2 * q[3]));
    int16x8_t c = vaddq_n_s16(a, (int16_t)(2 * q[4])), d = vaddq_n_s16(b, (int16_t)(2 * q[4]));
#define STORE                                                                                      \
    "vstrh.16 %q[a], [%[to]], #16\n\tvstrh.16 %q[b], [%[to]], #16\n\t"                             \
    "vstrh.16 %q[c], [%[to]], #16\n\tvstrh.16 %q[d], [%[to]], #16\n\t"
#define STEP(s)                                                                                    \
    "vadd.i16 %q[a], %q[a], %[" s "]\n\tvadd.i16 %q[b], %q[b], %[" s                               \
    "]\n\t"                                                                                        \
    "vadd.i16 %q[c], %q[c], %[" s "]\n\tvadd.i16 %q[d], %q[d], %[" s "]\n\t"
    __asm__ volatile(STORE STEP("five") STORE STEP("six") STORE STEP("five") STORE STEP("seven")
                         STORE STEP("five") STORE STEP("six") STORE STEP("five") STORE
                     : [to] "+r"(to), [a] "+w"(a), [b] "+w"(b), [c] "+w"(c), [d] "+w"(d)
                     : [five] "r"(five), [six] "r"(six), [seven] "r"(seven)
                     : "memory");
#undef STORE
#undef STEP
    return to;
}

/* The tables of a panel, unless they are there. */
static const int16_t *tables_for(const void *act, uint32_t cols, uint32_t panel) {
    bk_lut *lut = bk_lut_of(act, cols);
    if (lut->made != panel + 1) {
        const int8_t *q = (const int8_t *)act + panel * BK_LUT_PANEL;
        const int8_t *end = q + bk_lut_blocks(cols, panel) * BK_Q1_COLS;
        for (int16_t *to = lut->tables; q < end; q += 8) to = build_table(q, to);
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

/* The product of one row's block at p with its sixteen tables. */
static inline int32_t dot(const uint8_t *p, const int16_t *low, const int16_t *high,
                          uint16x8_t at) {
    int32_t sum;
    uint16x8_t a, b, c;
    __asm__(
        "vldrb.u16 %q[a], [%[p], #2]\n\tvldrb.u16 %q[b], [%[p], #10]\n\t"
        "vadd.i16 %q[a], %q[a], %q[at]\n\tvadd.i16 %q[b], %q[b], %q[at]\n\t"
        "vldrh.u16 %q[c], [%[low], %q[a], uxtw #1]\n\tvaddv.s16 %[sum], %q[c]\n\t"
        "vldrh.u16 %q[a], [%[high], %q[b], uxtw #1]\n\tvaddva.s16 %[sum], %q[a]"
        : [sum] "=&Te"(sum), [a] "=&w"(a), [b] "=&w"(b), [c] "=&w"(c)
        : [p] "l"(p), [low] "r"(low), [high] "r"(high), [at] "w"(at)
        : "memory");
    return sum;
}

/* One block of four rows at a time: y[0..4 n) go on. */
static void four_rows_each(const uint8_t *p, uint32_t row_bytes, const int16_t *tables, float scale,
                           float *y, uint32_t n) {
    const uint8_t *p1 = p + row_bytes, *p2 = p1 + row_bytes, *p3 = p2 + row_bytes;
    const int16_t *high = tables + HALF;
    uint16x8_t at = places();
    uint32x4_t rows = vmulq_n_u32(vidupq_n_u32(0, 1), row_bytes);
    for (; n; n--, y += 4) {
        uint32x4_t d = vldrhq_gather_offset_u32((const uint16_t *)(uintptr_t)p, rows);
        float32x4_t by = vmulq_n_f32(bk_mve_from_f16(d), scale);
        int32x4_t dots;
        __asm__("vmov %q0[2], %q0[0], %1, %2"
                : "=w"(dots)
                : "r"(dot(p, tables, high, at)), "r"(dot(p2, tables, high, at)));
        __asm__("vmov %q0[3], %q0[1], %1, %2"
                : "+w"(dots)
                : "r"(dot(p1, tables, high, at)), "r"(dot(p3, tables, high, at)));
        vstrwq_f32(y, vaddq_f32(vldrwq_f32(y), vmulq_f32(vcvtq_f32_s32(dots), by)));
        p += 4 * row_bytes, p1 += 4 * row_bytes, p2 += 4 * row_bytes, p3 += 4 * row_bytes;
    }
}

/* The same of one row; y is what was there. */
static float one_row(const uint8_t *p, const int16_t *tables, float scale, float y) {
    float d = bk_fpu_from_f16(bk_load16_le(p));
    return y + (float)dot(p, tables, tables + HALF, places()) * (d * scale);
}

/* As the scalar kernel does it. */
static void plain_gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    size_t row_bytes = bk_q1_row_bytes(w->cols);
    for (uint32_t r = row0; r < row1; r++) y[r] = bk_act_row(w->data + r * row_bytes, w->cols, act);
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    uint32_t row_bytes = (uint32_t)bk_q1_row_bytes(w->cols), fours = (row1 - row0) / 4;
    const uint8_t *p = w->data + (size_t)row0 * row_bytes;
    const bk_act_block *info = bk_act_blocks(act, w->cols);
    bk_mve_watch();
    for (uint32_t r = row0; r < row1; r++) y[r] = 0.0f;
    for (uint32_t b = 0; b < w->cols / BK_Q1_COLS; b++, info++, p += BK_Q1_BYTES) {
        const int16_t *tables = tables_for(act, w->cols, b / BK_LUT_BLOCKS);
        tables += (size_t)(b % BK_LUT_BLOCKS) * BK_LUT_BLOCK;
        four_rows_each(p, row_bytes, tables, info->scale, y + row0, fours);
        for (uint32_t r = row0 + 4 * fours; r < row1; r++)
            y[r] = one_row(p + (r - row0) * row_bytes, tables, info->scale, y[r]);
    }
    float32x4_t last = vdupq_n_f32(0);
    if (bk_mve_lost(&last)) plain_gemv(w, act, y, row0, row1);
}

/* Sum of the activations whose sign bit is set, over one block: sixteen bits are a predicate. */
static inline int32_t masked_sum(const uint8_t *bits, const int8_t *q) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < BK_Q1_COLS / 16; i++, bits += 2, q += 16)
        sum = vaddvaq_p_s8(sum, vldrbq_s8(q), bk_load16_le(bits));
    return sum;
}

/* One row without tables. */
static float wide_row(const uint8_t *blocks, uint32_t cols, const void *act) {
    return bk_act_row_with(blocks, cols, act, masked_sum, bk_fpu_from_f16);
}

/* A shadow row of a narrow matrix finds the tables of the product before it. */
static float row(const uint8_t *blocks, uint32_t cols, const void *act) {
    if (cols > BK_LUT_PANEL) return wide_row(blocks, cols, act);
    const bk_act_block *info = bk_act_blocks(act, cols);
    const int16_t *tables = tables_for(act, cols, 0);
    float y = 0.0f;
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, blocks += BK_Q1_BYTES, tables += BK_LUT_BLOCK)
        y = one_row(blocks, tables, info[b].scale, y);
    return y;
}

BK_KERNEL(bk_kernel_mve, "mve", "look-up", bk_lut_act_bytes, quantise, gemv, NULL, .tile = 4,
          .writes_act = true, .row = row, BK_KERNEL_VECTORS(bk_mve));

#endif
