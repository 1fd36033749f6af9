/* bk_qwen3.c: the forward pass, in the order of the architecture. */
#include "bk_qwen3.h"

#include "bk_fp16.h"
#include "bk_overlay.h"
#include "bk_rope.h"

/* ---- matrices ----------------------------------------------------------------------------- */

enum { MAX_FUSED = 3 };

/* Several projections of the same input: q, k, v or gate, up. */
typedef struct {
    const bk_state *s;
    const float *x; /* [n, cols]; quantised in s->act */
    uint32_t n, n_mats;
    const bk_mat *w[MAX_FUSED];
    float *y[MAX_FUSED];
    size_t stride; /* floats from one vector's results to the next's */
} product;

static void multiply_rows(const product *p, uint32_t i, uint32_t row0, uint32_t row1) {
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
        else
            bk_dense_gemv(w, p->x + (size_t)t * w->cols, y, row0, row1);
    }
}

static uint32_t tiles_of(const bk_mat *w, uint32_t tile) { return (w->rows + tile - 1) / tile; }

/* One share of the tiles of all matrices together, so that every core gets the same work. */
static void multiply_part(void *arg, uint32_t part, uint32_t parts) {
    const product *p = arg;
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
static void multiply(const product *p) {
    const bk_parallel *par = p->s->kernel->writes_act ? NULL : p->s->parallel;
    bk_parallel_run(par, multiply_part, (void *)(uintptr_t)p);
}

/* Project n quantised vectors through projections [p0, p0 + n_mats) of a layer. */
static void project(bk_state *s, uint32_t l, bk_proj p0, uint32_t n_mats, const float *x,
                    uint32_t n, float *const *y, size_t stride) {
    product p = {.s = s, .x = x, .n = n, .n_mats = n_mats, .stride = stride};
    for (uint32_t i = 0; i < n_mats; i++) {
        p.w[i] = &s->model->layers[l].proj[(uint32_t)p0 + i];
        p.y[i] = y[i];
    }
    multiply(&p);
    if (!s->overlay) return;
    for (uint32_t i = 0; i < n_mats; i++)
        for (uint32_t t = 0; t < n; t++)
            bk_overlay_fix(s->overlay, l, (bk_proj)((uint32_t)p0 + i), p.w[i], s->kernel,
                           s->act + t * s->kernel->act_bytes(p.w[i]->cols), y[i] + t * stride);
}

/* ---- vectors ------------------------------------------------------------------------------ */

/* What happens to each token's vector between two products. */
typedef struct {
    bk_state *s;
    const bk_vec *norm; /* norm x into a first, or NULL */
    bool gated;         /* combine gate and up first */
    const float *from;  /* [n, cols] to quantise */
    uint32_t n, cols;
} preparation;

static void prepare_part(void *arg, uint32_t part, uint32_t parts) {
    const preparation *p = arg;
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
static void prepare(const preparation *p) {
    bk_parallel_run(p->n > 1 ? p->s->parallel : NULL, prepare_part, (void *)(uintptr_t)p);
}

static void prepare_normed(bk_state *s, const bk_vec *norm, uint32_t n) {
    prepare(&(preparation){s, norm, false, s->a, n, s->model->hidden});
}

static void add(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] += y[i];
}

static void embed(const bk_state *s, int32_t token, float *x) {
    const bk_mat *e = &s->model->embed;
    if (e->type == BK_TYPE_Q1_0)
        bk_q1_unpack(e->data + (uint32_t)token * bk_q1_row_bytes(e->cols), e->cols, x);
    else
        for (uint32_t j = 0; j < e->cols; j++)
            x[j] = bk_dense_load(e->data, e->type, (size_t)(uint32_t)token * e->cols + j);
}

/* ---- attention ---------------------------------------------------------------------------- */

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

static void attention(bk_state *s, uint32_t l, uint32_t n) {
    const bk_model *m = s->model;
    uint32_t q_n = m->n_heads * m->head_dim;
    float *k = s->qkv + q_n, *v = k + (size_t)m->n_kv_heads * m->head_dim;
    attention_job job = {s, l, n};
    prepare_normed(s, &m->layers[l].attn_norm, n);
    project(s, l, BK_Q_PROJ, 3, s->a, n, (float *const[]){s->qkv, k, v}, qkv_stride(m));
    bk_parallel_run(s->parallel, attend_part, &job);
    prepare(&(preparation){s, NULL, false, s->a, n, q_n});
    project(s, l, BK_O_PROJ, 1, s->a, n, &s->qkv, m->hidden);
    add(s->x, s->qkv, (size_t)n * m->hidden);
}

static void feed_forward(bk_state *s, uint32_t l, uint32_t n) {
    const bk_model *m = s->model;
    prepare_normed(s, &m->layers[l].ffn_norm, n);
    project(s, l, BK_GATE_PROJ, 2, s->a, n, (float *const[]){s->gate, s->up}, m->ffn);
    prepare(&(preparation){s, NULL, true, s->gate, n, m->ffn});
    project(s, l, BK_DOWN_PROJ, 1, s->gate, n, &s->qkv, m->hidden);
    add(s->x, s->qkv, (size_t)n * m->hidden);
}

/* ---- tokens ------------------------------------------------------------------------------- */

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
        attention(s, l, n);
        feed_forward(s, l, n);
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
    prepare_normed(s, &m->out_norm, n);
    product p = {.s = s, .x = s->a, .n = n, .n_mats = 1, .stride = m->vocab};
    p.w[0] = &m->head;
    p.y[0] = logits;
    multiply(&p);
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
        if (logits && all)
            head(s, 0, now, logits + (size_t)done * s->model->vocab);
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
    if (!p->layer)
        embed_all(s, p->tokens, p->n);
    else if (p->x != s->x)
        memcpy(s->x, p->x, (size_t)p->n * m->hidden * sizeof(float));
    run_layers(s, p->layer, p->n, p);
    if (p->n_logits) head(s, p->n - p->n_logits, p->n_logits, p->logits);
    return BK_OK;
}
