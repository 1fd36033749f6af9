/* bk_open.c: the table of architectures, and the id that names a model's weights. */
#include "bk_open.h"

#include "bk_qwen3.h"
#include "bk_sha256.h"
#include "bk_tensors.h"

/* An architecture is a file and a line here. */
static const bk_arch *const ARCHS[] = {&bk_arch_qwen3};

enum { ID_BYTES_PER_TENSOR = 4096 };

/* Byte-wise order of names; a prefix comes first. */
static int compare(bk_str a, bk_str b) {
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

/* The tensor with the smallest name above `after` (above everything when after.p is NULL). */
static bool next_by_name(const bk_gguf *g, bk_str after, bk_tensor *found) {
    size_t at = g->tensors_at;
    bool any = false;
    bk_tensor t;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        bk_gguf_next_tensor(g, &at, &t);
        if (after.p && compare(t.name, after) <= 0) continue;
        if (any && compare(t.name, found->name) >= 0) continue;
        *found = t;
        any = true;
    }
    return any;
}

static void hash32(bk_sha256 *s, uint32_t v) {
    uint8_t bytes[4];
    bk_store32_le(bytes, v);
    bk_sha256_update(s, bytes, 4);
}

static void hash_tensor(bk_sha256 *s, const bk_tensor *t) {
    hash32(s, (uint32_t)t->name.n);
    bk_sha256_update(s, t->name.p, t->name.n);
    hash32(s, t->type);
    hash32(s, t->n_dims);
    for (uint32_t d = 0; d < t->n_dims; d++) hash32(s, (uint32_t)t->dims[d]);
    bk_sha256_update(s, t->data,
                     t->n_bytes < ID_BYTES_PER_TENSOR ? t->n_bytes : ID_BYTES_PER_TENSOR);
}

/* Model id: what decides the logits' arithmetic, then every tensor's record and first 4 KiB. */
static void compute_id(bk_model *m, const bk_gguf *g) {
    bk_sha256 s;
    bk_sha256_init(&s);
    bk_sha256_update(&s, "bankai-edge model id 1", 22);
    const uint32_t shape[] = {m->n_layers,
                              m->hidden,
                              m->ffn,
                              m->n_heads,
                              m->n_kv_heads,
                              m->head_dim,
                              m->vocab,
                              m->context,
                              bk_float_bits(m->rms_eps),
                              bk_float_bits(m->rope_scale)};
    for (uint32_t i = 0; i < sizeof shape / sizeof shape[0]; i++) hash32(&s, shape[i]);
    for (uint32_t i = 0; i < m->head_dim / 2; i++) {
        hash32(&s, (uint32_t)m->rope_turns[i]);
        hash32(&s, (uint32_t)(m->rope_turns[i] >> 32));
    }
    bk_tensor t = {0};
    while (next_by_name(g, t.name, &t)) hash_tensor(&s, &t);
    bk_sha256_final(&s, m->id);
}

static int find_arch(bk_model *m, const bk_gguf *g) {
    bk_str name;
    int err = bk_gguf_str(g, "general.architecture", &name);
    for (size_t i = 0; !err && i < sizeof ARCHS / sizeof ARCHS[0] && !m->arch; i++)
        if (name.n == strlen(ARCHS[i]->name) && memcmp(name.p, ARCHS[i]->name, name.n) == 0)
            m->arch = ARCHS[i];
    if (!err && !m->arch) err = BK_ERR_ARCH;
    return err ? bk_model_refuse(m, err, "general.architecture") : BK_OK;
}

int bk_model_open(bk_model *m, const bk_gguf *g) {
    memset(m, 0, sizeof *m);
    int err = find_arch(m, g);
    if (!err) err = m->arch->open(m, g);
    if (err) return err;
    m->kernel = &bk_kernel_scalar;
    compute_id(m, g);
    return BK_OK;
}
