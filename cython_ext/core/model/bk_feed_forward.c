/* bk_feed_forward.c: gate and up, silu(gate) * up, down. */
#include "bk_feed_forward.h"

#include "bk_product.h"

void bk_feed_forward_run(bk_state *s, uint32_t l, uint32_t n) {
    const bk_model *m = s->model;
    bk_vectors_prepare_normed(s, &m->layers[l].ffn_norm, n);
    bk_product_project(s, l, BK_GATE_PROJ, 2, s->a, n, (float *const[]){s->gate, s->up}, m->ffn);
    bk_vectors_prepare(&(bk_vectors){s, NULL, true, s->gate, n, m->ffn});
    bk_product_project(s, l, BK_DOWN_PROJ, 1, s->gate, n, &s->qkv, m->hidden);
    bk_vectors_add(s->x, s->qkv, (size_t)n * m->hidden);
}
