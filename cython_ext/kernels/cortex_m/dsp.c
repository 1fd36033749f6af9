/* dsp.c: products for a Cortex-M with the DSP extension and a single-precision FPU (M4F, M7, M33).
 *
 * A byte of weights indexes a table of the eight columns' sums (bk_lut.h): a load of the byte, one of
 * the sum, half an addition, for UMAAL adds two look-ups at once (acc + t * 1 + u, modulo 2^32, so
 * that signs do no harm). Four rows share each table's address.
 *
 * Worth -O2 also where the rest is built for size; and its assembly needs every register.
 */
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#pragma GCC optimize("O2", "omit-frame-pointer")

#include <arm_acle.h>

#include "bk_lut.h"
#include "dsp_vectors.h"

/* ---- tables ------------------------------------------------------------------------------- */

/* The 256 sums of eight columns, to[-256..0), from the last (all bits set) down. Entries 16 m + 0..15
 * are eight registers; the step from m to m - 1 subtracts one number from them all: 2 q[4 + k] less
 * those of the lower bits that turn from 0 to 1. */
static __attribute__((noinline)) void build_table(const int8_t *q, int16_t *to) {
#define STEP(d)                                                                                    \
    "ssub16 r3, r3, " d "\n\tssub16 r4, r4, " d "\n\tssub16 r5, r5, " d                            \
    "\n\t"                                                                                         \
    "ssub16 r6, r6, " d "\n\tssub16 r8, r8, " d "\n\tssub16 r9, r9, " d                            \
    "\n\t"                                                                                         \
    "ssub16 r10, r10, " d "\n\tssub16 r11, r11, " d "\n\t"
#define STORE "stmdb %[to]!, {r3-r6, r8-r11}\n\t"
#define FOUR STORE STEP("r0") STORE STEP("r1") STORE STEP("r0") STORE
    __asm__ volatile(
        "ldrd r3, r4, [%[q]]\n\t"
        /* pairs of columns (0, 2), (1, 3), (4, 6), (5, 7) */
        "sxtb16 r0, r3\n\tsxtb16 r1, r3, ror #8\n\tsxtb16 r2, r4\n\tsxtb16 %[q], r4, ror #8\n\t"
        /* the sum of all, twice */
        "sadd16 r11, r0, r1\n\tsadd16 r10, r2, %[q]\n\tsadd16 r11, r11, r10\n\t"
        "ror r10, r11, #16\n\tsadd16 r11, r11, r10\n\t"
        "sadd16 r0, r0, r0\n\tsadd16 r1, r1, r1\n\tsadd16 r2, r2, r2\n\tsadd16 %[q], %[q], %[q]\n\t"
        /* entries 254 and 255, then those without column 1, 2, 3 */
        "uxth r3, r0\n\tssub16 r11, r11, r3\n\t"
        "pkhbt r3, r1, r1, lsl #16\n\tssub16 r10, r11, r3\n\t"
        "pkhtb r3, r0, r0, asr #16\n\tssub16 r9, r11, r3\n\tssub16 r8, r10, r3\n\t"
        "pkhtb r3, r1, r1, asr #16\n\tssub16 r6, r11, r3\n\tssub16 r5, r10, r3\n\t"
        "ssub16 r4, r9, r3\n\tssub16 r3, r8, r3\n\t"
        /* steps: columns 4, 5 - 4, 6 - (5 + 4), 7 - (6 + 5 + 4) */
        "pkhbt r0, r2, r2, lsl #16\n\tpkhbt r1, %[q], %[q], lsl #16\n\t"
        "pkhtb r2, r2, r2, asr #16\n\tpkhtb %[q], %[q], %[q], asr #16\n\t"
        "ssub16 %[q], %[q], r0\n\tssub16 %[q], %[q], r1\n\tssub16 %[q], %[q], r2\n\t"
        "ssub16 r2, r2, r0\n\tssub16 r2, r2, r1\n\tssub16 r1, r1, r0\n\t" FOUR STEP("r2")
            FOUR STEP("%[q]") FOUR STEP("r2") FOUR
        : [to] "+&r"(to), [q] "+&r"(q)
        :
        : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "memory");
#undef FOUR
#undef STORE
#undef STEP
}

/* The tables of a panel, unless they are there. */
static const int16_t *tables_for(const void *act, uint32_t cols, uint32_t panel) {
    bk_lut *lut = bk_lut_of(act, cols);
    if (lut->made != panel + 1) {
        const int8_t *q = (const int8_t *)act + panel * BK_LUT_PANEL;
        const int8_t *end = q + bk_lut_blocks(cols, panel) * BK_Q1_COLS;
        int16_t *to = lut->tables + BK_LUT_ENTRIES;
        for (; q < end; q += 8, to += BK_LUT_ENTRIES) build_table(q, to);
        lut->made = panel + 1;
    }
    return lut->tables;
}

static void quantise(const float *x, uint32_t cols, void *act) {
    bk_dsp_quantise(x, cols, act);
    bk_lut_of(act, cols)->made = 0;
}

/* ---- rows --------------------------------------------------------------------------------- */

/* Some rows' part of the product with a panel, four at a time; in memory, for all registers are
 * taken: the tables of two bytes, four rows and their sums, two look-ups, what is constant. */
typedef struct {
    const uint8_t *p; /* the panel's first block in the next row */
    size_t row_bytes;
    float *y, *y_end; /* y continues from what it holds */
    const int16_t *tables;
    const bk_act_block *info, *end;
} quads;

#define LOOK(r, i, add)                                                                            \
    "ldrb %[t], [%[p" #r "], #2+2*" #i "]\n\tldrb %[u], [%[p" #r "], #3+2*" #i                     \
    "]\n\t"                                                                                        \
    "ldrsh %[t], [%[b0], %[t], lsl #1]\n\tldrsh %[u], [%[b1], %[u], lsl #1]\n\t" add(r)
#define START(r) "add %[a" #r "], %[t], %[u]\n\t"
#define MORE(r) "umaal %[a" #r "], %[t], %[u], %[one]\n\t"
#define PAIR(i, add)                                                                               \
    LOOK(0, i, add)                                                                                \
    LOOK(1, i, add)                                                                                \
    LOOK(2, i, add) LOOK(3, i, add) "add %[b0], %[b0], #1024\n\tadd %[b1], %[b1], #1024\n\t"
#define SCALES(r, v, s, w)                                                                         \
    "ldrh %[t], [%[p" #r "]], #18\n\tldrh %[u], [%[p" #v                                           \
    "]], #18\n\t"                                                                                  \
    "vmov s" #s ", s" #w                                                                           \
    ", %[t], %[u]\n\t"                                                                             \
    "vcvtb.f32.f16 s" #s ", s" #s "\n\tvcvtb.f32.f16 s" #w ", s" #w "\n\t"
#define FINISH(y, dot, d)                                                                          \
    "vcvt.f32.s32 s" #dot ", s" #dot "\n\tvmul.f32 s" #d ", s" #d                                  \
    ", s12\n\t"                                                                                    \
    "vmul.f32 s" #dot ", s" #dot ", s" #d "\n\tvadd.f32 s" #y ", s" #y ", s" #dot "\n\t"

static void four_rows_each(quads job) { /* whose parts are at fixed places from sp */
    uint32_t p0, p1, p2, p3, b0, b1, a0, a1, a2, a3, t, u, info;
    __asm__ volatile(
        "1:\n\t"
        "ldr %[p0], %[p]\n\tldr %[t], %[row_bytes]\n\tadd %[p1], %[p0], %[t]\n\t"
        "add %[p2], %[p1], %[t]\n\tadd %[p3], %[p2], %[t]\n\tadd %[t], %[p3]\n\tstr %[t], %[p]\n\t"
        "ldr %[b0], %[tables]\n\tadd %[b1], %[b0], #512\n\tldr %[info], %[first]\n\t"
        "ldr %[t], %[y]\n\tvldmia %[t], {s8-s11}\n\t"
        "2:\n\t"
        "vldmia %[info]!, {s12, s13}\n\t"
        PAIR(0, START) PAIR(1, MORE) PAIR(2, MORE) PAIR(3, MORE)
        PAIR(4, MORE) PAIR(5, MORE) PAIR(6, MORE) PAIR(7, MORE)
        "vmov s0, s1, %[a0], %[a1]\n\tvmov s2, s3, %[a2], %[a3]\n\t"
        SCALES(0, 1, 4, 5) SCALES(2, 3, 6, 7)
        FINISH(8, 0, 4) FINISH(9, 1, 5) FINISH(10, 2, 6) FINISH(11, 3, 7)
        "ldr %[t], %[end]\n\tcmp %[info], %[t]\n\tbne 2b\n\t"
        "ldr %[t], %[y]\n\tldr %[u], %[y_end]\n\tvstmia %[t]!, {s8-s11}\n\tstr %[t], %[y]\n\t"
        "cmp %[t], %[u]\n\tbne 1b\n\t"
        : [p0] "=&r"(p0), [p1] "=&r"(p1), [p2] "=&r"(p2), [p3] "=&r"(p3), [b0] "=&r"(b0),
          [b1] "=&r"(b1), [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [a3] "=&r"(a3),
          [t] "=&r"(t), [u] "=&r"(u), [info] "=&r"(info), [p] "+m"(job.p), [y] "+m"(job.y)
        : [one] "r"(1), [row_bytes] "m"(job.row_bytes), [y_end] "m"(job.y_end),
          [tables] "m"(job.tables), [first] "m"(job.info), [end] "m"(job.end)
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11",
          "s12", "s13");
}

/* The same of one row; y is what was there. */
static float one_row(const uint8_t *p, const int16_t *tables, const bk_act_block *info,
                     const bk_act_block *end, float y) {
    for (; info < end; info++, p += BK_Q1_BYTES) {
        int32_t dot = 0;
        for (uint32_t i = BK_Q1_BITS_AT; i < BK_Q1_BYTES; i++, tables += BK_LUT_ENTRIES)
            dot += tables[p[i]];
        y = y + (float)dot * (bk_fpu_from_f16(bk_load16_le(p)) * info->scale);
    }
    return y;
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    size_t row_bytes = bk_q1_row_bytes(w->cols);
    uint32_t fours = (row1 - row0) & ~(uint32_t)3;
    for (uint32_t r = row0; r < row1; r++) y[r] = 0.0f;
    for (uint32_t i = 0; i * BK_LUT_PANEL < w->cols; i++) {
        const uint8_t *p = w->data + row0 * row_bytes + (size_t)i * BK_LUT_BLOCKS * BK_Q1_BYTES;
        const int16_t *tables = tables_for(act, w->cols, i);
        const bk_act_block *info = bk_act_blocks(act, w->cols) + i * BK_LUT_BLOCKS;
        const bk_act_block *end = info + bk_lut_blocks(w->cols, i);
        uint32_t r = row0 + fours;
        if (fours) four_rows_each((quads){p, row_bytes, y + row0, y + r, tables, info, end});
        for (; r < row1; r++) y[r] = one_row(p + (r - row0) * row_bytes, tables, info, end, y[r]);
    }
}

/* ---- one row without tables --------------------------------------------------------------- */

/* sum += the four q whose bits are set in bits 16..19, in two halves */
static inline uint32_t add_selected(uint32_t sum, uint32_t bits, uint32_t q) {
    __asm__(
        "msr APSR_g, %[bits]\n\tsel %[q], %[q], %[zero]\n\t"
        "sxtab16 %[sum], %[sum], %[q]\n\tsxtab16 %[sum], %[sum], %[q], ror #8"
        : [sum] "+r"(sum), [q] "+r"(q)
        : [bits] "r"(bits), [zero] "r"(0));
    return sum;
}

/* Sum of the activations whose sign bit is set, over one block. */
static int32_t masked_sum(const uint8_t *bits, const int8_t *q) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < BK_Q1_COLS / 8; i += 4) {
        uint32_t w = bk_load32_le(bits + i), four[8];
        __builtin_memcpy(four, __builtin_assume_aligned(q + 8 * i, 4), sizeof four);
        for (uint32_t j = 0; j < 4; j++) sum = add_selected(sum, w << (16 - 4 * j), four[j]);
        for (uint32_t j = 4; j < 8; j++) sum = add_selected(sum, w >> (4 * j - 16), four[j]);
    }
    return __smuad((int16x2_t)sum, (int16x2_t)0x00010001);
}

static float wide_row(const uint8_t *blocks, uint32_t cols, const void *act) {
    return bk_act_row_with(blocks, cols, act, masked_sum, bk_fpu_from_f16);
}

/* A shadow row of a narrow matrix finds the tables of the product before it. */
static float row(const uint8_t *blocks, uint32_t cols, const void *act) {
    if (cols > BK_LUT_PANEL) return wide_row(blocks, cols, act);
    const bk_act_block *info = bk_act_blocks(act, cols);
    return one_row(blocks, tables_for(act, cols, 0), info, info + cols / BK_Q1_COLS, 0.0f);
}

BK_KERNEL(bk_kernel_dsp, "dsp", "look-up", bk_lut_act_bytes, quantise, gemv, NULL, .tile = 4,
          .writes_act = true, .row = row, BK_KERNEL_VECTORS(bk_dsp));

#endif
