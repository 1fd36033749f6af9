/* neon_popcount.c: products by AND and bit count (vcntq_u8) over bit planes of the activations.
 *
 * Plane i holds bit i of every q of a block, in the order of the weights' bits. With p_i the number
 * of bits that a row and plane i share,
 *   dot = 2 * (p_0 + 2 p_1 + .. + 64 p_6 - 128 p_7) - sum of q
 * The byte counts of 16 rows are folded by pairwise additions to one byte per row: at most 128.
 *
 * Packed: a tile is 16 rows; a block is 16 times a row's 16 bytes, then 16 fp16 scales.
 */
#include "bk_fp16.h"
#include "neon_vectors.h"

enum {
    TILE = 16,
    TILE_BLOCK = BK_TILE_BLOCK(TILE),
    ROW_BYTES = BK_Q1_COLS / 8,
    SCALES_AT = BK_TILE_SCALES_AT(TILE),
    PLANES = 8,
    PLANES_BYTES = PLANES * ROW_BYTES,
};

/* ---- quantised vectors: the common part, then the planes [cols / 128][8][16] --------------- */

BK_LAYOUT_IS(neon_popcount, TILE, PLANES_BYTES);

static size_t act_bytes(uint32_t cols) {
    return bk_act_plain_bytes(cols) + (size_t)(cols / BK_Q1_COLS) * PLANES_BYTES;
}

static uint8_t *planes_of(const void *act, uint32_t cols) {
    return (uint8_t *)(uintptr_t)act + bk_act_plain_bytes(cols);
}

/* Bit i of 128 q. */
static inline uint8x16_t plane(const uint8x16_t q[8], uint8_t i) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201)));
    uint8x16_t set[8];
    for (uint32_t j = 0; j < 8; j++) set[j] = vandq_u8(vtstq_u8(q[j], vdupq_n_u8(i)), bit);
    for (uint32_t n = 4; n; n /= 2)
        for (uint32_t j = 0; j < n; j++) set[j] = vpaddq_u8(set[2 * j], set[2 * j + 1]);
    return set[0];
}

static void quantise(const float *x, uint32_t cols, void *act) {
    bk_neon_quantise(x, cols, act);
    const uint8_t *from = act;
    uint8_t *to = planes_of(act, cols);
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, from += BK_Q1_COLS) {
        uint8x16_t q[8];
        for (uint32_t j = 0; j < 8; j++) q[j] = vld1q_u8(from + 16 * j);
        for (uint32_t i = 0; i < PLANES; i++, to += ROW_BYTES)
            vst1q_u8(to, plane(q, (uint8_t)(1u << i)));
    }
}

/* ---- one tile ----------------------------------------------------------------------------- */

static inline uint8x16_t count(uint8x16_t row, uint8x16_t plane) {
    return vcntq_u8(vandq_u8(row, plane));
}

/* Four rows, four bytes each. */
static inline uint8x16_t count_4(const uint8x16_t rows[4], uint8x16_t plane) {
    return vpaddq_u8(vpaddq_u8(count(rows[0], plane), count(rows[1], plane)),
                     vpaddq_u8(count(rows[2], plane), count(rows[3], plane)));
}

/* The bits that each of 16 rows shares with a plane. */
static inline uint8x16_t count_16(const uint8x16_t rows[16], uint8x16_t plane) {
    uint8x16_t first = vpaddq_u8(count_4(rows, plane), count_4(rows + 4, plane));
    uint8x16_t last = vpaddq_u8(count_4(rows + 8, plane), count_4(rows + 12, plane));
    return vpaddq_u8(first, last);
}

/* dot of 16 rows, from -sum of q */
static inline void block_dots(const uint8_t *p, const uint8_t *planes, uint16x8_t dot[2]) {
    uint8x16_t rows[TILE];
    uint8x16_t weight = vdupq_n_u8(2);
    for (uint32_t i = 0; i < TILE; i++) rows[i] = vld1q_u8(p + ROW_BYTES * i);
#pragma GCC unroll 7
    for (uint32_t i = 0; i + 1 < PLANES; i++) {
        uint8x16_t n = count_16(rows, vld1q_u8(planes + ROW_BYTES * i));
        dot[0] = vmlal_u8(dot[0], vget_low_u8(n), vget_low_u8(weight));
        dot[1] = vmlal_high_u8(dot[1], n, weight);
        weight = vaddq_u8(weight, weight);
        /* one plane's counts at a time, or the compiler runs out of registers */
        __asm__ volatile("" : "+w"(dot[0]), "+w"(dot[1]), "+w"(weight) : : "memory");
    }
    uint8x16_t n = count_16(rows, vld1q_u8(planes + ROW_BYTES * (PLANES - 1)));
    dot[0] = vsubq_u16(dot[0], vshll_n_u8(vget_low_u8(n), 8));
    dot[1] = vsubq_u16(dot[1], vshll_high_n_u8(n, 8));
}

/* y [16] of one tile */
static inline void tile(const uint8_t *p, const void *act, uint32_t cols, float32x4_t y[4]) {
    const bk_act_block *info = bk_act_blocks(act, cols);
    const uint8_t *planes = planes_of(act, cols);
    for (uint32_t i = 0; i < 4; i++) y[i] = vdupq_n_f32(0);
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, p += TILE_BLOCK, planes += PLANES_BYTES) {
        uint16x8_t dot[2];
        dot[0] = dot[1] = vreinterpretq_u16_s16(vdupq_n_s16((int16_t)-info[b].sum));
        block_dots(p, planes, dot);
        float s = info[b].scale;
        for (uint32_t h = 0; h < 2; h++) {
            uint16x8_t d = vreinterpretq_u16_u8(vld1q_u8(p + SCALES_AT + 16 * h));
            int16x8_t v = vreinterpretq_s16_u16(dot[h]);
            y[2 * h] = bk_neon_add_block(y[2 * h], vmovl_s16(vget_low_s16(v)),
                                         vmulq_n_f32(bk_neon_low_f32(d), s));
            y[2 * h + 1] = bk_neon_add_block(y[2 * h + 1], vmovl_high_s16(v),
                                             vmulq_n_f32(bk_neon_high_f32(d), s));
        }
    }
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    size_t tile_bytes = (size_t)(w->cols / BK_Q1_COLS) * TILE_BLOCK;
    for (uint32_t r = row0; r < row1; r += TILE) {
        float32x4_t sums[4];
        float last[TILE];
        tile(w->packed + r / TILE * tile_bytes, act, w->cols, sums);
        float *to = row1 - r < TILE ? last : y + r;
        for (uint32_t i = 0; i < 4; i++) vst1q_f32(to + 4 * i, sums[i]);
        if (to == last) memcpy(y + r, last, (row1 - r) * sizeof *y);
    }
}

/* ---- the packed layout -------------------------------------------------------------------- */

static uint32_t bit_at(uint32_t row, uint32_t col) { return row * BK_Q1_COLS + col; }

static void place(const uint8_t *bits, uint8_t *to, uint32_t row) {
    memcpy(to + ROW_BYTES * row, bits, ROW_BYTES);
}

BK_NEON_LAYOUT(TILE, place, bit_at)

BK_KERNEL(bk_kernel_neon_popcount, "neon-popcount", "popcount", act_bytes, quantise, gemv, NULL,
          BK_NEON_SHARED(TILE));
