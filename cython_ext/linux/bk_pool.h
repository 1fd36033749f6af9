/* bk_pool.h: the Linux port's bk_parallel: a few threads that wait, spinning briefly, for work. */
#ifndef BK_POOL_H
#define BK_POOL_H

#include "bk_parallel.h"

typedef struct bk_pool bk_pool;

/* threads - 1 helpers (at most 254) beside the caller; NULL when they cannot be started. */
bk_pool *bk_pool_new(uint32_t threads);
void bk_pool_free(bk_pool *pool);

/* A second caller of run waits for the first. Threads do not survive fork(): a child makes its own pool. */
const bk_parallel *bk_pool_parallel(const bk_pool *pool);

#endif
