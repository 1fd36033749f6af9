/* bk_qwen3.h: the Qwen3 forward pass over packed weights.
 *
 * bk_model holds views into a GGUF's bytes and the architecture's numbers; bk_state holds what one
 * conversation needs (KV cache, activations) in memory that the caller owns. Several states may
 * run on one model, each with its own overlay.
 */
#ifndef BK_QWEN3_H
#define BK_QWEN3_H

#include <stdbool.h>

#include "bk_config.h"
#include "bk_crc.h"
#include "bk_gguf.h"
#include "bk_kernel.h"
#include "bk_parallel.h"
#include "bk_q1.h"

typedef enum {
    BK_Q_PROJ, BK_K_PROJ, BK_V_PROJ, BK_O_PROJ, BK_GATE_PROJ, BK_UP_PROJ, BK_DOWN_PROJ,
    BK_N_PROJ
} bk_proj;

typedef struct {
    bk_mat proj[BK_N_PROJ];
    bk_vec attn_norm, ffn_norm; /* [hidden] */
    bk_vec q_norm, k_norm;      /* [head_dim] */
} bk_layer;

typedef struct {
    uint32_t n_layers, hidden, ffn, n_heads, n_kv_heads, head_dim, vocab, context;
    float rms_eps;
    uint64_t rope_turns[BK_MAX_HEAD_DIM / 2]; /* angle per position, in turns * 2^64 */
    float rope_scale;                         /* YaRN's magnitude factor; 1 without YaRN */
    bk_mat embed, head;                       /* [vocab, hidden]; the same data when tied */
    bk_vec out_norm;                          /* [hidden] */
    bk_layer layers[BK_MAX_LAYERS];
    bool writable;                            /* the caller allows in-place flips */
    const bk_kernel *kernel;                  /* what runs the model and laid out w->packed */
    bk_crc32c_fn crc32c;                      /* the CPU's own, from the port; NULL: plain C */
    uint8_t id[32];                           /* SHA-256 model id of the pristine weights */
    const char *missing;                      /* the key or tensor that an error is about */
    char name[BK_GGUF_MAX_NAME + 1];          /* storage behind `missing` */
} bk_model;

/* What an active set changes, when the weights themselves stay untouched (see bk_overlay.h). */
struct bk_overlay;

typedef struct {
    const bk_model *model;
    const bk_kernel *kernel;
    const bk_parallel *parallel;      /* NULL: one core */
    const struct bk_overlay *overlay; /* NULL: pristine weights */
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

/* Read the architecture and find every tensor; m->missing names the offender on an error. The
 * model then runs on the scalar kernel, from the file's bytes. */
int bk_model_open(bk_model *m, const bk_gguf *g);

/* Give the weights to another kernel: in its own layout in mem (64-byte aligned, bytes as told) if
 * it has one. States made before keep the old kernel and must not be used any more. */
size_t bk_model_packed_bytes(const bk_model *m, const bk_kernel *k);
int bk_model_pack(bk_model *m, const bk_kernel *k, void *mem, size_t n, const bk_parallel *par);

/* Are the packed weights what the file's give? 1 or 0; scratch holds the largest packed matrix. */
size_t bk_model_largest_pack(const bk_model *m);
int bk_model_check_pack(const bk_model *m, void *scratch, size_t n);

/* Bytes of memory that a state needs; 0 if ctx or batch is 0 or the size overflows. */
size_t bk_state_bytes(const bk_model *m, uint32_t ctx, uint32_t batch, uint32_t parts);
int bk_state_init(bk_state *s, const bk_model *m, uint32_t ctx, uint32_t batch,
                  const bk_parallel *par, void *mem, size_t n); /* mem: 64-byte aligned */

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
