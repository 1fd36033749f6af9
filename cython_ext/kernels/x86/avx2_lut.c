/* avx2_lut.c: look-up tables over the activations: PSHUFB looks up four columns of 32 rows.
 *
 * An entry is 512 + the sum of +-q, 4..1020, in two tables of its low and its high 5 bits: eight
 * look-ups add up within a byte. Then low + 32 * high goes to int16, where a block's 32 look-ups
 * started at -32 * 512 make its dot product.
 */
#include "avx2.h"

enum {
    TABLE = 32,                         /* bytes: 16 low parts, 16 high parts */
    BLOCK = TABLE * BK_Q1_COLS / 4,
    BIAS = 512,
    GEMM_BLOCKS = 8,                    /* 9 KB of a tile's weights, in L1 for all vectors */
    GEMM_VECTORS = 16,                  /* 8 KB of tables each, in L2 for all tiles */
};

BK_LAYOUT_IS(avx2_lut, BK_AVX2_ROWS, BLOCK);

static size_t act_bytes(uint32_t cols) {
    return bk_act_plain_bytes(cols) + (size_t)cols / BK_Q1_COLS * BLOCK;
}

static inline uint8_t *tables_of(const void *act, uint32_t cols) {
    return (uint8_t *)(uintptr_t)((const int8_t *)act + bk_act_plain_bytes(cols));
}

/* ---- tables ------------------------------------------------------------------------------- */

/* Of a pair of columns in entry 0..15: weight 2 where the entry has the bit, else 0. */
static inline __m256i pair_weights(short low, short high) {
    __m256i entry = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m256i a = _mm256_set1_epi16(low), b = _mm256_set1_epi16(high);
    a = _mm256_and_si256(_mm256_cmpeq_epi16(_mm256_and_si256(entry, a), a), _mm256_set1_epi16(2));
    b = _mm256_and_si256(_mm256_cmpeq_epi16(_mm256_and_si256(entry, b), b), _mm256_set1_epi16(512));
    return _mm256_or_si256(a, b);
}

static inline __m256i pair(const int8_t *q) {
    int16_t both;
    memcpy(&both, q, 2);
    return _mm256_set1_epi16(both);
}

static void make_tables(const int8_t *q, uint32_t cols, uint8_t *table) {
    __m256i w01 = pair_weights(1, 2), w23 = pair_weights(4, 8), ones = _mm256_set1_epi8(1);
    for (uint32_t j = 0; j < cols; j += 4, q += 4, table += TABLE) {
        __m256i a = pair(q), b = pair(q + 2);
        __m256i set = _mm256_add_epi16(_mm256_maddubs_epi16(w01, a), _mm256_maddubs_epi16(w23, b));
        __m256i a_all = _mm256_maddubs_epi16(ones, a), b_all = _mm256_maddubs_epi16(ones, b);
        __m256i entry = _mm256_sub_epi16(set, _mm256_add_epi16(a_all, b_all));
        entry = _mm256_add_epi16(entry, _mm256_set1_epi16(BIAS));
        __m256i low = _mm256_and_si256(entry, _mm256_set1_epi16(31));
        __m256i both = _mm256_packus_epi16(low, _mm256_srli_epi16(entry, 5));
        both = _mm256_permute4x64_epi64(both, 0xd8);
        _mm256_store_si256((__m256i *)(void *)table, both);
    }
}

static void quantise(const float *x, uint32_t cols, void *act) {
    bk_avx2_quantise(x, cols, act);
    make_tables(act, cols, tables_of(act, cols));
}

/* ---- products ----------------------------------------------------------------------------- */

static inline __m256i table_at(const uint8_t *t) {
    return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)t));
}

/* Eight look-ups of 32 rows, summed by bytes, to int16: rows 0..7 and 16..23; the others. */
static inline __attribute__((always_inline)) void widen(__m256i low, __m256i high, __m256i to[2]) {
    __m256i weights = _mm256_set1_epi16(1 + 32 * 256);
    to[0] = _mm256_add_epi16(to[0], _mm256_maddubs_epi16(_mm256_unpacklo_epi8(low, high), weights));
    to[1] = _mm256_add_epi16(to[1], _mm256_maddubs_epi16(_mm256_unpackhi_epi8(low, high), weights));
}

/* One block's dot products with 64 rows. */
static inline __attribute__((always_inline)) void block_dots(const uint8_t *w, const uint8_t *t,
                                                             bool stream,
                                                             __m256i dots[BK_AVX2_REGS][2]) {
    __m256i nibble = _mm256_set1_epi8(15), start = _mm256_set1_epi16(-32 * BIAS);
    dots[0][0] = dots[0][1] = dots[1][0] = dots[1][1] = start;
#pragma GCC unroll 1
    for (int four = 0; four < BK_AVX2_BYTES / 4; four++) {
        __m256i low0 = _mm256_setzero_si256(), high0 = low0, low1 = low0, high1 = low0;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++, w += BK_AVX2_ROWS, t += 2 * TABLE) {
            if (stream) _mm_prefetch((const char *)w + BK_AVX2_AHEAD, _MM_HINT_T0);
            __m256i w0 = bk_avx2_load(w), w1 = bk_avx2_load(w + 32);
            __m256i a = _mm256_and_si256(w0, nibble), b = _mm256_and_si256(w1, nibble);
            low0 = _mm256_add_epi8(low0, _mm256_shuffle_epi8(table_at(t), a));
            high0 = _mm256_add_epi8(high0, _mm256_shuffle_epi8(table_at(t + 16), a));
            low1 = _mm256_add_epi8(low1, _mm256_shuffle_epi8(table_at(t), b));
            high1 = _mm256_add_epi8(high1, _mm256_shuffle_epi8(table_at(t + 16), b));
            a = _mm256_and_si256(_mm256_srli_epi16(w0, 4), nibble);
            b = _mm256_and_si256(_mm256_srli_epi16(w1, 4), nibble);
            low0 = _mm256_add_epi8(low0, _mm256_shuffle_epi8(table_at(t + 32), a));
            high0 = _mm256_add_epi8(high0, _mm256_shuffle_epi8(table_at(t + 48), a));
            low1 = _mm256_add_epi8(low1, _mm256_shuffle_epi8(table_at(t + 32), b));
            high1 = _mm256_add_epi8(high1, _mm256_shuffle_epi8(table_at(t + 48), b));
        }
        widen(low0, high0, dots[0]);
        widen(low1, high1, dots[1]);
    }
}

/* f[64] += n blocks of a tile. */
static inline __attribute__((always_inline)) void add_blocks(const uint8_t *w, const uint8_t *table,
                                                             const bk_act_block *info, uint32_t n,
                                                             bool stream, float *f) {
    for (uint32_t b = 0; b < n; b++, w += BK_AVX2_BLOCK_BYTES, table += BLOCK) {
        __m256i dots[BK_AVX2_REGS][2];
        __m256 scale = _mm256_set1_ps(info[b].scale);
        block_dots(w, table, stream, dots);
#pragma GCC unroll 2
        for (int r = 0; r < BK_AVX2_REGS; r++) {
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) { /* rows 8 i .. 8 i + 7 */
                const uint8_t *d = w + BK_AVX2_SCALES_AT + 64 * r + 16 * i;
                __m128i eight = _mm256_castsi256_si128(dots[r][i & 1]);
                if (i & 2) eight = _mm256_extracti128_si256(dots[r][i & 1], 1);
                bk_avx2_add(f + 32 * r + 8 * i, _mm256_cvtepi16_epi32(eight),
                            _mm_load_si128((const __m128i *)(const void *)d), scale);
            }
        }
    }
}

/* Blocks [b0, b0 + n) of the tile at `row`, and one vector; y holds the sums of those before. */
static inline __attribute__((always_inline)) void add_tile(const bk_mat *w, const void *act,
                                                           uint32_t b0, uint32_t n, bool stream,
                                                           float *y, uint32_t row, uint32_t row1) {
    _Alignas(32) float f[BK_AVX2_ROWS];
    if (b0) bk_avx2_copy(f, y + row, row1 - row);
    else memset(f, 0, sizeof f);
    add_blocks(bk_avx2_tile(w, row) + (size_t)b0 * BK_AVX2_BLOCK_BYTES,
               tables_of(act, w->cols) + (size_t)b0 * BLOCK, bk_act_blocks(act, w->cols) + b0, n,
               stream, f);
    bk_avx2_copy(y + row, f, row1 - row);
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    for (uint32_t row = row0; row < row1; row += BK_AVX2_ROWS)
        add_tile(w, act, 0, w->cols / BK_Q1_COLS, true, y, row, row1);
}

/* Some blocks of all rows, for n vectors. */
static void gemm_blocks(const bk_mat *w, const uint8_t *act, uint32_t n, float *y, size_t stride,
                        uint32_t row0, uint32_t row1, uint32_t b0, uint32_t blocks) {
    size_t bytes = act_bytes(w->cols);
    for (uint32_t row = row0; row < row1; row += BK_AVX2_ROWS)
        for (uint32_t t = 0; t < n; t++)
            add_tile(w, act + t * bytes, b0, blocks, false, y + t * stride, row, row1);
}

static void gemm(const bk_mat *w, const void *act, uint32_t n, float *y, size_t stride,
                 uint32_t row0, uint32_t row1) {
    bk_tile_panels(w, act, act_bytes(w->cols), n, y, stride, row0, row1, GEMM_VECTORS, GEMM_BLOCKS,
                   gemm_blocks);
}

BK_KERNEL(bk_kernel_avx2_lut, "avx2-lut", "look-up", act_bytes, quantise, gemv, gemm,
          BK_AVX2_SHARED);
