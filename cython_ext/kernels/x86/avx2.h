/* avx2.h: what the AVX2 kernels share: one packed layout, quantisation, vectors.
 *
 * Packed: tiles of 64 rows, each sequential in memory. Per block of 128 columns a tile has, for
 * each byte of 8 columns i = 0..15, that byte of rows 0..31 and of rows 32..63; then 64 fp16
 * scales.
 */
#ifndef BK_AVX2_H
#define BK_AVX2_H

#include <immintrin.h>

#include "bk_act.h"
#include "bk_kernel.h"
#include "bk_tile.h"

enum {
    BK_AVX2_ROWS = 64,
    BK_AVX2_BYTES = 16, /* of 8 columns in a block */
    BK_AVX2_REGS = 2,   /* of 32 rows in a tile */
    BK_AVX2_SCALES_AT = BK_TILE_SCALES_AT(BK_AVX2_ROWS),
    BK_AVX2_BLOCK_BYTES = BK_TILE_BLOCK(BK_AVX2_ROWS),
    BK_AVX2_AHEAD = 4096, /* bytes to prefetch ahead of use */
};

static inline const uint8_t *bk_avx2_tile(const bk_mat *w, uint32_t row) {
    return bk_tile_at(BK_AVX2_ROWS, w, row, 0);
}

static inline __m256i bk_avx2_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* Copy n sums (at most a tile's) between y and a tile's own memory. */
static inline void bk_avx2_copy(float *to, const float *from, uint32_t n) {
    if (n >= BK_AVX2_ROWS) memcpy(to, from, BK_AVX2_ROWS * sizeof(float));
    else
        for (uint32_t i = 0; i < n; i++) to[i] = from[i];
}

/* f[0..8) += dots * (d * scale), d: fp16 */
static inline __attribute__((always_inline)) void bk_avx2_add(float *f, __m256i dots, __m128i d,
                                                              __m256 scale) {
    __m256 c = _mm256_mul_ps(_mm256_cvtepi32_ps(dots), _mm256_mul_ps(_mm256_cvtph_ps(d), scale));
    _mm256_storeu_ps(f, _mm256_add_ps(_mm256_loadu_ps(f), c));
}

BK_TILE_DECLARE(bk_avx2)           /* avx2_tile.c */
BK_KERNEL_DECLARE_VECTORS(bk_avx2) /* avx2_vector.c */
float bk_avx2_row(const uint8_t *blocks, uint32_t cols, const void *act);

/* The members of a kernel's table that do not depend on how it multiplies. */
#define BK_AVX2_SHARED                                                                             \
    BK_TILE_MEMBERS(bk_avx2, BK_AVX2_ROWS), .row = bk_avx2_row, BK_KERNEL_VECTORS(bk_avx2)

#endif
