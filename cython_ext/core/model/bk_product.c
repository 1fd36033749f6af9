/* bk_product.c: matrices shared out over the cores, and what happens to vectors between them. */
#include "bk_product.h"

/* ---- matrices ----------------------------------------------------------------------------- */

static void multiply_rows(const bk_product *p, uint32_t i, uint32_t row0, uint32_t row1) {
    const bk_mat *w = p->w[i];
    const bk_kernel *k = p->s->kernel;
    if (w->type == BK_TYPE_Q1_0 && k->gemm && p->n > 1) {
        k->gemm(w, p->s->act, p->n, p->y[i], p->stride, row0, row1);
        return;
    }
    for (uint32_t t = 0; t < p->n; t++) {
        float *y = p->y[i] + t * p->stride;
        if (w->type == BK_TYPE_Q1_0)
            k->gemv(w, p->s->act + t * k->act_bytes(w->cols), y, row0, row1);
        else bk_dense_gemv(w, p->x + (size_t)t * w->cols, y, row0, row1);
    }
}

static uint32_t tiles_of(const bk_mat *w, uint32_t tile) { return (w->rows + tile - 1) / tile; }

/* One share of the tiles of all matrices together, so that every core gets the same work. */
static void multiply_part(void *arg, uint32_t part, uint32_t parts) {
    const bk_product *p = arg;
    uint32_t tile = p->s->kernel->tile, total = 0, first = 0;
    for (uint32_t i = 0; i < p->n_mats; i++) total += tiles_of(p->w[i], tile);
    uint32_t begin = bk_parallel_bound(total, part, parts);
    uint32_t end = bk_parallel_bound(total, part + 1, parts);
    for (uint32_t i = 0; i < p->n_mats; i++) {
        uint32_t n = tiles_of(p->w[i], tile);
        uint32_t t0 = begin > first ? begin - first : 0, t1 = end > first ? end - first : 0;
        uint32_t row1 = (t1 < n ? t1 : n) * tile;
        if (row1 > p->w[i]->rows) row1 = p->w[i]->rows;
        if (t0 * tile < row1) multiply_rows(p, i, t0 * tile, row1);
        first += n;
    }
}

/* Some kernels have one core's scratch in the act. */
void bk_product_run(const bk_product *p) {
    const bk_parallel *par = p->s->kernel->writes_act ? NULL : p->s->parallel;
    bk_parallel_run(par, multiply_part, (void *)(uintptr_t)p);
}

void bk_product_project(bk_state *s, uint32_t l, bk_proj p0, uint32_t n_mats, const float *x,
                        uint32_t n, float *const *y, size_t stride) {
    bk_product p = {.s = s, .x = x, .n = n, .n_mats = n_mats, .stride = stride};
    for (uint32_t i = 0; i < n_mats; i++) {
        p.w[i] = &s->model->layers[l].proj[(uint32_t)p0 + i];
        p.y[i] = y[i];
    }
    bk_product_run(&p);
    if (!s->overlay) return;
    for (uint32_t i = 0; i < n_mats; i++)
        for (uint32_t t = 0; t < n; t++)
            bk_overlay_fix(s->overlay, l, (bk_proj)((uint32_t)p0 + i), p.w[i], s->kernel,
                           s->act + t * s->kernel->act_bytes(p.w[i]->cols), y[i] + t * stride);
}

/* ---- vectors ------------------------------------------------------------------------------ */

static void prepare_part(void *arg, uint32_t part, uint32_t parts) {
    const bk_vectors *p = arg;
    const bk_state *s = p->s;
    const bk_kernel *k = s->kernel;
    uint32_t end = bk_parallel_bound(p->n, part + 1, parts);
    for (uint32_t t = bk_parallel_bound(p->n, part, parts); t < end; t++) {
        size_t at = (size_t)t * p->cols;
        if (p->norm) k->rms_norm(s->x + at, p->norm, s->model->rms_eps, s->a + at);
        if (p->gated) k->silu_mul(s->gate + at, s->up + at, p->cols);
        k->quantise(p->from + at, p->cols, s->act + t * k->act_bytes(p->cols));
    }
}

/* One token is not worth waking other cores for. */
void bk_vectors_prepare(const bk_vectors *p) {
    bk_parallel_run(p->n > 1 ? p->s->parallel : NULL, prepare_part, (void *)(uintptr_t)p);
}

void bk_vectors_prepare_normed(bk_state *s, const bk_vec *norm, uint32_t n) {
    bk_vectors_prepare(&(bk_vectors){s, norm, false, s->a, n, s->model->hidden});
}

void bk_vectors_add(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] += y[i];
}
