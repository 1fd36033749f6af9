/* bk_pool.c: bk_pool.h on a single core: the parts, one after the other. */
#include "bk_pool.h"

#include <stdlib.h>

struct bk_pool {
    bk_parallel parallel;
};

static void run(void *self, bk_part work, void *arg) {
    const bk_pool *pool = self;
    for (uint32_t i = 0; i < pool->parallel.parts; i++) work(arg, i, pool->parallel.parts);
}

bk_pool *bk_pool_new(uint32_t threads) {
    bk_pool *pool = malloc(sizeof *pool);
    if (pool) pool->parallel = (bk_parallel){threads, run, pool};
    return pool;
}

void bk_pool_free(bk_pool *pool) { free(pool); }

const bk_parallel *bk_pool_parallel(const bk_pool *pool) { return &pool->parallel; }
