/* bk_q1.c: flips of Q1_0 blocks, and their weights as floats. */
#include "bk_q1.h"

#include <stdbool.h>

#include "bk_fp16.h"

/* Four bytes; any alignment, any byte order. */
static inline void invert(uint8_t *bytes) {
    uint32_t word;
    __builtin_memcpy(&word, bytes, sizeof word);
    word = ~word;
    __builtin_memcpy(bytes, &word, sizeof word);
}

static inline void invert_block(uint8_t *block) {
    for (uint8_t *bits = block + BK_Q1_BITS_AT; bits < block + BK_Q1_BYTES; bits += 8) {
        invert(bits);
        invert(bits + 4);
    }
}

void bk_q1_flip_group(uint8_t *row, uint32_t group) {
    invert_block(row + (size_t)group * BK_Q1_BYTES);
}

void bk_q1_flip_row(uint8_t *row, uint32_t cols) {
    for (uint8_t *end = row + bk_q1_row_bytes(cols); row < end; row += BK_Q1_BYTES)
        invert_block(row);
}

void bk_q1_flip_bit(uint8_t *row, uint32_t col) {
    uint8_t *block = row + (size_t)(col / BK_Q1_COLS) * BK_Q1_BYTES;
    uint32_t j = col % BK_Q1_COLS;
    block[BK_Q1_BITS_AT + j / 8] ^= (uint8_t)(1u << (j % 8));
}

void bk_q1_unpack(const uint8_t *row, uint32_t cols, float *out) {
    for (uint32_t g = 0; g < cols / BK_Q1_COLS; g++, row += BK_Q1_BYTES) {
        float d = bk_fp16_to_f32(bk_load16_le(row));
        for (uint32_t j = 0; j < BK_Q1_COLS; j++) {
            bool plus = (row[BK_Q1_BITS_AT + j / 8] >> (j % 8)) & 1;
            *out++ = plus ? d : -d;
        }
    }
}
