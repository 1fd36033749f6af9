/* bk_projection.c: names and sizes of a layer's matrices. */
#include "bk_projection.h"

static const char *const names[BK_N_PROJ] = {
    [BK_Q_PROJ] = "q_proj",       [BK_K_PROJ] = "k_proj",       [BK_V_PROJ] = "v_proj",
    [BK_O_PROJ] = "o_proj",       [BK_GATE_PROJ] = "gate_proj", [BK_UP_PROJ] = "up_proj",
    [BK_DOWN_PROJ] = "down_proj",
};

static const char *const tensors[BK_N_PROJ] = {
    [BK_Q_PROJ] = "attn_q",      [BK_K_PROJ] = "attn_k",      [BK_V_PROJ] = "attn_v",
    [BK_O_PROJ] = "attn_output", [BK_GATE_PROJ] = "ffn_gate", [BK_UP_PROJ] = "ffn_up",
    [BK_DOWN_PROJ] = "ffn_down",
};

const char *bk_projection_name(uint32_t projection) { return names[projection]; }

const char *bk_projection_tensor(uint32_t projection) { return tensors[projection]; }

bk_size bk_projection_size(const bk_shape *s, uint32_t projection) {
    uint32_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    switch (projection) {
    case BK_Q_PROJ: return (bk_size){q, s->hidden};
    case BK_K_PROJ:
    case BK_V_PROJ: return (bk_size){kv, s->hidden};
    case BK_O_PROJ: return (bk_size){s->hidden, q};
    case BK_DOWN_PROJ: return (bk_size){s->hidden, s->ffn};
    default: return (bk_size){s->ffn, s->hidden};
    }
}
