/* avx2_maddubs.c: bits expanded to bytes 0 and 1, and PMADDUBSW: four columns of 8 rows at once.
 *
 * A row's two int16 hold the sums of 64 q of a block each, at most 64 * 127; twice their sum, less
 * the sum of all q, is the dot product. A group of 8 rows is rows 4 g .. 4 g + 3 of the first half
 * of 32 rows and the same of the second half, since PSHUFB stays within a half.
 */
#include "avx2.h"

enum {
    STEPS = BK_Q1_COLS / 4,      /* of four columns in a block */
    GROUPS = BK_AVX2_ROWS / 8,   /* of 8 rows in a tile */
    STEP_BYTES = 32 * GROUPS,
    SIDE = 4,                    /* groups by two vectors, whose sums stay in registers */
};

/* Repeats each byte of group g's rows four times. */
static inline __m256i repeat_rows(int g) {
    __m128i low = _mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm256_broadcastsi128_si256(_mm_add_epi8(low, _mm_set1_epi8((char)(4 * g))));
}

/* Bytes 0 and 1: four columns, of the low or the high nibble. */
static inline __m256i weights_of(__m256i repeated, int nibble) {
    __m256i bits = _mm256_set1_epi32(nibble ? (int)0x80402010 : 0x08040201);
    return _mm256_min_epu8(_mm256_and_si256(repeated, bits), _mm256_set1_epi8(1));
}

static inline __m256i four(const int8_t *q) {
    int32_t v;
    memcpy(&v, q, 4);
    return _mm256_set1_epi32(v);
}

/* A group's sums, with its scales, to its 8 floats; rows: its first row among the tile's. */
static inline void add_group(float *f, uint32_t rows, __m256i sums, const uint8_t *scales,
                             const bk_act_block *info) {
    __m256i dots = _mm256_madd_epi16(sums, _mm256_set1_epi16(2));
    dots = _mm256_sub_epi32(dots, _mm256_set1_epi32(info->sum));
    __m128i low = _mm_loadl_epi64((const __m128i *)(const void *)(scales + 2 * rows));
    __m128i high = _mm_loadl_epi64((const __m128i *)(const void *)(scales + 2 * (rows + 16)));
    __m256 d = _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high));
    __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(info->scale));
    __m256 c = _mm256_mul_ps(_mm256_cvtepi32_ps(dots), scale);
    __m128 c0 = _mm256_castps256_ps128(c), c1 = _mm256_extractf128_ps(c, 1);
    _mm_storeu_ps(f + rows, _mm_add_ps(_mm_loadu_ps(f + rows), c0));
    _mm_storeu_ps(f + rows + 16, _mm_add_ps(_mm_loadu_ps(f + rows + 16), c1));
}

/* The first row of group g of a tile; the other four are 16 further. */
static inline uint32_t group_row(uint32_t g) { return 32 * (g / 4) + 4 * (g % 4); }

/* ---- one vector --------------------------------------------------------------------------- */

static void add_block(const uint8_t *w, const int8_t *q, const bk_act_block *info, float *f) {
    for (uint32_t r = 0; r < BK_AVX2_REGS; r++) {
        __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
        for (uint32_t i = 0; i < BK_AVX2_BYTES; i++) {
            const uint8_t *at = w + i * BK_AVX2_ROWS + 32 * r;
            __m256i word = bk_avx2_load(at), qa = four(q + 8 * i), qb = four(q + 8 * i + 4);
            _mm_prefetch((const char *)at + BK_AVX2_AHEAD, _MM_HINT_T0);
            __m256i x = _mm256_shuffle_epi8(word, repeat_rows(0));
            s0 = _mm256_add_epi16(s0, _mm256_maddubs_epi16(weights_of(x, 0), qa));
            s0 = _mm256_add_epi16(s0, _mm256_maddubs_epi16(weights_of(x, 1), qb));
            x = _mm256_shuffle_epi8(word, repeat_rows(1));
            s1 = _mm256_add_epi16(s1, _mm256_maddubs_epi16(weights_of(x, 0), qa));
            s1 = _mm256_add_epi16(s1, _mm256_maddubs_epi16(weights_of(x, 1), qb));
            x = _mm256_shuffle_epi8(word, repeat_rows(2));
            s2 = _mm256_add_epi16(s2, _mm256_maddubs_epi16(weights_of(x, 0), qa));
            s2 = _mm256_add_epi16(s2, _mm256_maddubs_epi16(weights_of(x, 1), qb));
            x = _mm256_shuffle_epi8(word, repeat_rows(3));
            s3 = _mm256_add_epi16(s3, _mm256_maddubs_epi16(weights_of(x, 0), qa));
            s3 = _mm256_add_epi16(s3, _mm256_maddubs_epi16(weights_of(x, 1), qb));
        }
        const uint8_t *scales = w + BK_AVX2_SCALES_AT;
        add_group(f, group_row(4 * r), s0, scales, info);
        add_group(f, group_row(4 * r + 1), s1, scales, info);
        add_group(f, group_row(4 * r + 2), s2, scales, info);
        add_group(f, group_row(4 * r + 3), s3, scales, info);
    }
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    const bk_act_block *info = bk_act_blocks(act, w->cols);
    for (uint32_t row = row0; row < row1; row += BK_AVX2_ROWS) {
        const uint8_t *tile = bk_avx2_tile(w, row);
        _Alignas(32) float f[BK_AVX2_ROWS] = {0};
        for (uint32_t b = 0; b < w->cols / BK_Q1_COLS; b++, tile += BK_AVX2_BLOCK_BYTES)
            add_block(tile, (const int8_t *)act + (size_t)b * BK_Q1_COLS, &info[b], f);
        bk_avx2_copy(y + row, f, row1 - row);
    }
}

/* ---- many vectors: a block of a tile expanded once ------------------------------------------ */

/* u8 [STEPS, GROUPS, 8 rows, 4 columns] */
static void expand(const uint8_t *w, uint8_t *to) {
    for (int i = 0; i < BK_AVX2_BYTES; i++)
        for (int g = 0; g < GROUPS; g++) {
            __m256i word = bk_avx2_load(w + i * BK_AVX2_ROWS + 32 * (g / 4));
            __m256i repeated = _mm256_shuffle_epi8(word, repeat_rows(g % 4));
            uint8_t *at = to + 2 * i * STEP_BYTES + 32 * g;
            _mm256_store_si256((__m256i *)(void *)at, weights_of(repeated, 0));
            _mm256_store_si256((__m256i *)(void *)(at + STEP_BYTES), weights_of(repeated, 1));
        }
}

/* SIDE groups from w on by two vectors: int16 sums [2, SIDE, 16]. */
static void multiply(const uint8_t *w, const int8_t *q0, const int8_t *q1, __m256i *to) {
    __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
    __m256i b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (int s = 0; s < STEPS; s++, w += STEP_BYTES, q0 += 4, q1 += 4) {
        __m256i x = four(q0), y = four(q1), w0 = bk_avx2_load(w), w1 = bk_avx2_load(w + 32);
        a0 = _mm256_add_epi16(a0, _mm256_maddubs_epi16(w0, x));
        b0 = _mm256_add_epi16(b0, _mm256_maddubs_epi16(w0, y));
        a1 = _mm256_add_epi16(a1, _mm256_maddubs_epi16(w1, x));
        b1 = _mm256_add_epi16(b1, _mm256_maddubs_epi16(w1, y));
        w0 = bk_avx2_load(w + 64), w1 = bk_avx2_load(w + 96);
        a2 = _mm256_add_epi16(a2, _mm256_maddubs_epi16(w0, x));
        b2 = _mm256_add_epi16(b2, _mm256_maddubs_epi16(w0, y));
        a3 = _mm256_add_epi16(a3, _mm256_maddubs_epi16(w1, x));
        b3 = _mm256_add_epi16(b3, _mm256_maddubs_epi16(w1, y));
    }
    to[0] = a0, to[1] = a1, to[2] = a2, to[3] = a3;
    to[4] = b0, to[5] = b1, to[6] = b2, to[7] = b3;
}

/* One block's product with one tile: where everything of it lies. */
typedef struct {
    const uint8_t *bytes, *scales; /* expanded weights; fp16 [BK_AVX2_ROWS] */
    const uint8_t *act;            /* the first vector's q of this block */
    size_t info_at;                /* from there to the block's scale and sum */
    size_t act_bytes, stride;
    uint32_t rows; /* of the tile that exist */
    bool first;    /* of the row's blocks */
} block_product;

/* Add one vector's sums of SIDE groups from g on; y: of the tile's rows. */
static void add_sums(const block_product *p, const __m256i *sums, uint32_t g, uint32_t t,
                     float *y) {
    _Alignas(32) float f[BK_AVX2_ROWS] = {0};
    bk_act_block info;
    memcpy(&info, p->act + t * p->act_bytes + p->info_at, sizeof info);
    y += t * p->stride;
    if (!p->first) bk_avx2_copy(f, y, p->rows);
    for (uint32_t i = 0; i < SIDE; i++) add_group(f, group_row(g + i), sums[i], p->scales, &info);
    uint32_t end = group_row(g) + 8 * SIDE < p->rows ? group_row(g) + 8 * SIDE : p->rows;
    for (uint32_t i = group_row(g); i < end; i++) y[i] = f[i];
}

static void multiply_block(const block_product *p, uint32_t n, float *y) {
    for (uint32_t t = 0; t < n; t += 2) {
        const int8_t *q0 = (const int8_t *)p->act + t * p->act_bytes;
        const int8_t *q1 = t + 1 < n ? q0 + p->act_bytes : q0; /* the odd one's partner is itself */
        for (uint32_t g = 0; g < GROUPS; g += SIDE) {
            __m256i sums[2 * SIDE];
            multiply(p->bytes + 32 * g, q0, q1, sums);
            add_sums(p, sums, g, t, y);
            if (q1 != q0) add_sums(p, sums + SIDE, g, t + 1, y);
        }
    }
}

static void gemm(const bk_mat *w, const void *act, uint32_t n, float *y, size_t stride,
                 uint32_t row0, uint32_t row1) {
    _Alignas(32) uint8_t bytes[STEPS * STEP_BYTES];
    block_product p = {.bytes = bytes, .stride = stride, .act_bytes = bk_act_plain_bytes(w->cols)};
    for (uint32_t row = row0; row < row1; row += BK_AVX2_ROWS) {
        const uint8_t *tile = bk_avx2_tile(w, row);
        p.rows = row1 - row;
        for (uint32_t b = 0; b < w->cols / BK_Q1_COLS; b++, tile += BK_AVX2_BLOCK_BYTES) {
            expand(tile, bytes);
            p.scales = tile + BK_AVX2_SCALES_AT;
            p.act = (const uint8_t *)act + (size_t)b * BK_Q1_COLS;
            p.info_at = (size_t)((const uint8_t *)(bk_act_blocks(act, w->cols) + b) - p.act);
            p.first = b == 0;
            multiply_block(&p, n, y + row);
        }
    }
}

BK_KERNEL(bk_kernel_avx2_maddubs, "avx2-maddubs", "dot-product", bk_act_plain_bytes,
          bk_avx2_quantise, gemv, gemm, BK_AVX2_SHARED);

BK_LAYOUT_IS(avx2_maddubs, BK_AVX2_ROWS, 0);
