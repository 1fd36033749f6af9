/* dsp.c: products for a Cortex-M with the DSP extension and a single-precision FPU (M4F, M7, M33).
 *
 * A byte of weights indexes a table of the eight columns' sums (bk_lut.h): three instructions for
 * two rows' worth of nothing else. Four rows share each table's address; UMAAL adds two look-ups at
 * once (acc + t * 1 + u, modulo 2^32, so signs do no harm).
 *
 * This file is worth -O2 also where the rest is built for size.
 */
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#pragma GCC optimize("O2")

#include <arm_acle.h>

#include "bk_lut.h"
#include "dsp_vectors.h"

/* ---- tables ------------------------------------------------------------------------------- */

static inline uint32_t bk_dsp_add(uint32_t a, uint32_t b) {
    return (uint32_t)__sadd16((int16x2_t)a, (int16x2_t)b);
}

static inline uint32_t both(int32_t x) { return ((uint32_t)x & 0xffff) | (uint32_t)x << 16; }

/* The 256 sums of eight columns. Entries 16 m + 0..15 are eight registers; the step from m to m + 1
 * adds one number to them all: 2 q[k] less those of the lower bits that turn from 1 to 0. */
static __attribute__((noinline)) int16_t *build_table(const int8_t *q, int16_t *to) {
    struct { uint32_t first[8], step[4]; } from;
    uint32_t *first = from.first;
    int32_t sum = 0, low = 0;
    for (uint32_t j = 0; j < 8; j++) sum -= q[j];
    first[0] = bk_dsp_add(both(sum), (uint32_t)(2 * q[0]) << 16);
    first[1] = bk_dsp_add(first[0], both(2 * q[1]));
    for (uint32_t j = 0; j < 2; j++) first[2 + j] = bk_dsp_add(first[j], both(2 * q[2]));
    for (uint32_t j = 0; j < 4; j++) first[4 + j] = bk_dsp_add(first[j], both(2 * q[3]));
    for (uint32_t k = 0; k < 4; k++) {
        from.step[k] = both(2 * q[4 + k] - low);
        low += 2 * q[4 + k];
    }
#define ADD(d)                                                                             \
    "sadd16 r3, r3, " d "\n\tsadd16 r4, r4, " d "\n\tsadd16 r5, r5, " d "\n\t"             \
    "sadd16 r6, r6, " d "\n\tsadd16 r8, r8, " d "\n\tsadd16 r9, r9, " d "\n\t"             \
    "sadd16 r10, r10, " d "\n\tsadd16 r11, r11, " d "\n\t"
#define STORE "stmia %[to]!, {r3-r6, r8-r11}\n\t"
#define FOUR STORE ADD("r0") STORE ADD("r1") STORE ADD("r0") STORE
    const void *p = &from;
    __asm__ volatile(
        "ldmia %[p]!, {r3-r6, r8-r11}\n\tldmia %[p], {r0, r1, r2, %[p]}\n\t"
        FOUR ADD("r2") FOUR ADD("%[p]") FOUR ADD("r2") FOUR
        : [to] "+r"(to), [p] "+r"(p)
        :
        : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "memory");
#undef FOUR
#undef STORE
#undef ADD
    return to;
}

/* The tables of a panel, unless they are there. */
static const int16_t *tables_for(const void *act, uint32_t cols, uint32_t panel) {
    bk_lut *lut = bk_lut_of(act, cols);
    if (lut->made != panel + 1) {
        const int8_t *q = (const int8_t *)act + panel * BK_LUT_PANEL;
        int16_t *to = lut->tables;
        uint32_t bytes = bk_lut_blocks(cols, panel) * BK_LUT_TABLES;
        for (uint32_t i = 0; i < bytes; i++, q += 8) to = build_table(q, to);
        lut->made = panel + 1;
    }
    return lut->tables;
}

static void quantise(const float *x, uint32_t cols, void *act) {
    bk_dsp_quantise(x, cols, act);
    bk_lut_of(act, cols)->made = 0;
}

/* ---- rows --------------------------------------------------------------------------------- */

/* y[0..4) of four rows, p on; y continues from what it holds. Registers are short: the tables of
 * two bytes, four rows and their sums, two look-ups, the constant one. */
#define LOOK(r, i, add)                                                                    \
    "ldrb %[t], [%[p" #r "], #2+2*" #i "]\n\tldrb %[u], [%[p" #r "], #3+2*" #i "]\n\t"     \
    "ldrsh %[t], [%[b0], %[t], lsl #1]\n\tldrsh %[u], [%[b1], %[u], lsl #1]\n\t" add(r)
#define START(r) "add %[a" #r "], %[t], %[u]\n\t"
#define MORE(r) "umaal %[a" #r "], %[t], %[u], %[one]\n\t"
#define PAIR(i, add)                                                                       \
    LOOK(0, i, add) LOOK(1, i, add) LOOK(2, i, add) LOOK(3, i, add)                        \
    "add %[b0], %[b0], #1024\n\tadd %[b1], %[b1], #1024\n\t"
#define SCALES(r, v, s, w)                                                                 \
    "ldrh %[t], [%[p" #r "]], #18\n\tldrh %[u], [%[p" #v "]], #18\n\t"                     \
    "vmov s" #s ", s" #w ", %[t], %[u]\n\t"                                                \
    "vcvtb.f32.f16 s" #s ", s" #s "\n\tvcvtb.f32.f16 s" #w ", s" #w "\n\t"
#define FINISH(y, dot, d)                                                                  \
    "vcvt.f32.s32 s" #dot ", s" #dot "\n\tvmul.f32 s" #d ", s" #d ", s12\n\t"              \
    "vmul.f32 s" #dot ", s" #dot ", s" #d "\n\tvadd.f32 s" #y ", s" #y ", s" #dot "\n\t"
static inline void four_rows(const uint8_t *p, size_t row_bytes, const int16_t *tables,
                             const bk_act_block *info, const bk_act_block *end, float *y) {
    const uint8_t *p0 = p, *p1 = p0 + row_bytes, *p2 = p1 + row_bytes, *p3 = p2 + row_bytes;
    const int16_t *b0 = tables, *b1 = tables + BK_LUT_ENTRIES;
    uint32_t a0, a1, a2, a3, t, u;
    register float y0 __asm__("s8"), y1 __asm__("s9"), y2 __asm__("s10"), y3 __asm__("s11");
    __asm__("vldmia %4, {s8-s11}" : "=t"(y0), "=t"(y1), "=t"(y2), "=t"(y3) : "r"(y) : "memory");
    do {
        __asm__ volatile(
            "vldmia %[info]!, {s12, s13}\n\t"
            PAIR(0, START) PAIR(1, MORE) PAIR(2, MORE) PAIR(3, MORE)
            PAIR(4, MORE) PAIR(5, MORE) PAIR(6, MORE) PAIR(7, MORE)
            "vmov s0, s1, %[a0], %[a1]\n\tvmov s2, s3, %[a2], %[a3]\n\t"
            SCALES(0, 1, 4, 5) SCALES(2, 3, 6, 7)
            FINISH(8, 0, 4) FINISH(9, 1, 5) FINISH(10, 2, 6) FINISH(11, 3, 7)
            : [p0] "+&r"(p0), [p1] "+&r"(p1), [p2] "+&r"(p2), [p3] "+&r"(p3), [b0] "+&r"(b0),
              [b1] "+&r"(b1), [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [a3] "=&r"(a3),
              [t] "=&r"(t), [u] "=&r"(u), [info] "+&r"(info), "+t"(y0), "+t"(y1), "+t"(y2),
              "+t"(y3)
            : [one] "r"(1)
            : "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s12", "s13", "memory");
    } while (info < end);
    __asm__ volatile("vstmia %0, {s8-s11}" : : "r"(y), "t"(y0), "t"(y1), "t"(y2), "t"(y3) : "memory");
}

/* The same of one row; y is what was there. */
static float one_row(const uint8_t *p, const int16_t *tables, const bk_act_block *info,
                     const bk_act_block *end, float y) {
    for (; info < end; info++, p += BK_Q1_BYTES) {
        int32_t dot = 0;
        for (uint32_t i = BK_Q1_BITS_AT; i < BK_Q1_BYTES; i++, tables += BK_LUT_ENTRIES)
            dot += tables[p[i]];
        y = y + (float)dot * (bk_dsp_from_f16(bk_load16_le(p)) * info->scale);
    }
    return y;
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    size_t row_bytes = bk_q1_row_bytes(w->cols);
    for (uint32_t r = row0; r < row1; r++) y[r] = 0.0f;
    for (uint32_t i = 0; i * BK_LUT_PANEL < w->cols; i++) {
        const int16_t *tables = tables_for(act, w->cols, i);
        const bk_act_block *info = bk_act_blocks(act, w->cols) + i * BK_LUT_BLOCKS;
        const bk_act_block *end = info + bk_lut_blocks(w->cols, i);
        const uint8_t *p = w->data + row0 * row_bytes + (size_t)i * BK_LUT_BLOCKS * BK_Q1_BYTES;
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

const bk_kernel bk_kernel_dsp = {
    .name = "dsp",
    .family = "look-up",
    .tile = 4,
    .writes_act = true,
    .act_bytes = bk_lut_act_bytes,
    .quantise = quantise,
    .gemv = gemv,
    .row = row,
    .rms_norm = bk_dsp_rms_norm,
    .silu_mul = bk_dsp_silu_mul,
    .attend = bk_dsp_attend,
};

#endif
