/* bk_q1.h: Q1_0 blocks: 128 sign bits that share one fp16 scale.
 *
 * A block is 18 bytes: the scale d (fp16, little-endian), then 16 bytes of bits. Weight j is bit
 * j % 8 (LSB first) of byte j / 8; 1 means +d, 0 means -d. A row of n columns is n/128 blocks.
 */
#ifndef BK_Q1_H
#define BK_Q1_H

#include "bk_bytes.h"

enum { BK_Q1_COLS = 128, BK_Q1_BYTES = 18, BK_Q1_BITS_AT = 2 };

/* A matrix in the layout of the file: row-major blocks, any alignment. */
typedef struct {
    const uint8_t *data; /* Q1_0: [rows, cols/128] blocks; else [rows, cols] elements */
    uint32_t type;       /* bk_type */
    uint32_t rows, cols;
    uint8_t *packed;     /* the same weights in a kernel's own layout, or NULL */
} bk_mat;

static inline size_t bk_q1_row_bytes(uint32_t cols) {
    return (size_t)(cols / BK_Q1_COLS) * BK_Q1_BYTES;
}

/* XOR the sign bits of one row, one 128-bit group of it, or one weight; self-inverse. */
void bk_q1_flip_row(uint8_t *row, uint32_t cols);
void bk_q1_flip_group(uint8_t *row, uint32_t group);
void bk_q1_flip_bit(uint8_t *row, uint32_t col);

/* One row's weights as floats: out[cols] = +-d. */
void bk_q1_unpack(const uint8_t *row, uint32_t cols, float *out);

#endif
