/* bk_forward.h: the forward pass over packed weights. */
#ifndef BK_FORWARD_H
#define BK_FORWARD_H

#include "bk_state.h"

/* Append n tokens. logits: NULL, or [vocab] of the last token; all_logits: [n, vocab]. */
int bk_forward(bk_state *s, const int32_t *tokens, uint32_t n, float *logits);
int bk_forward_all(bk_state *s, const int32_t *tokens, uint32_t n, float *all_logits);

/* A pass over n <= batch tokens that starts at a layer: an overlay that changes nothing before it
 * leaves the residual that enters it as an earlier pass has kept it. */
typedef struct {
    const int32_t *tokens; /* [n] */
    uint32_t n, layer;     /* the first layer to run */
    const float *x;        /* [n, hidden] entering it; unused at layer 0; may be the state's x */
    float *taps;           /* NULL, or: what enters each later layer l goes to */
    size_t tap_stride;     /*   taps + l * tap_stride, [n, hidden] */
    uint32_t n_logits;
    float *logits;         /* [n_logits, vocab] of the last n_logits tokens */
} bk_resume;

/* Append the tokens; the KV cache of the layers before `layer` stays as it was. The logits are to
 * the last bit those of bk_forward_all. */
int bk_forward_from(bk_state *s, const bk_resume *from);

#endif
