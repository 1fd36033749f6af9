/* bk_lut.h: the look-up tables that the kernels for Cortex-M share.
 *
 * Eight neighbouring columns are one byte of the file, so 256 possible sums of +-q: one table of
 * int16 [256] a byte, 64 bytes a column. A panel of BK_LUT_PANEL columns has its tables in the act
 * at a time; gemv makes them when they are not those that it needs, then runs all rows over them.
 *
 * So gemv writes to the act: one core at a time (bk_kernel.writes_act).
 */
#ifndef BK_LUT_H
#define BK_LUT_H

#include "bk_act.h"
#include "bk_kernel.h"
#include "bk_layout.h"

enum {
    BK_LUT_ENTRIES = 256,
    BK_LUT_TABLES = BK_Q1_COLS / 8, /* of one block */
    BK_LUT_BLOCK = BK_LUT_TABLES * BK_LUT_ENTRIES, /* int16 of one block's tables */
    BK_LUT_BLOCKS = BK_LUT_PANEL / BK_Q1_COLS,     /* of one panel */
};

/* An act: the common part, then this. */
typedef struct {
    uint32_t made;  /* 1 + the panel that the tables are of; 0: none */
    uint32_t rest[15];
    int16_t tables[]; /* [blocks of a panel][16][256] */
} bk_lut;

/* Exact, as bk_fp16_to_f32 is. */
static inline float bk_fpu_from_f16(uint16_t h) {
    float x = bk_float_from_bits(h);
    __asm__("vcvtb.f32.f16 %0, %0" : "+t"(x));
    return x;
}

BK_LAYOUT_IS(dsp, 0, BK_LUT_BLOCK * sizeof(int16_t));
BK_LAYOUT_IS(mve, 0, BK_LUT_BLOCK * sizeof(int16_t));
_Static_assert(BK_OWN_OF_dsp == sizeof(bk_lut) && BK_OWN_OF_mve == sizeof(bk_lut), "bk_layout.h");

static inline size_t bk_lut_act_bytes(uint32_t cols) {
    uint32_t panel = cols < BK_LUT_PANEL ? cols : BK_LUT_PANEL;
    return bk_act_plain_bytes(cols) + sizeof(bk_lut) +
           (size_t)(panel / BK_Q1_COLS) * BK_LUT_BLOCK * sizeof(int16_t);
}

static inline bk_lut *bk_lut_of(const void *act, uint32_t cols) {
    return (bk_lut *)((uintptr_t)act + bk_act_plain_bytes(cols));
}

/* Blocks of panel i. */
static inline uint32_t bk_lut_blocks(uint32_t cols, uint32_t i) {
    uint32_t left = cols / BK_Q1_COLS - i * BK_LUT_BLOCKS;
    return left < BK_LUT_BLOCKS ? left : BK_LUT_BLOCKS;
}

#endif
