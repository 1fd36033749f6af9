/* bk_flips.h: reads one flip stream: which rows, groups or bits a patch flips, in order.
 *
 * A stream is bit-packed, most significant bit first:
 *
 *   byte 0   k, the Rice parameter (0..31)
 *   byte 1   w, bits of a column (0 for rows; else what the largest column needs, up to 24)
 *   then sections, in ascending order of s = layer * 7 + projection:
 *     EliasGamma(s - previous s)       previous s is -1 at first
 *     EliasGamma(count)
 *     count times, in ascending order of (row, column):
 *       Rice_k(row - previous row)     ones, a zero, k bits; previous row is 0 at first
 *       w bits                         the column: a group of 128 weights, or a single weight
 *   then fewer than 8 zero bits, in which no Elias-gamma code can complete.
 *
 * There is one order for a set of flips, and every element costs at least a bit: no walk is longer
 * than the bits given.
 */
#ifndef BK_FLIPS_H
#define BK_FLIPS_H

#include <stddef.h>
#include <stdint.h>

#include "bk_error.h"

enum {
    BK_FLIPS_MAX_BITS = 24,        /* rows, columns and counts stay below 2^24 */
    BK_FLIPS_MAX_SECTION = 28672,  /* 4096 layers of 7 projections */
    BK_FLIPS_MAX_BYTES = 1 << 24
};

/* The three granularities; also the order of their streams in a .bkp. */
typedef enum { BK_FLIP_ROWS, BK_FLIP_GROUPS, BK_FLIP_BITS, BK_N_FLIP_KINDS } bk_flip_kind;

typedef struct {
    const uint8_t *p;
    uint32_t n_bits, at;   /* of the stream; the next to read */
    uint32_t section;      /* layer * 7 + projection of the current flip */
    uint32_t row, col;     /* of the current flip; col is 0 in a stream of rows */
    uint32_t left;         /* flips of this section that are still to come */
    uint32_t seen;         /* every column so far, ORed: its width must come out as w */
    uint8_t k, w;
    uint8_t kind;          /* bk_flip_kind */
    uint8_t ended;
} bk_flips;

/* Start a walk. */
int bk_flips_open(bk_flips *f, const uint8_t *p, size_t n, bk_flip_kind kind);

/* Step to the next flip: 1 (section, row and col are set), 0 at the end, or BK_ERR_MALFORMED. */
int bk_flips_next(bk_flips *f);

#endif
