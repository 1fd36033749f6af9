/* bk_attention.h: a kind of layer: grouped-query attention with normed, rotated heads. */
#ifndef BK_ATTENTION_H
#define BK_ATTENTION_H

#include "bk_state.h"

/* Add what layer l's attention says to the residual of n tokens; their k and v go to the cache. */
void bk_attention_run(bk_state *s, uint32_t l, uint32_t n);

#endif
