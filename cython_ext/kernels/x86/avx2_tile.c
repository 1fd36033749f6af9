/* avx2_tile.c: a matrix into tiles of 64 rows, and flips in them; the layout is in avx2.h. */
#include "avx2.h"

/* One block of rows r and r + 16 of 32; a row that does not exist is the last one again. */
static __m256i load_pair(const uint8_t *const *rows, uint32_t r, uint32_t block) {
    const uint8_t *low = rows[r] + block * BK_Q1_BYTES + BK_Q1_BITS_AT;
    const uint8_t *high = rows[r + 16] + block * BK_Q1_BYTES + BK_Q1_BITS_AT;
    return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(const void *)high),
                            _mm_loadu_si128((const __m128i *)(const void *)low));
}

/* 32 rows x 16 bytes to 16 x 32: interleaving the first half with the second four times. */
static void transpose(const uint8_t *const *rows, uint32_t block, uint8_t *to) {
    __m256i a[16], b[16];
    for (uint32_t i = 0; i < 16; i++) a[i] = load_pair(rows, i, block);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) {
            b[2 * i] = _mm256_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm256_unpackhi_epi8(a[i], a[i + 8]);
        }
        memcpy(a, b, sizeof a);
    }
    for (uint32_t i = 0; i < 16; i++)
        _mm256_store_si256((__m256i *)(void *)(to + i * BK_AVX2_ROWS), a[i]);
}

/* The 32 rows from `row` on: register i of a tile. */
static void pack_rows(const bk_mat *w, uint32_t row, uint8_t *tile, uint32_t i) {
    const uint8_t *rows[32];
    size_t row_bytes = bk_q1_row_bytes(w->cols);
    for (uint32_t j = 0; j < 32; j++)
        rows[j] = w->data + (row + j < w->rows ? row + j : w->rows - 1) * row_bytes;
    for (uint32_t b = 0; b < w->cols / BK_Q1_COLS; b++, tile += BK_AVX2_BLOCK_BYTES) {
        uint8_t *scales = tile + BK_AVX2_SCALES_AT + 64 * i;
        transpose(rows, b, tile + 32 * i);
        for (uint32_t j = 0; j < 32; j++) {
            uint16_t d = bk_load16_le(rows[j] + b * BK_Q1_BYTES);
            bk_store16_le(scales + 2 * j, row + j < w->rows ? d : 0);
        }
    }
}

void bk_avx2_pack(const bk_mat *w, uint32_t row0, uint32_t row1) {
    for (uint32_t row = row0; row < row1; row += BK_AVX2_ROWS)
        for (uint32_t i = 0; i < BK_AVX2_REGS; i++)
            pack_rows(w, row + 32 * i, (uint8_t *)(uintptr_t)bk_avx2_tile(w, row), i);
}

static uint32_t bit_at(uint32_t row, uint32_t col) {
    return 8 * (col / 8 * BK_AVX2_ROWS + row) + col % 8;
}

BK_TILE_LAYOUT(extern, bk_avx2, BK_AVX2_ROWS, bit_at)
