/* bk_model.h: a model's shape and weights, as views into a GGUF's bytes. */
#ifndef BK_MODEL_H
#define BK_MODEL_H

#include <stdbool.h>

#include "bk_config.h"
#include "bk_crc.h"
#include "bk_gguf.h"
#include "bk_kernel.h"

typedef enum {
    BK_Q_PROJ,
    BK_K_PROJ,
    BK_V_PROJ,
    BK_O_PROJ,
    BK_GATE_PROJ,
    BK_UP_PROJ,
    BK_DOWN_PROJ,
    BK_N_PROJ
} bk_proj;

typedef struct {
    bk_mat proj[BK_N_PROJ];
    bk_vec attn_norm, ffn_norm; /* [hidden] */
    bk_vec q_norm, k_norm;      /* [head_dim] */
} bk_layer;

/* The counts that decide how much memory a model takes. */
typedef struct {
    uint32_t n_layers, hidden, ffn, n_heads, n_kv_heads, head_dim, vocab;
} bk_shape;

struct bk_arch;

typedef struct {
    uint32_t n_layers, hidden, ffn, n_heads, n_kv_heads, head_dim, vocab, context;
    float rms_eps;
    uint64_t rope_turns[BK_MAX_HEAD_DIM / 2]; /* angle per position, in turns * 2^64 */
    float rope_scale;                         /* YaRN's magnitude factor; 1 without YaRN */
    bk_mat embed, head;                       /* [vocab, hidden]; the same data when tied */
    bk_vec out_norm;                          /* [hidden] */
    bk_layer layers[BK_MAX_LAYERS];
    bool writable;                            /* the caller allows in-place flips */
    const struct bk_arch *arch;               /* what its layers do */
    const bk_kernel *kernel;                  /* what runs the model and laid out w->packed */
    bk_crc32c_fn crc32c;                      /* the CPU's own, from the port; NULL: plain C */
    uint8_t id[32];                           /* SHA-256 model id of the pristine weights */
    const char *missing;                      /* the key or tensor that an error is about */
    char name[BK_GGUF_MAX_NAME + 1];          /* storage behind `missing` */
} bk_model;

static inline bk_shape bk_model_shape(const bk_model *m) {
    return (bk_shape){m->n_layers,   m->hidden,   m->ffn,  m->n_heads,
                      m->n_kv_heads, m->head_dim, m->vocab};
}

#endif
