/* bk_forward.c: tokens in, through the layers that the architecture has, logits out. */
#include "bk_forward.h"

#include "bk_arch.h"
#include "bk_product.h"
#include "bk_rope.h"

static void embed(const bk_state *s, int32_t token, float *x) {
    const bk_mat *e = &s->model->embed;
    if (e->type == BK_TYPE_Q1_0)
        bk_q1_unpack(e->data + (uint32_t)token * bk_q1_row_bytes(e->cols), e->cols, x);
    else
        for (uint32_t j = 0; j < e->cols; j++)
            x[j] = bk_dense_load(e->data, e->type, (size_t)(uint32_t)token * e->cols + j);
}

/* n <= batch tokens through the layers from `first` on; s->x holds the residual, before and after. */
static void run_layers(bk_state *s, uint32_t first, uint32_t n, const bk_resume *tapped) {
    const bk_model *m = s->model;
    for (uint32_t t = 0; t < n; t++)
        bk_rope_angles(m->rope_turns, m->rope_scale, m->head_dim, s->pos + t,
                       s->angles + (size_t)t * m->head_dim);
    for (uint32_t l = first; l < m->n_layers; l++) {
        if (tapped && tapped->taps && l > first)
            memcpy(tapped->taps + l * tapped->tap_stride, s->x,
                   (size_t)n * m->hidden * sizeof(float));
        m->arch->layer(s, l, n);
    }
    s->pos += n;
}

static void embed_all(bk_state *s, const int32_t *tokens, uint32_t n) {
    for (uint32_t t = 0; t < n; t++) embed(s, tokens[t], s->x + (size_t)t * s->model->hidden);
}

static void step(bk_state *s, const int32_t *tokens, uint32_t n) {
    embed_all(s, tokens, n);
    run_layers(s, 0, n, NULL);
}

/* logits [n, vocab] of tokens t0.. of the last step. */
static void head(bk_state *s, uint32_t t0, uint32_t n, float *logits) {
    const bk_model *m = s->model;
    if (t0) memmove(s->x, s->x + (size_t)t0 * m->hidden, (size_t)n * m->hidden * sizeof(float));
    bk_vectors_prepare_normed(s, &m->out_norm, n);
    bk_product p = {.s = s, .x = s->a, .n = n, .n_mats = 1, .stride = m->vocab};
    p.w[0] = &m->head;
    p.y[0] = logits;
    bk_product_run(&p);
}

static int check(const bk_state *s, const int32_t *tokens, uint32_t n) {
    if (n == 0) return BK_ERR_ARGUMENT;
    if (n > s->ctx - s->pos) return BK_ERR_CONTEXT;
    for (uint32_t t = 0; t < n; t++)
        if (tokens[t] < 0 || (uint32_t)tokens[t] >= s->model->vocab) return BK_ERR_TOKEN;
    return BK_OK;
}

static int forward(bk_state *s, const int32_t *tokens, uint32_t n, float *logits, bool all) {
    int err = check(s, tokens, n);
    if (err) return err;
    for (uint32_t done = 0; done < n;) {
        uint32_t now = n - done < s->batch ? n - done : s->batch;
        step(s, tokens + done, now);
        if (logits && all) head(s, 0, now, logits + (size_t)done * s->model->vocab);
        done += now;
        if (logits && !all && done == n) head(s, now - 1, 1, logits);
    }
    return BK_OK;
}

int bk_forward(bk_state *s, const int32_t *tokens, uint32_t n, float *logits) {
    return forward(s, tokens, n, logits, false);
}

int bk_forward_all(bk_state *s, const int32_t *tokens, uint32_t n, float *all_logits) {
    return forward(s, tokens, n, all_logits, true);
}

int bk_forward_from(bk_state *s, const bk_resume *p) {
    const bk_model *m = s->model;
    if (p->n > s->batch || p->n_logits > p->n || p->layer >= m->n_layers) return BK_ERR_ARGUMENT;
    if (p->layer && !p->x) return BK_ERR_ARGUMENT;
    int err = check(s, p->tokens, p->n);
    if (err) return err;
    if (!p->layer) embed_all(s, p->tokens, p->n);
    else if (p->x != s->x) memcpy(s->x, p->x, (size_t)p->n * m->hidden * sizeof(float));
    run_layers(s, p->layer, p->n, p);
    if (p->n_logits) head(s, p->n - p->n_logits, p->n_logits, p->logits);
    return BK_OK;
}
