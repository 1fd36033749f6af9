/* bk_attention.c: project, norm and rotate the heads, read the KV cache, project back. */
#include "bk_attention.h"

#include "bk_fp16.h"
#include "bk_product.h"
#include "bk_rope.h"

typedef struct {
    bk_state *s;
    uint32_t l, n;
} attention_job;

/* One kv head's cache: f16 [ctx, head_dim]. */
static uint16_t *cache(const bk_state *s, uint16_t *base, uint32_t l, uint32_t h) {
    const bk_model *m = s->model;
    return base + ((size_t)l * m->n_kv_heads + h) * s->ctx * m->head_dim;
}

static size_t qkv_stride(const bk_model *m) {
    return ((size_t)m->n_heads + 2 * (size_t)m->n_kv_heads) * m->head_dim;
}

static void norm_rotate(const bk_state *s, float *head, const bk_vec *norm, uint32_t t) {
    uint32_t d = s->model->head_dim;
    s->kernel->rms_norm(head, norm, s->model->rms_eps, head);
    bk_rope_rotate(head, d, s->angles + (size_t)t * d);
}

/* Norm and rotate k of token t, kv head h; put k and v into the cache. */
static void place(bk_state *s, uint32_t l, uint32_t t, uint32_t h) {
    const bk_model *m = s->model;
    uint32_t d = m->head_dim;
    float *k = s->qkv + t * qkv_stride(m) + ((size_t)m->n_heads + h) * d;
    const float *v = k + (size_t)m->n_kv_heads * d;
    norm_rotate(s, k, &m->layers[l].k_norm, t);
    uint16_t *kc = cache(s, s->k, l, h) + (size_t)(s->pos + t) * d;
    uint16_t *vc = cache(s, s->v, l, h) + (size_t)(s->pos + t) * d;
    for (uint32_t i = 0; i < d; i++) {
        kc[i] = bk_fp16_from_f32(k[i]);
        vc[i] = bk_fp16_from_f32(v[i]);
    }
}

/* A share of the kv heads: all their tokens' keys first, then every query that reads them. */
static void attend_part(void *arg, uint32_t part, uint32_t parts) {
    const attention_job *job = arg;
    bk_state *s = job->s;
    const bk_model *m = s->model;
    uint32_t d = m->head_dim, group = m->n_heads / m->n_kv_heads;
    size_t q_n = (size_t)m->n_heads * d;
    float *scores = s->scores + part * (((size_t)s->ctx + 15) & ~(size_t)15);
    uint32_t end = bk_parallel_bound(m->n_kv_heads, part + 1, parts);
    for (uint32_t h = bk_parallel_bound(m->n_kv_heads, part, parts); h < end; h++) {
        const uint16_t *k = cache(s, s->k, job->l, h), *v = cache(s, s->v, job->l, h);
        for (uint32_t t = 0; t < job->n; t++) place(s, job->l, t, h);
        for (uint32_t t = 0; t < job->n; t++)
            for (uint32_t g = h * group; g < (h + 1) * group; g++) {
                float *q = s->qkv + t * qkv_stride(m) + (size_t)g * d;
                norm_rotate(s, q, &m->layers[job->l].q_norm, t);
                s->kernel->attend(q, k, v, s->pos + t + 1, d, scores,
                                  s->a + t * q_n + (size_t)g * d);
            }
    }
}

void bk_attention_run(bk_state *s, uint32_t l, uint32_t n) {
    const bk_model *m = s->model;
    uint32_t q_n = m->n_heads * m->head_dim;
    float *k = s->qkv + q_n, *v = k + (size_t)m->n_kv_heads * m->head_dim;
    attention_job job = {s, l, n};
    bk_vectors_prepare_normed(s, &m->layers[l].attn_norm, n);
    bk_product_project(s, l, BK_Q_PROJ, 3, s->a, n, (float *const[]){s->qkv, k, v}, qkv_stride(m));
    bk_parallel_run(s->parallel, attend_part, &job);
    bk_vectors_prepare(&(bk_vectors){s, NULL, false, s->a, n, q_n});
    bk_product_project(s, l, BK_O_PROJ, 1, s->a, n, &s->qkv, m->hidden);
    bk_vectors_add(s->x, s->qkv, (size_t)n * m->hidden);
}
