/* neon_lut.c: products by look-up tables over the activations (TBL); needs nothing beyond NEON.
 *
 * Four neighbouring columns have 16 sign patterns, so 16 possible sums. In the form
 *   sum = -|q| of all four + 2 * t,   t = sum of |q| where the sign bit agrees with q's sign
 * t is in 0..508: its low five bits and its high four go into one table each. One TBL then looks up
 * 16 rows; eight low parts (8 * 31) and sixteen high parts (16 * 15) add up within a byte.
 *
 * Packed: a tile is 32 rows; a block is 16 times {byte i of rows 0..15, of rows 16..31}, then 32
 * fp16 scales. Byte i is the file's: columns 8i..8i+3 in the low four bits, 8i+4..8i+7 above.
 */
#include "bk_fp16.h"
#include "neon_vectors.h"

enum {
    TILE = 32,
    TILE_BLOCK = BK_TILE_BLOCK(TILE),
    SCALES_AT = BK_TILE_SCALES_AT(TILE),
    TABLES = BK_Q1_COLS / 4 * 32, /* bytes of a block's tables: low and high of each four columns */
    PANEL = 16, /* blocks whose tables stay in a 32 KB cache for all rows */
    GEMM_PANEL = 3, /* the same for the tables of GEMM_VECTORS vectors */
    GEMM_VECTORS = 8,
};

/* ---- quantised vectors: the common part, the tables, then -sum |q| of each block ------------ */

BK_LAYOUT_IS(neon_lut, TILE, TABLES + 2);

static size_t act_bytes(uint32_t cols) {
    size_t n = bk_act_plain_bytes(cols) + (size_t)(cols / BK_Q1_COLS) * (TABLES + 2);
    return (n + 63) & ~(size_t)63;
}

static uint8_t *tables_of(const void *act, uint32_t cols) {
    return (uint8_t *)(uintptr_t)act + bk_act_plain_bytes(cols);
}

static int16_t *bases_of(const void *act, uint32_t cols) {
    return (int16_t *)(void *)(tables_of(act, cols) + (size_t)(cols / BK_Q1_COLS) * TABLES);
}

/* The tables of four columns, from the sums of its two pairs: entry i is a[i % 4] + b[i / 4]. */
static inline void store_tables(uint8_t *to, uint8x16_t a, uint8x16_t b) {
    vst1q_u8(to, vandq_u8(vaddq_u8(a, b), vdupq_n_u8(31)));
    vst1q_u8(to + 16, vshrq_n_u8(vhaddq_u8(a, b), 4));
}

/* Two tables from four pairs' sums, 4 bytes each. */
static inline void store_two(uint8_t *to, uint8x16_t pairs) {
    static const uint8_t B[16] = {4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7};
    const uint8x16_t b = vld1q_u8(B);
    uint32x4_t words = vreinterpretq_u32_u8(pairs);
    store_tables(to, vreinterpretq_u8_u32(vdupq_laneq_u32(words, 0)), vqtbl1q_u8(pairs, b));
    store_tables(to + 32, vreinterpretq_u8_u32(vdupq_laneq_u32(words, 2)),
                 vqtbl1q_u8(pairs, vaddq_u8(b, vdupq_n_u8(8))));
}

/* 16 columns: per pair (c, c+1) the sums {00, 10, 01, 11} of what a clear or set bit adds. */
static inline void build_16(int8x16_t q, uint8_t *to) {
    const int8x16_t zero = vdupq_n_s8(0);
    uint8x16_t set = vreinterpretq_u8_s8(vmaxq_s8(q, zero));
    uint8x16_t clear = vreinterpretq_u8_s8(vmaxq_s8(vqnegq_s8(q), zero));
    uint8x16_t even = vzip1q_u8(vuzp1q_u8(clear, clear), vuzp1q_u8(set, set)); /* c0 s0 c2 s2 .. */
    uint8x16_t c_odd = vuzp2q_u8(clear, clear), s_odd = vuzp2q_u8(set, set);
    uint16x8_t e = vreinterpretq_u16_u8(even);
    uint16x8_t o = vreinterpretq_u16_u8(vzip1q_u8(c_odd, s_odd)); /* c1 s1 c3 s3 .. */
    uint8x16_t low = vreinterpretq_u8_u16(vzip1q_u16(e, e)); /* c0 s0 c0 s0, c2 s2 c2 s2, .. */
    uint8x16_t high = vreinterpretq_u8_u16(vzip2q_u16(e, e));
    uint8x16_t odd = vreinterpretq_u8_u16(o);
    store_two(to, vaddq_u8(low, vzip1q_u8(odd, odd))); /* + c1 c1 s1 s1, c3 c3 s3 s3, .. */
    store_two(to + 64, vaddq_u8(high, vzip2q_u8(odd, odd)));
}

static void quantise(const float *x, uint32_t cols, void *act) {
    bk_neon_quantise(x, cols, act);
    const int8_t *q = act;
    uint8_t *tables = tables_of(act, cols);
    int16_t *bases = bases_of(act, cols);
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++) {
        uint16x8_t sum = vdupq_n_u16(0);
        for (uint32_t j = 0; j < BK_Q1_COLS; j += 16, q += 16, tables += TABLES / 8) {
            int8x16_t columns = vld1q_s8(q);
            build_16(columns, tables);
            sum = vpadalq_u8(sum, vreinterpretq_u8_s8(vqabsq_s8(columns)));
        }
        bases[b] = (int16_t)-vaddvq_u16(sum);
    }
}

/* ---- one tile ----------------------------------------------------------------------------- */

/* What one vector brings to the product, from some block on. */
typedef struct {
    const uint8_t *tables;
    const int16_t *bases;
    const bk_act_block *blocks;
} vector;

static inline vector vector_at(const void *act, uint32_t cols, uint32_t block) {
    return (vector){tables_of(act, cols) + (size_t)block * TABLES, bases_of(act, cols) + block,
                    bk_act_blocks(act, cols) + block};
}

/* y += dot * (d * s) of eight rows. */
static inline void add_8(float32x4_t y[2], uint16x8_t sums, const uint8_t *scales, float s) {
    int16x8_t dot = vreinterpretq_s16_u16(sums);
    uint16x8_t d = vreinterpretq_u16_u8(vld1q_u8(scales));
    float32x4_t low = vmulq_n_f32(bk_neon_low_f32(d), s);
    float32x4_t high = vmulq_n_f32(bk_neon_high_f32(d), s);
    y[0] = bk_neon_add_block(y[0], vmovl_s16(vget_low_s16(dot)), low);
    y[1] = bk_neon_add_block(y[1], vmovl_high_s16(dot), high);
}

/* acc += weight * parts, lane by lane */
static inline void widen(uint16x8_t acc[2], uint8x16_t parts, uint8x16_t weight) {
    acc[0] = vmlal_u8(acc[0], vget_low_u8(parts), vget_low_u8(weight));
    acc[1] = vmlal_high_u8(acc[1], parts, weight);
}

/* One byte of 16 rows: eight columns, four look-ups. */
static inline void look_up(uint8x16_t w, const uint8x16_t t[4], uint8x16_t *low, uint8x16_t *high) {
    uint8x16_t first = vandq_u8(w, vdupq_n_u8(15)), second = vshrq_n_u8(w, 4);
    *low = vaddq_u8(*low, vqtbl1q_u8(t[0], first));
    *high = vaddq_u8(*high, vqtbl1q_u8(t[1], first));
    *low = vaddq_u8(*low, vqtbl1q_u8(t[2], second));
    *high = vaddq_u8(*high, vqtbl1q_u8(t[3], second));
}

/* Compilers hoist all of a block's loads and then spill; they may not move any past this. */
#define FENCE(a, b, c, d) __asm__ volatile("" : "+w"(a), "+w"(b), "+w"(c), "+w"(d) : : "memory")

/* 32 columns of 32 rows: as many low parts as a byte holds. */
static inline void look_up_32(const uint8_t *p, const uint8_t *tables, uint8x16_t low[2],
                              uint8x16_t high[2]) {
    low[0] = low[1] = vdupq_n_u8(0);
#pragma GCC unroll 4
    for (uint32_t i = 0; i < 4; i++, p += TILE, tables += 64) {
        uint8x16_t t[4] = {vld1q_u8(tables), vld1q_u8(tables + 16), vld1q_u8(tables + 32),
                           vld1q_u8(tables + 48)};
        look_up(vld1q_u8(p), t, &low[0], &high[0]);
        look_up(vld1q_u8(p + 16), t, &low[1], &high[1]);
        if (i & 1) FENCE(low[0], low[1], high[0], high[1]);
    }
}

/* y [32] of one tile, n blocks from p on. */
static __attribute__((noinline)) void tile_blocks(const uint8_t *p, vector v, uint32_t n,
                                                  float *out, bool first) {
    uint8x16_t two = vdupq_n_u8(2), sixty_four = vdupq_n_u8(64);
    __asm__("" : "+w"(two), "+w"(sixty_four)); /* one register each, not one per width */
    float32x4_t y[8];
    for (uint32_t i = 0; i < 8; i++) y[i] = first ? vdupq_n_f32(0) : vld1q_f32(out + 4 * i);
    for (uint32_t b = 0; b < n; b++, p += TILE_BLOCK, v.tables += TABLES) {
        uint16x8_t acc[2][2];
        acc[0][0] = vreinterpretq_u16_s16(vdupq_n_s16(v.bases[b]));
        acc[0][1] = acc[1][0] = acc[1][1] = acc[0][0];
#pragma GCC unroll 2
        for (uint32_t half = 0; half < 2; half++) {
            uint8x16_t low[2], high[2] = {vdupq_n_u8(0), vdupq_n_u8(0)};
#pragma GCC unroll 2
            for (uint32_t i = 2 * half; i < 2 * half + 2; i++) {
                look_up_32(p + 4 * TILE * i, v.tables + TABLES / 4 * i, low, high);
                widen(acc[0], low[0], two);
                widen(acc[1], low[1], two);
            }
            widen(acc[0], high[0], sixty_four);
            widen(acc[1], high[1], sixty_four);
        }
        const uint8_t *scales = p + SCALES_AT;
        for (uint32_t h = 0; h < 4; h++)
            add_8(y + 2 * h, acc[h / 2][h % 2], scales + 16 * h, v.blocks[b].scale);
    }
    for (uint32_t i = 0; i < 8; i++) vst1q_f32(out + 4 * i, y[i]);
}

/* The same where the matrix may end inside the tile. */
static void tile_rows(const uint8_t *p, vector v, uint32_t n, float *y, uint32_t rows, bool first) {
    float all[TILE];
    if (rows >= TILE) {
        tile_blocks(p, v, n, y, first);
        return;
    }
    for (uint32_t i = 0; i < TILE; i++) all[i] = !first && i < rows ? y[i] : 0.0f;
    tile_blocks(p, v, n, all, false);
    memcpy(y, all, rows * sizeof *y);
}

/* ---- products ----------------------------------------------------------------------------- */

/* Some blocks of all rows, for n vectors. */
static void panel(const bk_mat *w, const uint8_t *act, uint32_t n, float *y, size_t stride,
                  uint32_t row0, uint32_t row1, uint32_t b0, uint32_t blocks) {
    uint32_t per_row = w->cols / BK_Q1_COLS;
    for (uint32_t r = row0; r < row1; r += TILE) {
        const uint8_t *p = w->packed + ((size_t)(r / TILE) * per_row + b0) * TILE_BLOCK;
        for (uint32_t t = 0; t < n; t++)
            tile_rows(p, vector_at(act + t * act_bytes(w->cols), w->cols, b0), blocks,
                      y + t * stride + r, row1 - r, b0 == 0);
    }
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    bk_tile_panels(w, act, 0, 1, y, 0, row0, row1, 1, PANEL, panel);
}

static void gemm(const bk_mat *w, const void *act, uint32_t n, float *y, size_t stride,
                 uint32_t row0, uint32_t row1) {
    bk_tile_panels(w, act, act_bytes(w->cols), n, y, stride, row0, row1, GEMM_VECTORS, GEMM_PANEL,
                   panel);
}

/* ---- the packed layout -------------------------------------------------------------------- */

static uint32_t bit_at(uint32_t row, uint32_t col) { return 8 * (col / 8 * TILE + row) + col % 8; }

static void place(const uint8_t *bits, uint8_t *to, uint32_t row) {
    for (uint32_t j = 0; j < BK_Q1_COLS / 8; j++) to[j * TILE + row] = bits[j];
}

BK_NEON_LAYOUT(TILE, place, bit_at)

BK_KERNEL(bk_kernel_neon_lut, "neon-lut", "look-up", act_bytes, quantise, gemv, gemm,
          BK_NEON_SHARED(TILE));
