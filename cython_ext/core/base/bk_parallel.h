/* bk_parallel.h: the port's optional way to do one thing on several cores. */
#ifndef BK_PARALLEL_H
#define BK_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called once for each part 0..parts-1, possibly at the same time. */
typedef void (*bk_part)(void *arg, uint32_t part, uint32_t parts);

typedef struct {
    uint32_t parts; /* at least 1 */
    void (*run)(void *self, bk_part work, void *arg); /* returns when all parts are done */
    void *self;
} bk_parallel;

/* par may be NULL: then the caller does it all. */
static inline void bk_parallel_run(const bk_parallel *par, bk_part work, void *arg) {
    if (par && par->parts > 1) par->run(par->self, work, arg);
    else work(arg, 0, 1);
}

/* The bounds of one part of n things: begin of `part`, so end of `part - 1`. */
static inline uint32_t bk_parallel_bound(uint32_t n, uint32_t part, uint32_t parts) {
    /* 32-bit divisions only: a Cortex-M has no other */
    return n / parts * part + n % parts * part / parts;
}

/* Those of rows in whole tiles; false: none. */
static inline bool bk_parallel_rows(uint32_t rows, uint32_t tile, uint32_t part, uint32_t parts,
                                    uint32_t *row0, uint32_t *row1) {
    uint32_t tiles = (rows + tile - 1) / tile;
    *row0 = bk_parallel_bound(tiles, part, parts) * tile;
    *row1 = bk_parallel_bound(tiles, part + 1, parts) * tile;
    if (*row1 > rows) *row1 = rows;
    return *row0 < *row1;
}

#endif
