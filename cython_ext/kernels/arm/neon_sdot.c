/* neon_sdot.c: products by SDOT; for CPUs with the dot product extension only.
 *
 * Packed: a tile is 16 rows, four groups of four. A block is, per group, 4 vectors v of 16 bytes,
 * then 16 fp16 scales. Bit i of byte 4r+j of vector v is the weight of the group's row r at column
 * 32v + 4i + j: so one CMTST with 1 << i gives four rows' masks {0, -1} for four neighbouring
 * columns, and one SDOT adds the masked q of those columns, taken from one lane, to four rows.
 */
#include "neon_vectors.h"

enum {
    TILE = 16,
    GROUPS = TILE / 4,
    GROUP_BYTES = 64,
    SCALES_AT = BK_TILE_SCALES_AT(TILE),
    TILE_BLOCK = BK_TILE_BLOCK(TILE),
    STEPS = BK_Q1_COLS / 16, /* registers that hold a block's q */
};

/* ---- GEMV --------------------------------------------------------------------------------- */

/* acc - the q under the set bits of one vector's 32 columns */
static inline int32x4_t masked(int32x4_t acc, uint8x16_t w, const uint8x16_t bit[8], int8x16_t q0,
                               int8x16_t q1) {
#define MASK(i) vreinterpretq_s8_u8(vtstq_u8(w, bit[i]))
    acc = vdotq_laneq_s32(acc, MASK(0), q0, 0);
    acc = vdotq_laneq_s32(acc, MASK(1), q0, 1);
    acc = vdotq_laneq_s32(acc, MASK(2), q0, 2);
    acc = vdotq_laneq_s32(acc, MASK(3), q0, 3);
    acc = vdotq_laneq_s32(acc, MASK(4), q1, 0);
    acc = vdotq_laneq_s32(acc, MASK(5), q1, 1);
    acc = vdotq_laneq_s32(acc, MASK(6), q1, 2);
    acc = vdotq_laneq_s32(acc, MASK(7), q1, 3);
    return acc;
#undef MASK
}

/* y [16] of one tile */
static inline void tile(const uint8_t *p, const void *act, uint32_t cols, float32x4_t y[GROUPS]) {
    const bk_act_block *info = bk_act_blocks(act, cols);
    const int8_t *from = act;
    uint8x16_t bit[8];
    for (uint32_t i = 0; i < 8; i++) bit[i] = vdupq_n_u8((uint8_t)(1u << i));
    for (uint32_t g = 0; g < GROUPS; g++) y[g] = vdupq_n_f32(0);
    for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, p += TILE_BLOCK, from += BK_Q1_COLS) {
        int8x16_t q[STEPS];
        for (uint32_t i = 0; i < STEPS; i++) q[i] = vld1q_s8(from + 16 * i);
        int32x4_t less = vdupq_n_s32(-info[b].sum);
#pragma GCC unroll 4
        for (uint32_t g = 0; g < GROUPS; g++) {
            int32x4_t acc = vdupq_n_s32(0);
            const uint8_t *w = p + GROUP_BYTES * g;
            for (uint32_t v = 0; v < 4; v++)
                acc = masked(acc, vld1q_u8(w + 16 * v), bit, q[2 * v], q[2 * v + 1]);
            int32x4_t dot = vsubq_s32(less, vshlq_n_s32(acc, 1));
            uint16x4_t d = vreinterpret_u16_u8(vld1_u8(p + SCALES_AT + 8 * g));
            float32x4_t scales = vcvt_f32_f16(vreinterpret_f16_u16(d));
            y[g] = bk_neon_add_block(y[g], dot, vmulq_n_f32(scales, info[b].scale));
            /* one group's loads at a time, or the compiler runs out of registers */
            __asm__ volatile("" : "+w"(y[g]) : : "memory");
        }
    }
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    size_t tile_bytes = (size_t)(w->cols / BK_Q1_COLS) * TILE_BLOCK;
    for (uint32_t r = row0; r < row1; r += TILE) {
        float32x4_t sums[GROUPS];
        float last[TILE];
        tile(w->packed + r / TILE * tile_bytes, act, w->cols, sums);
        float *to = row1 - r < TILE ? last : y + r;
        for (uint32_t g = 0; g < GROUPS; g++) vst1q_f32(to + 4 * g, sums[g]);
        if (to == last) memcpy(y + r, last, (row1 - r) * sizeof *y);
    }
}

/* ---- GEMM: one block of a tile is expanded to +-1 bytes and meets every vector ------------- */

BK_LAYOUT_IS(neon_sdot, TILE, 0);

enum { MOST = 4 }; /* vectors at once: 4 x 4 sums of four rows fill 16 registers */

/* signs [32][4 groups][16]: per four columns, four rows by four columns */
static inline void expand(const uint8_t *p, int8_t *signs) {
    int8x16_t one = vdupq_n_s8(1);
    uint8x16_t bit[8];
    for (uint32_t i = 0; i < 8; i++) bit[i] = vdupq_n_u8((uint8_t)(1u << i));
    /* what compilers know to be constants they test by longer ways than CMTST */
    __asm__("" : "+w"(one), "+w"(bit[0]), "+w"(bit[1]), "+w"(bit[2]), "+w"(bit[3]));
    __asm__("" : "+w"(bit[4]), "+w"(bit[5]), "+w"(bit[6]), "+w"(bit[7]));
    for (uint32_t g = 0; g < GROUPS; g++)
        for (uint32_t v = 0; v < 4; v++) {
            uint8x16_t w = vld1q_u8(p + GROUP_BYTES * g + 16 * v);
            int8_t *to = signs + (size_t)v * 8 * 64 + 16 * g;
#pragma GCC unroll 8
            for (uint32_t i = 0; i < 8; i++)
                vst1q_s8(to + 64 * i, vornq_s8(one, vreinterpretq_s8_u8(vtstq_u8(w, bit[i]))));
        }
}

typedef struct {
    const int8_t *signs;
    float32x4_t d[GROUPS]; /* scales of 16 rows */
    const uint8_t *act;    /* of the first vector */
    size_t act_bytes, stride;
    uint32_t cols, block;
    float *y; /* [n][stride], 16 rows from here on */
} block_of_tile;

/* acc[t] += one lane's four columns; no load may move ahead, or registers run out */
#define LANE(l)                                                                                    \
    for (uint32_t g = 0; g < GROUPS; g++) {                                                        \
        int8x16_t s = vld1q_s8(signs + 64 * (l) + 16 * g);                                         \
        for (uint32_t t = 0; t < n; t++) acc[t][g] = vdotq_laneq_s32(acc[t][g], s, q[t], l);       \
    }                                                                                              \
    __asm__ volatile("" : : : "memory");

/* y [16] += dot * (d * s) */
static inline void add_rows(float *y, const int32x4_t dot[GROUPS], const float32x4_t d[GROUPS],
                            float s) {
    float32x4_t sum[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++)
        sum[g] = bk_neon_add_block(vld1q_f32(y + 4 * g), dot[g], vmulq_n_f32(d[g], s));
    for (uint32_t g = 0; g < GROUPS; g++) vst1q_f32(y + 4 * g, sum[g]);
}

/* y += this block's part, n vectors from t0 on. */
static inline __attribute__((always_inline)) void multiply(const block_of_tile *job, uint32_t t0,
                                                           uint32_t n) {
    const block_of_tile own = *job; /* stores to y cannot touch it */
    const uint8_t *act = own.act + t0 * own.act_bytes;
    const int8_t *from = (const int8_t *)act + (size_t)own.block * BK_Q1_COLS;
    const int8_t *signs = own.signs;
    int32x4_t acc[MOST][GROUPS];
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t g = 0; g < GROUPS; g++) acc[t][g] = vdupq_n_s32(0);
    for (uint32_t i = 0; i < STEPS; i++, signs += 256) {
        int8x16_t q[MOST];
        for (uint32_t t = 0; t < n; t++) q[t] = vld1q_s8(from + t * own.act_bytes + 16 * i);
        LANE(0)
        LANE(1)
        LANE(2)
        LANE(3)
    }
    const uint8_t *info = (const uint8_t *)(bk_act_blocks(act, own.cols) + own.block);
    float *y = own.y + t0 * own.stride;
#pragma GCC unroll 4
    for (uint32_t t = 0; t < n; t++, info += own.act_bytes, y += own.stride)
        add_rows(y, acc[t], own.d, ((const bk_act_block *)(const void *)info)->scale);
}

static void multiply_4(const block_of_tile *job, uint32_t t) { multiply(job, t, 4); }
static void multiply_2(const block_of_tile *job, uint32_t t) { multiply(job, t, 2); }
static void multiply_1(const block_of_tile *job, uint32_t t) { multiply(job, t, 1); }

static void tile_gemm(const uint8_t *p, block_of_tile *job, uint32_t n) {
    int8_t signs[TILE * BK_Q1_COLS];
    job->signs = signs;
    for (uint32_t t = 0; t < n; t++) memset(job->y + t * job->stride, 0, TILE * sizeof *job->y);
    for (job->block = 0; job->block < job->cols / BK_Q1_COLS; job->block++, p += TILE_BLOCK) {
        expand(p, signs);
        for (uint32_t h = 0; h < 2; h++) {
            uint16x8_t scales = vreinterpretq_u16_u8(vld1q_u8(p + SCALES_AT + 16 * h));
            job->d[2 * h] = bk_neon_low_f32(scales);
            job->d[2 * h + 1] = bk_neon_high_f32(scales);
        }
        uint32_t t = 0;
        for (; t + 4 <= n; t += 4) multiply_4(job, t);
        for (; t + 2 <= n; t += 2) multiply_2(job, t);
        for (; t < n; t++) multiply_1(job, t);
    }
}

enum { CHUNK = 24 }; /* vectors of a last tile, whose missing rows must not be written */

static void gemm(const bk_mat *w, const void *act, uint32_t n, float *y, size_t stride,
                 uint32_t row0, uint32_t row1) {
    size_t bytes = bk_act_plain_bytes(w->cols);
    size_t tile_bytes = (size_t)(w->cols / BK_Q1_COLS) * TILE_BLOCK;
    block_of_tile job = {.act = act, .act_bytes = bytes, .cols = w->cols, .stride = stride};
    uint32_t r = row0;
    for (; r + TILE <= row1; r += TILE) {
        job.y = y + r;
        tile_gemm(w->packed + r / TILE * tile_bytes, &job, n);
    }
    for (uint32_t t = 0; r < row1 && t < n; t += CHUNK) {
        float last[CHUNK * TILE];
        uint32_t now = n - t < CHUNK ? n - t : CHUNK;
        job.act = (const uint8_t *)act + t * bytes;
        job.y = last;
        job.stride = TILE;
        tile_gemm(w->packed + r / TILE * tile_bytes, &job, now);
        for (uint32_t i = 0; i < now; i++)
            memcpy(y + (t + i) * stride + r, last + i * TILE, (row1 - r) * sizeof *y);
    }
}

/* ---- the packed layout -------------------------------------------------------------------- */

/* Exchange the bits under mask with those `shift` places above. */
static inline uint64_t exchange(uint64_t x, uint64_t mask, uint32_t shift) {
    uint64_t t = ((x >> shift) ^ x) & mask;
    return x ^ t ^ (t << shift);
}

/* In each half: even bits down, odd bits up. */
static inline uint64_t unshuffle(uint64_t x) {
    x = exchange(x, UINT64_C(0x2222222222222222), 1);
    x = exchange(x, UINT64_C(0x0c0c0c0c0c0c0c0c), 2);
    x = exchange(x, UINT64_C(0x00f000f000f000f0), 4);
    return exchange(x, UINT64_C(0x0000ff000000ff00), 8);
}

/* A row's 16 bytes of a block: bit 4i+j of each 32 goes to bit i of byte j. */
static void place(const uint8_t *bits, uint8_t *to, uint32_t row) {
    to += row / 4 * GROUP_BYTES + row % 4 * 4;
    for (uint32_t h = 0; h < 2; h++) {
        uint64_t x = unshuffle(unshuffle(bk_load64_le(bits + 8 * h)));
        bk_store32_le(to + 32 * h, (uint32_t)x);
        bk_store32_le(to + 32 * h + 16, (uint32_t)(x >> 32));
    }
}

static uint32_t bit_at(uint32_t row, uint32_t col) {
    uint32_t byte = row / 4 * GROUP_BYTES + col / 32 * 16 + row % 4 * 4 + col % 4;
    return 8 * byte + col % 32 / 4;
}

BK_NEON_LAYOUT(TILE, place, bit_at)

BK_KERNEL(bk_kernel_neon_sdot, "neon-sdot", "dot-product", bk_act_plain_bytes, bk_neon_quantise,
          gemv, gemm, BK_NEON_SHARED(TILE));
