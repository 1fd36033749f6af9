/* bk_feed_forward.h: a kind of layer: SwiGLU. */
#ifndef BK_FEED_FORWARD_H
#define BK_FEED_FORWARD_H

#include "bk_state.h"

/* Add what layer l's gated feed-forward says to the residual of n tokens. */
void bk_feed_forward_run(bk_state *s, uint32_t l, uint32_t n);

#endif
