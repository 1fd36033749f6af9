/* bk_tile.h: what the packed layouts share.
 *
 * A layout cuts a matrix into tiles of rows, each sequential in memory: per block of 128 columns
 * the sign bits of the tile's rows, in an order of the layout's own, then one fp16 scale a row. So
 * it says how many rows a tile has and where a bit lies; what follows from that is here.
 */
#ifndef BK_TILE_H
#define BK_TILE_H

#include "bk_kernel.h"
#include "bk_layout.h"

/* The bytes of a tile's block, and where in it the scales begin. */
#define BK_TILE_BLOCK(rows) ((rows) * BK_Q1_BYTES)
#define BK_TILE_SCALES_AT(rows) ((rows) * (BK_Q1_BYTES - BK_Q1_BITS_AT))

static inline size_t bk_tile_packed_bytes(uint32_t tile, uint32_t rows, uint32_t cols) {
    size_t blocks = ((size_t)rows + tile - 1) / tile * (cols / BK_Q1_COLS);
    return (blocks * BK_TILE_BLOCK(tile) + 63) & ~(size_t)63;
}

/* One block of one row's tile. */
static inline uint8_t *bk_tile_at(uint32_t tile, const bk_mat *w, uint32_t row, uint32_t block) {
    size_t at = (size_t)(row / tile) * (w->cols / BK_Q1_COLS) + block;
    return w->packed + at * BK_TILE_BLOCK(tile);
}

/* Row by row: place puts the 16 bytes of bits of row r of the tile into its block. */
static inline __attribute__((always_inline)) void bk_tile_pack(
    uint32_t tile, const bk_mat *w, uint32_t row0, uint32_t row1,
    void (*place)(const uint8_t *bits, uint8_t *to, uint32_t r)) {
    size_t row_bytes = bk_q1_row_bytes(w->cols);
    for (uint32_t r = row0; r < row1; r += tile)
        for (uint32_t b = 0; b < w->cols / BK_Q1_COLS; b++) {
            uint8_t *to = bk_tile_at(tile, w, r, b);
            if (row1 - r < tile) memset(to, 0, BK_TILE_BLOCK(tile));
            for (uint32_t i = 0; i < tile && r + i < row1; i++) {
                const uint8_t *from = w->data + (r + i) * row_bytes + (size_t)b * BK_Q1_BYTES;
                place(from + BK_Q1_BITS_AT, to, i);
                memcpy(to + BK_TILE_SCALES_AT(tile) + 2 * i, from, 2);
            }
        }
}

/* A product by panels, whose tables stay in a cache for all rows: `vectors` at a time, of each
 * `blocks` at a time. `panel` does one, y continuing from what it holds unless b0 is 0. */
static inline __attribute__((always_inline)) void bk_tile_panels(
    const bk_mat *w, const uint8_t *act, size_t act_bytes, uint32_t n, float *y, size_t stride,
    uint32_t row0, uint32_t row1, uint32_t vectors, uint32_t blocks,
    void (*panel)(const bk_mat *w, const uint8_t *act, uint32_t n, float *y, size_t stride,
                  uint32_t row0, uint32_t row1, uint32_t b0, uint32_t blocks)) {
    uint32_t all = w->cols / BK_Q1_COLS;
    for (uint32_t t = 0; t < n; t += vectors)
        for (uint32_t b = 0; b < all; b += blocks)
            panel(w, act + t * act_bytes, n - t < vectors ? n - t : vectors, y + t * stride, stride,
                  row0, row1, b, all - b < blocks ? all - b : blocks);
}

/* A layout's functions in the table of a kernel, `pack` apart, static or extern; bit_at(r, c) is
 * where column c of row r of a tile lies, in bits from the start of its block. */
#define BK_TILE_LAYOUT(scope, layout, tile, bit_at)                                                \
    scope size_t layout##_packed_bytes(uint32_t rows, uint32_t cols) {                             \
        return bk_tile_packed_bytes(tile, rows, cols);                                             \
    }                                                                                              \
    scope void layout##_flip_bit(const bk_mat *w, uint32_t row, uint32_t col) {                    \
        uint32_t at = bit_at(row % (tile), col % BK_Q1_COLS);                                      \
        bk_tile_at(tile, w, row, col / BK_Q1_COLS)[at / 8] ^= (uint8_t)(1u << at % 8);             \
    }                                                                                              \
    /* negating the scale negates the group's part of the sum, exactly */                          \
    scope void layout##_flip_group(const bk_mat *w, uint32_t row, uint32_t group) {                \
        uint8_t *scales = bk_tile_at(tile, w, row, group) + BK_TILE_SCALES_AT(tile);               \
        scales[2 * (row % (tile)) + 1] ^= 0x80;                                                    \
    }

#define BK_TILE_DECLARE(layout)                                                                    \
    size_t layout##_packed_bytes(uint32_t rows, uint32_t cols);                                    \
    void layout##_pack(const bk_mat *w, uint32_t row0, uint32_t row1);                             \
    void layout##_flip_bit(const bk_mat *w, uint32_t row, uint32_t col);                           \
    void layout##_flip_group(const bk_mat *w, uint32_t row, uint32_t group);

/* These members of a kernel's table. */
#define BK_TILE_MEMBERS(layout, rows)                                                              \
    .tile = rows, .packed_bytes = layout##_packed_bytes, .pack = layout##_pack,                    \
    .flip_bit = layout##_flip_bit, .flip_group = layout##_flip_group

#endif
