/* bk_state.c: how one conversation's memory is laid out in the caller's buffer. */
#include "bk_state.h"

static uint32_t max32(uint32_t a, uint32_t b) { return a > b ? a : b; }

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

/* Keys, or values. */
static uint64_t half_cache(const bk_shape *m, uint64_t ctx) {
    return m->n_layers * ctx * m->n_kv_heads * m->head_dim * sizeof(uint16_t);
}

static uint64_t lay_out(bk_state *s, const bk_shape *m, uint64_t act_bytes, uint64_t ctx,
                        uint64_t batch, uint32_t parts, void *mem) {
    arena a = {mem, 0};
    uint64_t q = (uint64_t)m->n_heads * m->head_dim, kv = (uint64_t)m->n_kv_heads * m->head_dim;
    s->k = piece(&a, half_cache(m, ctx));
    s->v = piece(&a, half_cache(m, ctx));
    s->x = piece(&a, batch * m->hidden * sizeof(float));
    s->a = piece(&a, batch * max32(m->hidden, (uint32_t)q) * sizeof(float));
    s->qkv = piece(&a, batch * max32(m->hidden, (uint32_t)(q + 2 * kv)) * sizeof(float));
    s->gate = piece(&a, batch * m->ffn * sizeof(float));
    s->up = piece(&a, batch * m->ffn * sizeof(float));
    s->scores = piece(&a, parts * ((ctx + 15) & ~(uint64_t)15) * sizeof(float));
    s->angles = piece(&a, batch * m->head_dim * sizeof(float));
    s->act = piece(&a, batch * act_bytes);
    return a.used;
}

uint64_t bk_cache_bytes(const bk_shape *m, uint32_t ctx) {
    arena a = {NULL, 0};
    piece(&a, half_cache(m, ctx));
    piece(&a, half_cache(m, ctx));
    return a.used;
}

uint64_t bk_state_bytes_of(const bk_shape *m, uint64_t act_bytes, uint32_t ctx, uint32_t batch,
                           uint32_t parts) {
    bk_state s;
    if (ctx == 0 || batch == 0 || parts == 0) return 0;
    if (ctx > 1u << 24 || batch > 1u << 16 || parts > 1u << 10) return 0;
    return lay_out(&s, m, act_bytes, ctx, batch, parts, NULL);
}

size_t bk_state_bytes(const bk_model *m, uint32_t ctx, uint32_t batch, uint32_t parts) {
    bk_shape shape = bk_model_shape(m);
    size_t act_bytes = m->kernel->act_bytes(bk_shape_widest(&shape));
    uint64_t n = bk_state_bytes_of(&shape, act_bytes, ctx, batch, parts);
    return n > SIZE_MAX ? 0 : (size_t)n;
}

int bk_state_init(bk_state *s, const bk_model *m, uint32_t ctx, uint32_t batch,
                  const bk_parallel *par, void *mem, size_t n) {
    uint32_t parts = par ? par->parts : 1;
    size_t need = bk_state_bytes(m, ctx, batch, parts);
    if (need == 0) return BK_ERR_ARGUMENT;
    if (n < need) return BK_ERR_MEMORY;
    memset(s, 0, sizeof *s);
    s->model = m;
    s->kernel = m->kernel;
    s->parallel = par;
    s->ctx = ctx;
    s->batch = batch;
    bk_shape shape = bk_model_shape(m);
    lay_out(s, &shape, m->kernel->act_bytes(bk_shape_widest(&shape)), ctx, batch, parts, mem);
    return BK_OK;
}
