/* bk_plan.c: every matrix and every buffer by its shape. */
#include "bk_plan.h"

#include "bk_projection.h"
#include "bk_state.h"

/* Bytes of bk_bpe's tables for each token: most of a vocabulary's have one merge. */
enum { TABLES_PER_TOKEN = 13 };

static uint64_t packed_bytes(const bk_shape *s, const bk_layout *l) {
    uint64_t layer = 0;
    for (uint32_t p = 0; p < BK_N_PROJ; p++) {
        bk_size size = bk_projection_size(s, p);
        layer += bk_layout_packed_bytes(l, size.rows, size.cols);
    }
    return s->n_layers * layer + bk_layout_packed_bytes(l, s->vocab, s->hidden);
}

int bk_plan_of(bk_plan *plan, const bk_shape *shape, const bk_layout *layout, uint32_t ctx,
               uint32_t batch, uint32_t parts) {
    uint64_t act = bk_layout_act_bytes(layout, bk_shape_widest(shape));
    *plan = (bk_plan){
        .packed = packed_bytes(shape, layout),
        .state = bk_state_bytes_of(shape, act, ctx, batch, parts),
        .cache = bk_cache_bytes(shape, ctx),
        .tokenizer = (uint64_t)shape->vocab * TABLES_PER_TOKEN,
        .logits = (uint64_t)shape->vocab * sizeof(float),
    };
    return plan->state ? BK_OK : BK_ERR_ARGUMENT;
}
