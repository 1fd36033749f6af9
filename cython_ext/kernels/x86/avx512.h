/* avx512.h: what the AVX-512 kernels share: one packed layout, quantisation, vectors.
 *
 * Packed: tiles of 128 rows, each sequential in memory. Per block of 128 columns a tile has, for
 * each word of 16 columns k = 0..7, four registers of 32 rows x 16 bits (bit j: column 16 k + j),
 * then 128 fp16 scales. In a register, row j < 16 is the low half of dword j and row 16 + j its
 * high half, so that two shifts widen 32 sums into rows 0..15 and 16..31.
 */
#ifndef BK_AVX512_H
#define BK_AVX512_H

#include <immintrin.h>

#include "bk_act.h"
#include "bk_kernel.h"
#include "bk_tile.h"

enum {
    BK_AVX512_ROWS = 128,
    BK_AVX512_WORDS = 8, /* of 16 columns in a block */
    BK_AVX512_REGS = 4,  /* of 32 rows in a tile */
    BK_AVX512_WORD_BYTES = 64 * BK_AVX512_REGS,
    BK_AVX512_SCALES_AT = BK_TILE_SCALES_AT(BK_AVX512_ROWS),
    BK_AVX512_BLOCK_BYTES = BK_TILE_BLOCK(BK_AVX512_ROWS),
    BK_AVX512_AHEAD = 4096, /* bytes to prefetch ahead of use */
};

/* A tile's sums: [16 k, 16 k + 16) of its rows in v[k]. */
typedef struct {
    __m512 v[2 * BK_AVX512_REGS];
} bk_avx512_sums;

static inline const uint8_t *bk_avx512_tile(const bk_mat *w, uint32_t row) {
    return bk_tile_at(BK_AVX512_ROWS, w, row, 0);
}

/* Which of the 16 rows from `row` on are below row1. */
static inline __mmask16 bk_avx512_mask(uint32_t row, uint32_t row1) {
    if (row >= row1) return 0;
    return (__mmask16)(row1 - row >= 16 ? 0xffff : (1u << (row1 - row)) - 1);
}

static inline __attribute__((always_inline)) void bk_avx512_zero(bk_avx512_sums *f) {
#pragma GCC unroll 8
    for (int i = 0; i < 2 * BK_AVX512_REGS; i++) f->v[i] = _mm512_setzero_ps();
}

static inline __attribute__((always_inline)) void bk_avx512_load(bk_avx512_sums *f, const float *y,
                                                                 uint32_t row, uint32_t row1) {
#pragma GCC unroll 8
    for (uint32_t i = 0; i < 2 * BK_AVX512_REGS; i++)
        f->v[i] = _mm512_maskz_loadu_ps(bk_avx512_mask(row + 16 * i, row1), y + row + 16 * i);
}

static inline __attribute__((always_inline)) void bk_avx512_store(const bk_avx512_sums *f, float *y,
                                                                  uint32_t row, uint32_t row1) {
#pragma GCC unroll 8
    for (uint32_t i = 0; i < 2 * BK_AVX512_REGS; i++)
        _mm512_mask_storeu_ps(y + row + 16 * i, bk_avx512_mask(row + 16 * i, row1), f->v[i]);
}

/* f += dots * (d * scale) for the 32 rows of register i; dots: int16, in the packed order. */
static inline __attribute__((always_inline)) void bk_avx512_add(bk_avx512_sums *f, int i,
                                                                __m512i dots, const uint8_t *block,
                                                                __m512 scale) {
    const uint8_t *d = block + BK_AVX512_SCALES_AT + 64 * i;
    __m512 d0 = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)d));
    __m512 d1 = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)(d + 32)));
    __m512 v0 = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(dots, 16), 16));
    __m512 v1 = _mm512_cvtepi32_ps(_mm512_srai_epi32(dots, 16));
    f->v[2 * i] = _mm512_add_ps(f->v[2 * i], _mm512_mul_ps(v0, _mm512_mul_ps(d0, scale)));
    f->v[2 * i + 1] = _mm512_add_ps(f->v[2 * i + 1], _mm512_mul_ps(v1, _mm512_mul_ps(d1, scale)));
}

BK_TILE_DECLARE(bk_avx512)           /* avx512_tile.c */
BK_KERNEL_DECLARE_VECTORS(bk_avx512) /* avx512_vector.c */
float bk_avx512_row(const uint8_t *blocks, uint32_t cols, const void *act);

/* The members of a kernel's table that do not depend on how it multiplies. */
#define BK_AVX512_SHARED                                                                           \
    BK_TILE_MEMBERS(bk_avx512, BK_AVX512_ROWS), .row = bk_avx512_row, BK_KERNEL_VECTORS(bk_avx512)

#endif
