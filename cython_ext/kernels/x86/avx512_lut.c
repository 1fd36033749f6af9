/* avx512_lut.c: look-up tables over the activations: one permute looks up 32 rows at once.
 *
 * A word of 16 columns is three indices of 6, 5 and 5 bits; their tables hold twice the sum of the
 * q whose bit is set, as int16. The permutes ignore index bits above their table's size, so
 * that two shifts are all the unpacking. A block's 24 look-ups and -(sum of q) make its dot
 * product, which fits int16 (at most 128 * 127).
 */
#include "avx512.h"

enum {
    WORD = 128,                /* entries of one word's tables: 64 + 32 + 32 */
    BLOCK = WORD * BK_AVX512_WORDS,
    GEMM_BLOCKS = 4,           /* 18 KB of two tiles' weights, in L1 for all vectors */
    GEMM_VECTORS = 32,         /* 8 KB of tables each, in L2 for all tiles */
};

BK_LAYOUT_IS(avx512_lut, BK_AVX512_ROWS, BLOCK * sizeof(int16_t));

static size_t act_bytes(uint32_t cols) {
    return bk_act_plain_bytes(cols) + (size_t)cols / BK_Q1_COLS * BLOCK * sizeof(int16_t);
}

static inline int16_t *tables_of(const void *act, uint32_t cols) {
    return (int16_t *)(uintptr_t)((const int8_t *)act + bk_act_plain_bytes(cols));
}

/* ---- tables ------------------------------------------------------------------------------- */

/* Of a pair of columns in entry 0..31: weight 2 where the entry has the bit, else 0. */
static inline __m512i pair_weights(short low, short high) {
    __m512i entry = _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16,
                                     15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __mmask32 a = _mm512_test_epi16_mask(entry, _mm512_set1_epi16(low));
    __mmask32 b = _mm512_test_epi16_mask(entry, _mm512_set1_epi16(high));
    return _mm512_or_si512(_mm512_maskz_set1_epi16(a, 2), _mm512_maskz_set1_epi16(b, 512));
}

static inline __m512i pair(const int8_t *q) {
    int16_t both;
    memcpy(&both, q, 2);
    return _mm512_set1_epi16(both);
}

/* 32 entries for five columns; the last pair's second column weighs nothing (it is only read). */
static inline __m512i table5(const int8_t *q, __m512i w01, __m512i w23, __m512i w4) {
    __m512i a = _mm512_maddubs_epi16(w01, pair(q)), b = _mm512_maddubs_epi16(w23, pair(q + 2));
    return _mm512_add_epi16(_mm512_add_epi16(a, b), _mm512_maddubs_epi16(w4, pair(q + 4)));
}

static void make_tables(const int8_t *q, uint32_t cols, int16_t *table) {
    __m512i w01 = pair_weights(1, 2), w23 = pair_weights(4, 8), w4 = pair_weights(16, 0);
    __m512i second = _mm512_set1_epi16(512);
    for (uint32_t j = 0; j < cols; j += 16, q += 16, table += WORD) {
        __m512i low = table5(q, w01, w23, w4);
        __m512i high = _mm512_add_epi16(low, _mm512_maddubs_epi16(second, pair(q + 4)));
        _mm512_store_si512(table, low);
        _mm512_store_si512(table + 32, high);
        _mm512_store_si512(table + 64, table5(q + 6, w01, w23, w4));
        _mm512_store_si512(table + 96, table5(q + 11, w01, w23, w4));
    }
}

static void quantise(const float *x, uint32_t cols, void *act) {
    bk_avx512_quantise(x, cols, act);
    make_tables(act, cols, tables_of(act, cols));
}

/* ---- products ----------------------------------------------------------------------------- */

/* Add n blocks of one or two tiles, `next` bytes apart, to f. Two share each look-up table's loads,
 * and as two streams they come faster from memory: stream fetches them ahead. */
static inline __attribute__((always_inline)) void add_blocks(const uint8_t *w, size_t next,
                                                             int tiles, bool stream,
                                                             const int16_t *table,
                                                             const bk_act_block *info, uint32_t n,
                                                             bk_avx512_sums *f) {
    const int regs = BK_AVX512_REGS * tiles;
    for (uint32_t b = 0; b < n; b++, w += BK_AVX512_BLOCK_BYTES, table += BLOCK) {
        __m512i dots[2 * BK_AVX512_REGS];
#pragma GCC unroll 8
        for (int i = 0; i < regs; i++) dots[i] = _mm512_set1_epi16((short)-info[b].sum);
#pragma GCC unroll 1
        for (int k = 0; k < BK_AVX512_WORDS; k++) {
            const int16_t *t = table + k * WORD;
            __m512i t0 = _mm512_load_si512(t), t1 = _mm512_load_si512(t + 32);
            __m512i t2 = _mm512_load_si512(t + 64), t3 = _mm512_load_si512(t + 96);
#pragma GCC unroll 8
            for (int i = 0; i < regs; i++) {
                const uint8_t *at = w + (i < BK_AVX512_REGS ? 0 : next) + k * BK_AVX512_WORD_BYTES;
                at += 64 * (i % BK_AVX512_REGS);
                __m512i word = _mm512_load_si512(at);
                if (stream) _mm_prefetch((const char *)at + BK_AVX512_AHEAD, _MM_HINT_T0);
                __m512i a = _mm512_permutex2var_epi16(t0, word, t1);
                __m512i b6 = _mm512_permutexvar_epi16(_mm512_srli_epi16(word, 6), t2);
                __m512i b11 = _mm512_permutexvar_epi16(_mm512_srli_epi16(word, 11), t3);
                dots[i] = _mm512_add_epi16(dots[i], a);
                dots[i] = _mm512_add_epi16(dots[i], _mm512_add_epi16(b6, b11));
            }
        }
        __m512 scale = _mm512_set1_ps(info[b].scale);
#pragma GCC unroll 8
        for (int i = 0; i < regs; i++)
            bk_avx512_add(&f[i / BK_AVX512_REGS], i % BK_AVX512_REGS, dots[i],
                          w + (i < BK_AVX512_REGS ? 0 : next), scale);
    }
}

/* Blocks [b0, b0 + n) of one or two tiles from `row` on, and one vector; y holds the sums of the
 * blocks before. */
static inline __attribute__((always_inline)) void add_tiles(const bk_mat *w, const void *act,
                                                            uint32_t b0, uint32_t n, int tiles,
                                                            bool stream, float *y, uint32_t row,
                                                            uint32_t row1) {
    const uint8_t *from = bk_avx512_tile(w, row) + (size_t)b0 * BK_AVX512_BLOCK_BYTES;
    size_t next = (size_t)(w->cols / BK_Q1_COLS) * BK_AVX512_BLOCK_BYTES;
    bk_avx512_sums f[2];
#pragma GCC unroll 2
    for (int i = 0; i < tiles; i++) {
        if (b0) bk_avx512_load(&f[i], y, row + (uint32_t)i * BK_AVX512_ROWS, row1);
        else bk_avx512_zero(&f[i]);
    }
    add_blocks(from, next, tiles, stream, tables_of(act, w->cols) + (size_t)b0 * BLOCK,
               bk_act_blocks(act, w->cols) + b0, n, f);
#pragma GCC unroll 2
    for (int i = 0; i < tiles; i++)
        bk_avx512_store(&f[i], y, row + (uint32_t)i * BK_AVX512_ROWS, row1);
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    uint32_t row = row0, blocks = w->cols / BK_Q1_COLS;
    for (; row + BK_AVX512_ROWS < row1; row += 2 * BK_AVX512_ROWS)
        add_tiles(w, act, 0, blocks, 2, true, y, row, row1);
    if (row < row1) add_tiles(w, act, 0, blocks, 1, true, y, row, row1);
}

/* Some blocks of all rows, for n vectors. */
static void gemm_blocks(const bk_mat *w, const uint8_t *act, uint32_t n, float *y, size_t stride,
                        uint32_t row0, uint32_t row1, uint32_t b0, uint32_t blocks) {
    size_t bytes = act_bytes(w->cols);
    uint32_t row = row0;
    for (; row + BK_AVX512_ROWS < row1; row += 2 * BK_AVX512_ROWS)
        for (uint32_t t = 0; t < n; t++)
            add_tiles(w, act + t * bytes, b0, blocks, 2, false, y + t * stride, row, row1);
    for (uint32_t t = 0; t < n && row < row1; t++)
        add_tiles(w, act + t * bytes, b0, blocks, 1, false, y + t * stride, row, row1);
}

static void gemm(const bk_mat *w, const void *act, uint32_t n, float *y, size_t stride,
                 uint32_t row0, uint32_t row1) {
    bk_tile_panels(w, act, act_bytes(w->cols), n, y, stride, row0, row1, GEMM_VECTORS, GEMM_BLOCKS,
                   gemm_blocks);
}

BK_KERNEL(bk_kernel_avx512_lut, "avx512-lut", "look-up", act_bytes, quantise, gemv, gemm,
          BK_AVX512_SHARED);
