/* bk_flips.c: Elias-gamma and Rice codes over a bounded bit string. */
#include "bk_flips.h"

enum { LIMIT = 1 << BK_FLIPS_MAX_BITS };

static uint32_t bits_left(const bk_flips *f) {
    return f->n_bits - f->at;
}

/* The next n <= 31 bits; the caller has checked that they are there. */
static uint32_t take_bits(bk_flips *f, uint32_t n) {
    uint32_t value = 0;
    for (; n > 0; n--, f->at++)
        value = value << 1 | ((uint32_t)f->p[f->at >> 3] >> (7 - (f->at & 7)) & 1);
    return value;
}

/* n zeros, a one, n bits; 0 when there is no such code below LIMIT. */
static uint32_t elias_gamma(bk_flips *f) {
    uint32_t zeros = 0;
    for (;;) {
        if (bits_left(f) == 0)
            return 0;
        if (take_bits(f, 1) == 1)
            break;
        zeros++;
    }
    if (zeros >= BK_FLIPS_MAX_BITS || bits_left(f) < zeros)
        return 0;
    return (uint32_t)1 << zeros | take_bits(f, zeros);
}

/* LIMIT when there is no such code below it. */
static uint32_t rice(bk_flips *f) {
    uint32_t q = 0, most = LIMIT >> f->k;
    for (;;) {
        if (bits_left(f) == 0)
            return LIMIT;
        if (take_bits(f, 1) == 0)
            break;
        if (++q >= most)
            return LIMIT;
    }
    if (bits_left(f) < f->k)
        return LIMIT;
    uint32_t value = (q << f->k) + take_bits(f, f->k); /* < 2^24 + 2^31 */
    return value < LIMIT ? value : LIMIT;
}

static uint32_t width(uint32_t value) {
    uint32_t n = 0;
    for (; value > 0; value >>= 1)
        n++;
    return n;
}

/* Fewer than 8 bits, all zero. */
static int at_padding(const bk_flips *f) {
    uint32_t n = bits_left(f);
    return n < 8 && (n == 0 || (f->p[f->at >> 3] & ((1u << n) - 1)) == 0);
}

/* 1: a section has begun; 0: the stream is over. */
static int next_section(bk_flips *f) {
    if (at_padding(f)) {
        f->ended = 1;
        return width(f->seen) == f->w ? 0 : BK_ERR_MALFORMED;
    }
    uint32_t step = elias_gamma(f);
    f->section += step; /* from -1 at first: wraps to 0 or more */
    if (step == 0 || f->section >= BK_FLIPS_MAX_SECTION)
        return BK_ERR_MALFORMED;
    f->left = elias_gamma(f);
    f->row = f->col = 0;
    return f->left > 0 ? 1 : BK_ERR_MALFORMED;
}

int bk_flips_open(bk_flips *f, const uint8_t *p, size_t n, bk_flip_kind kind) {
    *f = (bk_flips){.p = p, .at = 16, .section = UINT32_MAX, .kind = (uint8_t)kind};
    if (n < 2)
        return BK_ERR_MALFORMED;
    if (n > BK_FLIPS_MAX_BYTES)
        return BK_ERR_LIMIT;
    f->n_bits = (uint32_t)n * 8;
    f->k = p[0];
    f->w = p[1];
    if (f->k > 31 || f->w > (kind == BK_FLIP_ROWS ? 0 : BK_FLIPS_MAX_BITS))
        return BK_ERR_MALFORMED;
    return BK_OK;
}

int bk_flips_next(bk_flips *f) {
    if (f->ended)
        return 0;
    int first = f->left == 0;
    if (first) {
        int rc = next_section(f);
        if (rc <= 0)
            return rc;
    }
    uint32_t step = rice(f);
    if (step >= LIMIT - f->row || bits_left(f) < f->w)
        return BK_ERR_MALFORMED;
    uint32_t col = take_bits(f, f->w);
    if (!first && step == 0 && col <= f->col)
        return BK_ERR_MALFORMED;
    f->row += step;
    f->col = col;
    f->seen |= col;
    f->left--;
    return 1;
}
