/* bk_flips.c: Elias-gamma and Rice codes over a bounded bit string. */
#include "bk_flips.h"

#include "bk_bytes.h"

enum { LIMIT = 1 << BK_FLIPS_MAX_BITS };

static uint32_t bits_left(const bk_flips *f) { return f->n_bits - f->at; }

/* At least 25 of the next bits, from the top; zeros beyond the end. */
static uint32_t window(const bk_flips *f) {
    uint32_t byte = f->at >> 3, n = f->n_bits >> 3, bits = 0;
    if (byte + 4 <= n) bits = bk_load32_be(f->p + byte);
    else
        for (uint32_t i = byte; i < byte + 4; i++) bits = bits << 8 | (i < n ? f->p[i] : 0);
    return bits << (f->at & 7);
}

/* The next n <= 25 bits; the caller has checked that they are there. */
static uint32_t take_few(bk_flips *f, uint32_t n) {
    uint32_t bits = window(f);
    f->at += n;
    return n ? bits >> (32 - n) : 0;
}

/* The next n <= 31 bits. */
static uint32_t take_bits(bk_flips *f, uint32_t n) {
    if (n <= 25) return take_few(f, n);
    uint32_t high = take_few(f, n - 16);
    return high << 16 | take_few(f, 16);
}

/* n zeros, a one, n bits; 0 when there is no such code below LIMIT. */
static uint32_t elias_gamma(bk_flips *f) {
    uint32_t bits = window(f);
    uint32_t zeros = bits ? (uint32_t)__builtin_clz(bits) : 32;
    if (zeros >= BK_FLIPS_MAX_BITS || bits_left(f) < 2 * zeros + 1) return 0;
    f->at += zeros;
    return take_few(f, zeros + 1);
}

/* LIMIT when there is no such code below it. */
static uint32_t rice(bk_flips *f) {
    uint32_t q = 0, most = LIMIT >> f->k;
    for (;;) {
        uint32_t bits = window(f);
        uint32_t ones = ~bits >> 7 ? (uint32_t)__builtin_clz(~bits) : 25; /* shown for sure */
        q += ones;
        if (ones >= bits_left(f) || (q > 0 && q >= most)) return LIMIT;
        if (ones + 1 + f->k <= 25 && bits_left(f) > ones + f->k) { /* nearly always: all is here */
            f->at += ones + 1 + f->k;
            return (q << f->k) + (f->k ? bits << (ones + 1) >> (32 - f->k) : 0);
        }
        f->at += ones;
        if (ones < 25) break;
    }
    f->at++;
    if (bits_left(f) < f->k) return LIMIT;
    uint32_t value = (q << f->k) + take_bits(f, f->k); /* < 2^24 + 2^31 */
    return value < LIMIT ? value : LIMIT;
}

static uint32_t width(uint32_t value) {
    uint32_t n = 0;
    for (; value > 0; value >>= 1) n++;
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
    if (step == 0 || f->section >= BK_FLIPS_MAX_SECTION) return BK_ERR_MALFORMED;
    f->left = elias_gamma(f);
    f->row = f->col = 0;
    return f->left > 0 ? 1 : BK_ERR_MALFORMED;
}

int bk_flips_open(bk_flips *f, const uint8_t *p, size_t n, bk_flip_kind kind) {
    *f = (bk_flips){.p = p, .at = 16, .section = UINT32_MAX, .kind = (uint8_t)kind};
    if (n < 2) return BK_ERR_MALFORMED;
    if (n > BK_FLIPS_MAX_BYTES) return BK_ERR_LIMIT;
    f->n_bits = (uint32_t)n * 8;
    f->k = p[0];
    f->w = p[1];
    if (f->k > 31 || f->w > (kind == BK_FLIP_ROWS ? 0 : BK_FLIPS_MAX_BITS)) return BK_ERR_MALFORMED;
    return BK_OK;
}

int bk_flips_next(bk_flips *f) {
    if (f->ended) return 0;
    int first = f->left == 0;
    if (first) {
        int rc = next_section(f);
        if (rc <= 0) return rc;
    }
    uint32_t step = rice(f);
    if (step >= LIMIT - f->row || bits_left(f) < f->w) return BK_ERR_MALFORMED;
    uint32_t col = f->w ? take_bits(f, f->w) : 0;
    if (!first && step == 0 && col <= f->col) return BK_ERR_MALFORMED;
    f->row += step;
    f->col = col;
    f->seen |= col;
    f->left--;
    return 1;
}
