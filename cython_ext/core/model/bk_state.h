/* bk_state.h: what one conversation needs (KV cache, activations), in memory that the caller owns.
 *
 * Several states may run on one model, each with its own overlay.
 */
#ifndef BK_STATE_H
#define BK_STATE_H

#include "bk_model.h"
#include "bk_overlay.h"
#include "bk_parallel.h"

typedef struct {
    const bk_model *model;
    const bk_kernel *kernel;
    const bk_parallel *parallel;      /* NULL: one core */
    const bk_overlay *overlay;        /* NULL: pristine weights */
    uint32_t ctx;   /* positions that the KV cache holds */
    uint32_t batch; /* tokens per step of prefill */
    uint32_t pos;   /* tokens in the KV cache */
    uint16_t *k, *v;  /* f16 [n_layers, n_kv_heads, ctx, head_dim] */
    float *x;         /* [batch, hidden] residual */
    float *a;         /* [batch, max(hidden, n_heads * head_dim)] input of the next projection */
    float *qkv;       /* [batch, max(hidden, (n_heads + 2 * n_kv_heads) * head_dim)] */
    float *gate, *up; /* [batch, ffn] */
    float *scores;    /* [parts, ctx] */
    float *angles;    /* [batch, head_dim] cos then sin */
    uint8_t *act;     /* [batch] quantised vectors */
} bk_state;

/* The longest vector that is ever quantised. */
static inline uint32_t bk_shape_widest(const bk_shape *s) {
    uint32_t q = s->n_heads * s->head_dim, widest = s->hidden > s->ffn ? s->hidden : s->ffn;
    return q > widest ? q : widest;
}

/* Bytes of the keys and values of ctx tokens, with which a state's memory begins. */
uint64_t bk_cache_bytes(const bk_shape *s, uint32_t ctx);

/* Bytes of a state of this shape, with acts of so many; 0 as below. */
uint64_t bk_state_bytes_of(const bk_shape *s, uint64_t act_bytes, uint32_t ctx, uint32_t batch,
                           uint32_t parts);

/* Bytes of memory that a state needs; 0 if ctx or batch is 0 or the size overflows. */
size_t bk_state_bytes(const bk_model *m, uint32_t ctx, uint32_t batch, uint32_t parts);
int bk_state_init(bk_state *s, const bk_model *m, uint32_t ctx, uint32_t batch,
                  const bk_parallel *par, void *mem, size_t n); /* mem: 64-byte aligned */

#endif
