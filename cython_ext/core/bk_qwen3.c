/* bk_qwen3.c: the forward pass, in the order of the architecture. */
#include "bk_qwen3.h"

#include "bk_dense.h"
#include "bk_fp16.h"
#include "bk_math.h"
#include "bk_overlay.h"
#include "bk_rope.h"

/* ---- memory ------------------------------------------------------------------------------- */

static uint32_t max32(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* The longest vector that is ever quantised. */
static uint32_t widest(const bk_model *m) {
    return max32(max32(m->hidden, m->ffn), m->n_heads * m->head_dim);
}

/* Hands out 64-byte aligned pieces; counts only, when mem is NULL. */
typedef struct {
    uint8_t *mem;
    uint64_t used;
} arena;

static void *piece(arena *a, uint64_t n) {
    void *p = a->mem ? a->mem + a->used : NULL;
    a->used += (n + 63) & ~(uint64_t)63;
    return p;
}

static uint64_t lay_out(bk_state *s, const bk_model *m, const bk_kernel *k, uint32_t ctx,
                        uint32_t batch, void *mem) {
    arena a = {mem, 0};
    uint64_t b = batch, q = (uint64_t)m->n_heads * m->head_dim;
    uint64_t kv = (uint64_t)m->n_kv_heads * m->head_dim;
    s->k = piece(&a, m->n_layers * ctx * kv * sizeof(uint16_t));
    s->v = piece(&a, m->n_layers * ctx * kv * sizeof(uint16_t));
    s->x = piece(&a, b * m->hidden * sizeof(float));
    s->a = piece(&a, b * max32(m->hidden, (uint32_t)q) * sizeof(float));
    s->qkv = piece(&a, b * max32(m->hidden, (uint32_t)(q + 2 * kv)) * sizeof(float));
    s->gate = piece(&a, b * m->ffn * sizeof(float));
    s->up = piece(&a, b * m->ffn * sizeof(float));
    s->scores = piece(&a, (uint64_t)ctx * sizeof(float));
    s->angles = piece(&a, b * m->head_dim * sizeof(float));
    s->act = piece(&a, b * k->act_bytes(widest(m)));
    return a.used;
}

size_t bk_state_bytes(const bk_model *m, const bk_kernel *k, uint32_t ctx, uint32_t batch) {
    bk_state s;
    if (ctx == 0 || batch == 0 || ctx > 1u << 24 || batch > 1u << 16) return 0;
    uint64_t n = lay_out(&s, m, k, ctx, batch, NULL);
    return n > SIZE_MAX ? 0 : (size_t)n;
}

int bk_state_init(bk_state *s, const bk_model *m, const bk_kernel *k, uint32_t ctx,
                  uint32_t batch, void *mem, size_t n) {
    size_t need = bk_state_bytes(m, k, ctx, batch);
    if (need == 0) return BK_ERR_ARGUMENT;
    if (n < need) return BK_ERR_MEMORY;
    memset(s, 0, sizeof *s);
    s->model = m;
    s->kernel = k;
    s->ctx = ctx;
    s->batch = batch;
    lay_out(s, m, k, ctx, batch, mem);
    return BK_OK;
}

/* ---- one matrix --------------------------------------------------------------------------- */

/* Quantise n vectors for the next projections. */
static void quantise(bk_state *s, const float *x, uint32_t cols, uint32_t n) {
    size_t bytes = s->kernel->act_bytes(cols);
    for (uint32_t t = 0; t < n; t++) s->kernel->quantise(x + (size_t)t * cols, cols, s->act + t * bytes);
}

/* y[t][rows], rows of y `stride` floats apart, for n vectors x[t][cols] already in s->act. */
static void multiply(bk_state *s, const bk_mat *w, const float *x, uint32_t n, float *y,
                     size_t stride) {
    size_t bytes = s->kernel->act_bytes(w->cols);
    for (uint32_t t = 0; t < n; t++) {
        if (w->type == BK_TYPE_Q1_0)
            s->kernel->gemv(w, s->act + t * bytes, y + t * stride, 0, w->rows);
        else
            bk_dense_gemv(w, x + (size_t)t * w->cols, y + t * stride);
    }
}

static void project(bk_state *s, uint32_t l, bk_proj p, const float *x, uint32_t n, float *y,
                    size_t stride) {
    const bk_mat *w = &s->model->layers[l].proj[p];
    multiply(s, w, x, n, y, stride);
    if (!s->overlay) return;
    size_t bytes = s->kernel->act_bytes(w->cols);
    for (uint32_t t = 0; t < n; t++)
        bk_overlay_fix(s->overlay, l, p, w, s->kernel, s->act + t * bytes, y + t * stride);
}

/* ---- vectors ------------------------------------------------------------------------------ */

/* out = x / rms(x) * w; out may be x. */
static void rms_norm(const float *x, const bk_vec *w, float eps, float *out) {
    float inverse = bk_rsqrt(bk_dot(x, x, w->n) / (float)w->n + eps);
    for (uint32_t i = 0; i < w->n; i++)
        out[i] = (x[i] * inverse) * bk_dense_load(w->data, w->type, i);
}

static void norm_all(bk_state *s, const bk_vec *w, uint32_t n) {
    uint32_t hidden = s->model->hidden;
    for (uint32_t t = 0; t < n; t++)
        rms_norm(s->x + (size_t)t * hidden, w, s->model->rms_eps, s->a + (size_t)t * hidden);
}

static void add(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] += y[i];
}

static float silu(float x) { return x / (1.0f + bk_exp(-x)); }

static int embed(const bk_state *s, int32_t token, float *x) {
    const bk_mat *e = &s->model->embed;
    if (token < 0 || (uint32_t)token >= e->rows) return BK_ERR_TOKEN;
    if (e->type == BK_TYPE_Q1_0)
        bk_q1_unpack(e->data + (uint32_t)token * bk_q1_row_bytes(e->cols), e->cols, x);
    else
        for (uint32_t j = 0; j < e->cols; j++)
            x[j] = bk_dense_load(e->data, e->type, (size_t)(uint32_t)token * e->cols + j);
    return BK_OK;
}

/* ---- attention ---------------------------------------------------------------------------- */

/* One kv head's cache: f16 [ctx, head_dim]. */
static uint16_t *cache(const bk_state *s, uint16_t *base, uint32_t l, uint32_t h) {
    const bk_model *m = s->model;
    return base + ((size_t)l * m->n_kv_heads + h) * s->ctx * m->head_dim;
}

/* Norm and rotate this token's q and k heads; put k and v into the cache at `pos`. */
static void place(bk_state *s, uint32_t l, float *qkv, const float *angles, uint32_t pos) {
    const bk_model *m = s->model;
    const bk_layer *layer = &m->layers[l];
    uint32_t d = m->head_dim;
    float *k = qkv + (size_t)m->n_heads * d, *v = k + (size_t)m->n_kv_heads * d;
    for (uint32_t h = 0; h < m->n_heads + m->n_kv_heads; h++) {
        float *head = qkv + (size_t)h * d; /* q heads, then k heads */
        rms_norm(head, h < m->n_heads ? &layer->q_norm : &layer->k_norm, m->rms_eps, head);
        bk_rope_rotate(head, d, angles);
    }
    for (uint32_t h = 0; h < m->n_kv_heads; h++) {
        uint16_t *kc = cache(s, s->k, l, h) + (size_t)pos * d;
        uint16_t *vc = cache(s, s->v, l, h) + (size_t)pos * d;
        for (uint32_t i = 0; i < d; i++) {
            kc[i] = bk_fp16_from_f32(k[(size_t)h * d + i]);
            vc[i] = bk_fp16_from_f32(v[(size_t)h * d + i]);
        }
    }
}

/* out[head_dim] = softmax(q . K / sqrt(head_dim)) . V over positions 0..pos */
static void attend(bk_state *s, const float *q, const uint16_t *k, const uint16_t *v, uint32_t pos,
                   float *out) {
    uint32_t d = s->model->head_dim;
    float scale = bk_rsqrt((float)d), top = -3.4e38f;
    for (uint32_t t = 0; t <= pos; t++) {
        s->scores[t] = bk_dot_f16(q, k + (size_t)t * d, d) * scale;
        if (s->scores[t] > top) top = s->scores[t];
    }
    for (uint32_t t = 0; t <= pos; t++) s->scores[t] = bk_exp(s->scores[t] - top);
    float inverse = 1.0f / bk_sum(s->scores, pos + 1);
    for (uint32_t i = 0; i < d; i++) out[i] = 0.0f;
    for (uint32_t t = 0; t <= pos; t++)
        for (uint32_t i = 0; i < d; i++)
            out[i] += s->scores[t] * bk_fp16_to_f32(v[(size_t)t * d + i]);
    for (uint32_t i = 0; i < d; i++) out[i] *= inverse;
}

static void attention(bk_state *s, uint32_t l, uint32_t n) {
    const bk_model *m = s->model;
    uint32_t d = m->head_dim, per_kv = m->n_heads / m->n_kv_heads;
    size_t q_n = (size_t)m->n_heads * d, kv_n = (size_t)m->n_kv_heads * d;
    size_t stride = q_n + 2 * kv_n;
    norm_all(s, &m->layers[l].attn_norm, n);
    quantise(s, s->a, m->hidden, n);
    project(s, l, BK_Q_PROJ, s->a, n, s->qkv, stride);
    project(s, l, BK_K_PROJ, s->a, n, s->qkv + q_n, stride);
    project(s, l, BK_V_PROJ, s->a, n, s->qkv + q_n + kv_n, stride);
    for (uint32_t t = 0; t < n; t++) {
        float *qkv = s->qkv + t * stride;
        place(s, l, qkv, s->angles + (size_t)t * d, s->pos + t);
        for (uint32_t h = 0; h < m->n_heads; h++)
            attend(s, qkv + (size_t)h * d, cache(s, s->k, l, h / per_kv),
                   cache(s, s->v, l, h / per_kv), s->pos + t, s->a + t * q_n + (size_t)h * d);
    }
    quantise(s, s->a, (uint32_t)q_n, n);
    project(s, l, BK_O_PROJ, s->a, n, s->qkv, m->hidden);
    add(s->x, s->qkv, (size_t)n * m->hidden);
}

static void feed_forward(bk_state *s, uint32_t l, uint32_t n) {
    const bk_model *m = s->model;
    norm_all(s, &m->layers[l].ffn_norm, n);
    quantise(s, s->a, m->hidden, n);
    project(s, l, BK_GATE_PROJ, s->a, n, s->gate, m->ffn);
    project(s, l, BK_UP_PROJ, s->a, n, s->up, m->ffn);
    for (size_t i = 0; i < (size_t)n * m->ffn; i++) s->gate[i] = silu(s->gate[i]) * s->up[i];
    quantise(s, s->gate, m->ffn, n);
    project(s, l, BK_DOWN_PROJ, s->gate, n, s->a, m->hidden);
    add(s->x, s->a, (size_t)n * m->hidden);
}

/* ---- tokens ------------------------------------------------------------------------------- */

/* n <= batch tokens through all layers; s->x holds the residual after the last. */
static int step(bk_state *s, const int32_t *tokens, uint32_t n) {
    const bk_model *m = s->model;
    for (uint32_t t = 0; t < n; t++) {
        int err = embed(s, tokens[t], s->x + (size_t)t * m->hidden);
        if (err) return err;
        bk_rope_angles(m->rope_turns, m->rope_scale, m->head_dim, s->pos + t,
                       s->angles + (size_t)t * m->head_dim);
    }
    for (uint32_t l = 0; l < m->n_layers; l++) {
        attention(s, l, n);
        feed_forward(s, l, n);
    }
    s->pos += n;
    return BK_OK;
}

/* logits[vocab] of token t of the last step. */
static void head(bk_state *s, uint32_t t, float *logits) {
    const bk_model *m = s->model;
    rms_norm(s->x + (size_t)t * m->hidden, &m->out_norm, m->rms_eps, s->a);
    quantise(s, s->a, m->hidden, 1);
    multiply(s, &m->head, s->a, 1, logits, m->vocab);
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
    for (uint32_t done = 0; done < n && !err;) {
        uint32_t now = n - done < s->batch ? n - done : s->batch;
        err = step(s, tokens + done, now);
        done += now;
        if (err || !logits) continue;
        if (all)
            for (uint32_t t = 0; t < now; t++)
                head(s, t, logits + (size_t)(done - now + t) * s->model->vocab);
        else if (done == n)
            head(s, now - 1, logits);
    }
    return err;
}

int bk_forward(bk_state *s, const int32_t *tokens, uint32_t n, float *logits) {
    return forward(s, tokens, n, logits, false);
}

int bk_forward_all(bk_state *s, const int32_t *tokens, uint32_t n, float *all_logits) {
    return forward(s, tokens, n, all_logits, true);
}
