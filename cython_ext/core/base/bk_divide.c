/* bk_divide.c: bit by bit. */
#include "bk_divide.h"

uint32_t bk_divide(uint64_t *n, uint32_t by) {
    uint64_t left = *n;
    uint32_t rest = 0;
    for (int bit = 0; bit < 64; bit++) {
        rest = rest << 1 | (uint32_t)(left >> 63);
        left <<= 1;
        if (rest < by) continue;
        rest -= by;
        left |= 1;
    }
    *n = left;
    return rest;
}
