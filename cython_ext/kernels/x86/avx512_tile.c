/* avx512_tile.c: a matrix into tiles of 128 rows, and flips in them; the layout is in avx512.h. */
#include "avx512.h"

/* Where 32 rows lie in the file, as offsets from the first: 16 and 16. */
typedef struct {
    const uint8_t *base;
    __m512i low, high;
    __mmask32 exist; /* scales of the others become zero */
} rows32;

static rows32 rows_from(const bk_mat *w, uint32_t row) {
    size_t row_bytes = bk_q1_row_bytes(w->cols);
    uint32_t last = w->rows - 1, first = row < last ? row : last;
    __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i most = _mm512_set1_epi32((int)(last - first)), step = _mm512_set1_epi32((int)row_bytes);
    __m512i next = _mm512_add_epi32(lanes, _mm512_set1_epi32(16));
    uint32_t n = row < w->rows ? w->rows - row : 0;
    return (rows32){
        .base = w->data + first * row_bytes,
        .low = _mm512_mullo_epi32(_mm512_min_epi32(lanes, most), step),
        .high = _mm512_mullo_epi32(_mm512_min_epi32(next, most), step),
        .exist = (__mmask32)(n >= 32 ? 0xffffffff : (1u << n) - 1),
    };
}

/* One block of 32 rows: register i of each word, and its scales. */
static void pack_block(const rows32 *r, const uint8_t *from, uint8_t *to) {
    __m512i half = _mm512_set1_epi32(0xffff);
    for (uint32_t k = 0; k < BK_AVX512_WORDS; k += 2) {
        const uint8_t *at = from + BK_Q1_BITS_AT + 2 * k; /* two words at once */
        __m512i a = _mm512_i32gather_epi32(r->low, at, 1);
        __m512i b = _mm512_i32gather_epi32(r->high, at, 1);
        __m512i even = _mm512_or_si512(_mm512_and_si512(a, half), _mm512_slli_epi32(b, 16));
        __m512i odd = _mm512_or_si512(_mm512_srli_epi32(a, 16), _mm512_andnot_si512(half, b));
        _mm512_store_si512(to + k * BK_AVX512_WORD_BYTES, even);
        _mm512_store_si512(to + (k + 1) * BK_AVX512_WORD_BYTES, odd);
    }
}

static void pack_scales(const rows32 *r, const uint8_t *from, uint8_t *to) {
    __m256i low = _mm512_cvtepi32_epi16(_mm512_i32gather_epi32(r->low, from, 1));
    __m256i high = _mm512_cvtepi32_epi16(_mm512_i32gather_epi32(r->high, from, 1));
    __m512i scales = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    _mm512_store_si512(to, _mm512_maskz_mov_epi16(r->exist, scales));
}

void bk_avx512_pack(const bk_mat *w, uint32_t row0, uint32_t row1) {
    uint32_t blocks = w->cols / BK_Q1_COLS;
    for (uint32_t row = row0; row < row1; row += BK_AVX512_ROWS) {
        uint8_t *tile = (uint8_t *)(uintptr_t)bk_avx512_tile(w, row);
        for (uint32_t i = 0; i < BK_AVX512_REGS; i++) {
            rows32 r = rows_from(w, row + 32 * i);
            for (uint32_t b = 0; b < blocks; b++) {
                uint8_t *to = tile + (size_t)b * BK_AVX512_BLOCK_BYTES + 64 * i;
                const uint8_t *from = r.base + b * BK_Q1_BYTES;
                pack_block(&r, from, to);
                pack_scales(&r, from, to + BK_AVX512_SCALES_AT);
            }
        }
    }
}

static uint32_t bit_at(uint32_t row, uint32_t col) {
    uint32_t byte = col / 16 * BK_AVX512_WORD_BYTES + row / 32 * 64;
    byte += 4 * (row % 16) + 2 * (row % 32 / 16) + col / 8 % 2; /* the row's half of a dword */
    return 8 * byte + col % 8;
}

BK_TILE_LAYOUT(extern, bk_avx512, BK_AVX512_ROWS, bit_at)
