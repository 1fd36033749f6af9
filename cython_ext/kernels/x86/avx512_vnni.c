/* avx512_vnni.c: bits expanded to bytes 0 and 2, and VPDPBUSD: four columns of 16 rows at once.
 *
 * A row's sum over a block of 2 q where the bit is set, less the sum of all q, is its dot product.
 */
#include "avx512_vnni.h"

#include "avx512.h"

enum {
    STEPS = BK_Q1_COLS / 4,            /* of four columns in a block */
    GROUPS = BK_AVX512_ROWS / 16,      /* of 16 rows in a tile */
    STEP_BYTES = 64 * GROUPS,
    SIDE = 4,                          /* groups of rows by ... */
    VECTORS = 6,                       /* ... vectors, whose sums stay in registers */
    PASS = 16 * VECTORS,               /* vectors whose sums stay in L2 over a row's blocks */
};

/* The four look-ups that repeat byte 0, 1, 2 or 3 of each dword. */
static inline __m512i repeat_byte(int i) {
    __m128i low = _mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    return _mm512_broadcast_i32x4(_mm_add_epi8(low, _mm_set1_epi8((char)i)));
}

/* Four columns of 16 rows as bytes: those of a word's byte `i % 2`, of the rows in half i / 2 of
 * each dword; nibble: which four of that byte. */
static inline __m512i weights_of(__m512i repeated, int nibble) {
    __m512i bits = _mm512_set1_epi32(nibble ? (int)0x80402010 : 0x08040201);
    return _mm512_maskz_set1_epi8(_mm512_test_epi8_mask(repeated, bits), 2);
}

static inline __m512i four(const int8_t *q) {
    int32_t v;
    memcpy(&v, q, 4);
    return _mm512_set1_epi32(v);
}

/* The intrinsic, which GCC 12 surrounds with copies and spills of the sums: 3 times slower. */
static inline __m512i dpbusd(__m512i sums, __m512i weights, __m512i q) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(q));
    return sums;
}

/* ---- one vector: expanded as it goes ------------------------------------------------------- */

/* The block's sums of 32 rows: 0..15 and 16..31. */
static inline __attribute__((always_inline)) void block_dots(const uint8_t *w, const int8_t *q,
                                                             int32_t sum, __m512i dots[2]) {
    dots[0] = dots[1] = _mm512_set1_epi32(-sum);
#pragma GCC unroll 1
    for (int k = 0; k < BK_AVX512_WORDS; k++, q += 16, w += BK_AVX512_WORD_BYTES) {
        __m512i word = _mm512_load_si512(w);
        _mm_prefetch((const char *)w + BK_AVX512_AHEAD, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m512i repeated = _mm512_shuffle_epi8(word, repeat_byte(i));
            const int8_t *at = q + 8 * (i % 2);
            dots[i / 2] = dpbusd(dots[i / 2], weights_of(repeated, 0), four(at));
            dots[i / 2] = dpbusd(dots[i / 2], weights_of(repeated, 1), four(at + 4));
        }
    }
}

/* y + dots * (d * scale) */
static inline __attribute__((always_inline)) __m512 add_dots(__m512 y, __m512i dots,
                                                             const uint8_t *scales, __m512 scale) {
    __m512 d = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)scales));
    return _mm512_add_ps(y, _mm512_mul_ps(_mm512_cvtepi32_ps(dots), _mm512_mul_ps(d, scale)));
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    const bk_act_block *info = bk_act_blocks(act, w->cols);
    for (uint32_t row = row0; row < row1; row += BK_AVX512_ROWS) {
        const uint8_t *at = bk_avx512_tile(w, row);
        bk_avx512_sums f;
        bk_avx512_zero(&f);
        for (uint32_t b = 0; b < w->cols / BK_Q1_COLS; b++, at += BK_AVX512_BLOCK_BYTES) {
            const int8_t *q = (const int8_t *)act + (size_t)b * BK_Q1_COLS;
            __m512 scale = _mm512_set1_ps(info[b].scale);
#pragma GCC unroll 4
            for (int i = 0; i < BK_AVX512_REGS; i++) {
                const uint8_t *scales = at + BK_AVX512_SCALES_AT + 64 * i;
                __m512i dots[2];
                block_dots(at + 64 * i, q, info[b].sum, dots);
                f.v[2 * i] = add_dots(f.v[2 * i], dots[0], scales, scale);
                f.v[2 * i + 1] = add_dots(f.v[2 * i + 1], dots[1], scales + 32, scale);
            }
        }
        bk_avx512_store(&f, y, row, row1);
    }
}

/* ---- many vectors: a block of a tile expanded once ------------------------------------------ */

/* u8 [STEPS, GROUPS, 16 rows, 4 columns] */
static void expand(const uint8_t *w, uint8_t *to) {
    for (int k = 0; k < BK_AVX512_WORDS; k++)
        for (int r = 0; r < BK_AVX512_REGS; r++) {
            __m512i word = _mm512_load_si512(w + k * BK_AVX512_WORD_BYTES + 64 * r);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                __m512i repeated = _mm512_shuffle_epi8(word, repeat_byte(i));
                uint8_t *at = to + (4 * k + 2 * (i % 2)) * STEP_BYTES + 64 * (2 * r + i / 2);
                _mm512_store_si512(at, weights_of(repeated, 0));
                _mm512_store_si512(at + STEP_BYTES, weights_of(repeated, 1));
            }
        }
}

/* One block's product: where everything of it lies. */
typedef struct {
    const uint8_t *bytes, *scales; /* expanded weights; fp16 [BK_AVX512_ROWS] */
    const uint8_t *act;            /* the first vector's q of this block */
    size_t info_at;                /* from there to the block's scale and sum */
    size_t act_bytes, stride;
    uint32_t row, row1;
    bool first; /* of the row's blocks */
} block_product;

/* Of a block: the sums of 2 q where the bit is set, int32 [n, SIDE, 16]. */
static inline __attribute__((always_inline)) void multiply(const uint8_t *w, const int8_t *q,
                                                           size_t act_bytes, uint32_t n,
                                                           __m512i *to) {
    __m512i sums[VECTORS * SIDE];
#pragma GCC unroll 24
    for (uint32_t j = 0; j < n * SIDE; j++) sums[j] = _mm512_setzero_si512();
#pragma GCC unroll 1
    for (int s = 0; s < STEPS; s++, w += STEP_BYTES, q += 4) {
        __m512i weights[SIDE];
#pragma GCC unroll 4
        for (int i = 0; i < SIDE; i++) weights[i] = _mm512_load_si512(w + 64 * i);
#pragma GCC unroll 24
        for (uint32_t j = 0; j < n * SIDE; j++)
            sums[j] = dpbusd(sums[j], weights[j % SIDE], four(q + j / SIDE * act_bytes));
    }
#pragma GCC unroll 24
    for (uint32_t j = 0; j < n * SIDE; j++) to[j] = sums[j];
}

#define MULTIPLY(n)                                                                                \
    static __attribute__((noinline)) void multiply_##n(const uint8_t *w, const int8_t *q,          \
                                                       size_t act_bytes, __m512i *sums) {          \
        multiply(w, q, act_bytes, n, sums);                                                        \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)

static void (*const MULTIPLIERS[VECTORS])(const uint8_t *, const int8_t *, size_t, __m512i *) = {
    multiply_1, multiply_2, multiply_3, multiply_4, multiply_5, multiply_6,
};

/* SIDE groups of rows from g on, n <= VECTORS vectors from t on. */
static void multiply_add(const block_product *p, uint32_t g, uint32_t t, uint32_t n, float *y) {
    __m512i sums[VECTORS * SIDE];
    const int8_t *q = (const int8_t *)p->act + t * p->act_bytes;
    MULTIPLIERS[n - 1](p->bytes + 64 * g, q, p->act_bytes, sums);
    for (uint32_t v = 0; v < n; v++) {
        bk_act_block info;
        memcpy(&info, q + v * p->act_bytes + p->info_at, sizeof info);
        for (uint32_t i = 0; i < SIDE; i++) {
            uint32_t row = p->row + 16 * (g + i);
            __mmask16 m = bk_avx512_mask(row, p->row1);
            float *at = y + (t + v) * p->stride + row;
            __m512 before = _mm512_maskz_loadu_ps(p->first ? 0 : m, at);
            __m512i dots = _mm512_sub_epi32(sums[v * SIDE + i], _mm512_set1_epi32(info.sum));
            __m512 after = add_dots(before, dots, p->scales + 32 * (g + i),
                                    _mm512_set1_ps(info.scale));
            _mm512_mask_storeu_ps(at, m, after);
        }
    }
}

static void multiply_block(const block_product *p, uint32_t n, float *y) {
    for (uint32_t g = 0; g < GROUPS && p->row + 16 * g < p->row1; g += SIDE)
        for (uint32_t t = 0; t < n; t += VECTORS)
            multiply_add(p, g, t, n - t < VECTORS ? n - t : VECTORS, y);
}

static void multiply_tile(block_product *p, const bk_mat *w, const uint8_t *act, uint32_t n,
                          float *y) {
    _Alignas(64) uint8_t bytes[STEPS * STEP_BYTES];
    const uint8_t *tile = bk_avx512_tile(w, p->row);
    p->bytes = bytes;
    for (uint32_t b = 0; b < w->cols / BK_Q1_COLS; b++, tile += BK_AVX512_BLOCK_BYTES) {
        expand(tile, bytes);
        p->scales = tile + BK_AVX512_SCALES_AT;
        p->act = act + (size_t)b * BK_Q1_COLS;
        p->info_at = (size_t)((const uint8_t *)(bk_act_blocks(act, w->cols) + b) - p->act);
        p->first = b == 0;
        multiply_block(p, n, y);
    }
}

void bk_avx512_vnni_gemm(const bk_mat *w, const uint8_t *act, size_t act_bytes, uint32_t n,
                         float *y, size_t stride, uint32_t row0, uint32_t row1) {
    block_product p = {.act_bytes = act_bytes, .stride = stride, .row1 = row1};
    for (uint32_t t = 0; t < n; t += PASS)
        for (p.row = row0; p.row < row1; p.row += BK_AVX512_ROWS)
            multiply_tile(&p, w, act + t * act_bytes, n - t < PASS ? n - t : PASS, y + t * stride);
}

static void gemm(const bk_mat *w, const void *act, uint32_t n, float *y, size_t stride,
                 uint32_t row0, uint32_t row1) {
    bk_avx512_vnni_gemm(w, act, bk_act_plain_bytes(w->cols), n, y, stride, row0, row1);
}

BK_KERNEL(bk_kernel_avx512_vnni, "avx512-vnni", "dot-product", bk_act_plain_bytes,
          bk_avx512_quantise, gemv, gemm, BK_AVX512_SHARED);

BK_LAYOUT_IS(avx512_vnni, BK_AVX512_ROWS, 0);
