/* avx512_popcount.c: bit planes: AND with one bit of every activation, count, weigh by 2^plane.
 *
 * Of a block's 128 q, plane p holds bit p; the sum of the q whose weight bit is set is
 * sum_p 2^p popcount(weights & plane_p), plane 7 counting negative (two's complement). Counts
 * stay in 16 columns' own words, so that a register holds 32 rows throughout.
 */
#include "avx512.h"
#include "avx512_vnni.h"

enum {
    PLANES = 8,
    BLOCK = BK_AVX512_WORDS * PLANES, /* dwords: a word's plane, for both halves of a dword */
    TOGETHER = 2,                     /* registers that share each plane's load */
};

BK_LAYOUT_IS(avx512_popcount, BK_AVX512_ROWS, BLOCK * sizeof(uint32_t));

static size_t act_bytes(uint32_t cols) {
    return bk_act_plain_bytes(cols) + (size_t)cols / BK_Q1_COLS * BLOCK * sizeof(uint32_t);
}

static inline uint32_t *planes_of(const void *act, uint32_t cols) {
    return (uint32_t *)(uintptr_t)((const int8_t *)act + bk_act_plain_bytes(cols));
}

static void quantise(const float *x, uint32_t cols, void *act) {
    const int8_t *q = act;
    uint32_t *planes = planes_of(act, cols);
    bk_avx512_quantise(x, cols, act);
    for (uint32_t j = 0; j < cols; j += 64, planes += BLOCK / 2) {
        __m512i v = _mm512_loadu_si512(q + j);
        for (uint32_t p = PLANES; p-- > 0; v = _mm512_add_epi8(v, v)) {
            uint64_t bits = _mm512_movepi8_mask(v); /* the top bits: plane 7, 6, .. */
            for (uint32_t k = 0; k < 4; k++)
                planes[k * PLANES + p] = (uint32_t)(bits >> 16 * k & 0xffff) * 0x10001;
        }
    }
}

/* Dot products of registers i and i + 1 of a block. */
static inline __attribute__((always_inline)) void block_dots(const uint8_t *w, int i,
                                                             const uint32_t *planes, int32_t sum,
                                                             __m512i *dots) {
    __m512i counts[PLANES][TOGETHER];
#pragma GCC unroll 8
    for (int p = 0; p < PLANES; p++)
        for (int r = 0; r < TOGETHER; r++) counts[p][r] = _mm512_setzero_si512();
#pragma GCC unroll 1
    for (int k = 0; k < BK_AVX512_WORDS; k++) {
        __m512i words[TOGETHER];
#pragma GCC unroll 2
        for (int r = 0; r < TOGETHER; r++) {
            const uint8_t *at = w + k * BK_AVX512_WORD_BYTES + 64 * (i + r);
            words[r] = _mm512_load_si512(at);
            _mm_prefetch((const char *)at + BK_AVX512_AHEAD, _MM_HINT_T0);
        }
#pragma GCC unroll 8
        for (int p = 0; p < PLANES; p++) {
            __m512i plane = _mm512_set1_epi32((int)planes[k * PLANES + p]);
#pragma GCC unroll 2
            for (int r = 0; r < TOGETHER; r++) {
                __m512i both = _mm512_and_si512(words[r], plane);
                counts[p][r] = _mm512_add_epi16(counts[p][r], _mm512_popcnt_epi16(both));
            }
        }
    }
#pragma GCC unroll 2
    for (int r = 0; r < TOGETHER; r++) {
        __m512i total = _mm512_sub_epi16(_mm512_setzero_si512(), counts[PLANES - 1][r]);
#pragma GCC unroll 8
        for (int p = PLANES - 2; p >= 0; p--)
            total = _mm512_add_epi16(_mm512_add_epi16(total, total), counts[p][r]);
        total = _mm512_add_epi16(total, total);
        dots[i + r] = _mm512_sub_epi16(total, _mm512_set1_epi16((short)sum));
    }
}

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    const bk_act_block *info = bk_act_blocks(act, w->cols);
    for (uint32_t row = row0; row < row1; row += BK_AVX512_ROWS) {
        const uint8_t *at = bk_avx512_tile(w, row);
        const uint32_t *planes = planes_of(act, w->cols);
        bk_avx512_sums f;
        bk_avx512_zero(&f);
        for (uint32_t b = 0; b < w->cols / BK_Q1_COLS; b++) {
            __m512i dots[BK_AVX512_REGS];
#pragma GCC unroll 4
            for (int i = 0; i < BK_AVX512_REGS; i += TOGETHER)
                block_dots(at, i, planes, info[b].sum, dots);
#pragma GCC unroll 4
            for (int i = 0; i < BK_AVX512_REGS; i++)
                bk_avx512_add(&f, i, dots[i], at, _mm512_set1_ps(info[b].scale));
            at += BK_AVX512_BLOCK_BYTES;
            planes += BLOCK;
        }
        bk_avx512_store(&f, y, row, row1);
    }
}

static void gemm(const bk_mat *w, const void *act, uint32_t n, float *y, size_t stride,
                 uint32_t row0, uint32_t row1) {
    bk_avx512_vnni_gemm(w, act, act_bytes(w->cols), n, y, stride, row0, row1);
}

BK_KERNEL(bk_kernel_avx512_popcount, "avx512-popcount", "popcount", act_bytes, quantise, gemv, gemm,
          BK_AVX512_SHARED);
