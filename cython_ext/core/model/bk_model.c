/* bk_model.c: from a GGUF's tensors to a model's weights, and the id that names them. */
#include "bk_qwen3.h"

#include "bk_rope.h"
#include "bk_sha256.h"

enum { ID_BYTES_PER_TENSOR = 4096 };

static int fail(bk_model *m, int err, const char *name) {
    size_t n = strlen(name);
    if (n > BK_GGUF_MAX_NAME) n = BK_GGUF_MAX_NAME;
    memmove(m->name, name, n);
    m->name[n] = 0;
    m->missing = m->name;
    return err;
}

static int need_u32(bk_model *m, const bk_gguf *g, const char *key, uint32_t max, uint32_t *v) {
    int err = bk_gguf_u32(g, key, v);
    if (!err && *v == 0) err = BK_ERR_SHAPE;
    if (!err && *v > max) err = BK_ERR_LIMIT;
    return err ? fail(m, err, key) : BK_OK;
}

static int read_shape(bk_model *m, const bk_gguf *g) {
    bk_str arch;
    int err = bk_gguf_str(g, "general.architecture", &arch);
    if (err) return fail(m, err, "general.architecture");
    if (arch.n != 5 || memcmp(arch.p, "qwen3", 5) != 0)
        return fail(m, BK_ERR_ARCH, "general.architecture");
    const uint32_t large = 1u << 20;
    if ((err = need_u32(m, g, "qwen3.block_count", BK_MAX_LAYERS, &m->n_layers))) return err;
    if ((err = need_u32(m, g, "qwen3.embedding_length", large, &m->hidden))) return err;
    if ((err = need_u32(m, g, "qwen3.feed_forward_length", large, &m->ffn))) return err;
    if ((err = need_u32(m, g, "qwen3.attention.head_count", 4096, &m->n_heads))) return err;
    if ((err = need_u32(m, g, "qwen3.context_length", 1u << 24, &m->context))) return err;
    m->n_kv_heads = m->n_heads;
    if (bk_gguf_u32(g, "qwen3.attention.head_count_kv", &m->n_kv_heads) == BK_OK &&
        (m->n_kv_heads == 0 || m->n_kv_heads > m->n_heads))
        return fail(m, BK_ERR_SHAPE, "qwen3.attention.head_count_kv");
    m->head_dim = m->hidden / m->n_heads;
    err = bk_gguf_u32(g, "qwen3.attention.key_length", &m->head_dim);
    if (err && err != BK_ERR_MISSING) return fail(m, err, "qwen3.attention.key_length");
    if (m->head_dim > BK_MAX_HEAD_DIM) return fail(m, BK_ERR_LIMIT, "qwen3.attention.key_length");
    if (m->head_dim == 0 || m->head_dim % 2)
        return fail(m, BK_ERR_SHAPE, "qwen3.attention.key_length");
    uint32_t value_length = m->head_dim;
    if (bk_gguf_u32(g, "qwen3.attention.value_length", &value_length) == BK_OK &&
        value_length != m->head_dim)
        return fail(m, BK_ERR_SHAPE, "qwen3.attention.value_length");
    if (m->n_heads % m->n_kv_heads) return fail(m, BK_ERR_SHAPE, "qwen3.attention.head_count_kv");
    if (m->hidden % BK_Q1_COLS) return fail(m, BK_ERR_SHAPE, "qwen3.embedding_length");
    if (m->ffn % BK_Q1_COLS) return fail(m, BK_ERR_SHAPE, "qwen3.feed_forward_length");
    if (m->n_heads * m->head_dim % BK_Q1_COLS)
        return fail(m, BK_ERR_SHAPE, "qwen3.attention.head_count");
    m->rms_eps = 1e-6f;
    err = bk_gguf_f32(g, "qwen3.attention.layer_norm_rms_epsilon", &m->rms_eps);
    if (!err && !(m->rms_eps > 0.0f && m->rms_eps < 1.0f)) err = BK_ERR_MALFORMED;
    if (err && err != BK_ERR_MISSING)
        return fail(m, err, "qwen3.attention.layer_norm_rms_epsilon");
    return BK_OK;
}

static int find_vec(bk_model *m, const bk_gguf *g, const char *name, uint32_t n, bk_vec *v) {
    bk_tensor t;
    int err = bk_gguf_find_tensor(g, name, &t);
    if (!err && (t.n_dims != 1 || t.dims[0] != n)) err = BK_ERR_SHAPE;
    if (!err && t.type == BK_TYPE_Q1_0) {
        err = BK_ERR_SHAPE; /* a norm is never one bit */
    }
    if (err) return fail(m, err, name);
    *v = (bk_vec){t.data, t.type, n};
    return BK_OK;
}

/* rows = 0: whatever the tensor has. */
static int find_mat(bk_model *m, const bk_gguf *g, const char *name, uint32_t rows, uint32_t cols,
                    bk_mat *w) {
    bk_tensor t;
    int err = bk_gguf_find_tensor(g, name, &t);
    if (!err && (t.n_dims != 2 || t.dims[0] != cols || (rows && t.dims[1] != rows)))
        err = BK_ERR_SHAPE;
    if (err) return fail(m, err, name);
    *w = (bk_mat){t.data, t.type, (uint32_t)t.dims[1], cols, NULL};
    return BK_OK;
}

/* "blk.<layer>.<part>.weight" */
static void layer_name(char *out, uint32_t layer, const char *part) {
    char digits[10];
    uint32_t n = 0;
    do {
        digits[n++] = (char)('0' + layer % 10);
        layer /= 10;
    } while (layer);
    memcpy(out, "blk.", 4);
    out += 4;
    while (n) *out++ = digits[--n];
    *out++ = '.';
    size_t len = strlen(part);
    memcpy(out, part, len);
    memcpy(out + len, ".weight", 8);
}

static int find_layer(bk_model *m, const bk_gguf *g, uint32_t l) {
    static const char *const names[BK_N_PROJ] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                 "ffn_gate", "ffn_up", "ffn_down"};
    const uint32_t q = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    const uint32_t rows[BK_N_PROJ] = {q, kv, kv, m->hidden, m->ffn, m->ffn, m->hidden};
    const uint32_t cols[BK_N_PROJ] = {m->hidden, m->hidden, m->hidden, q,
                                      m->hidden, m->hidden, m->ffn};
    static const char *const norms[4] = {"attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm"};
    bk_layer *layer = &m->layers[l];
    bk_vec *vecs[4] = {&layer->attn_norm, &layer->ffn_norm, &layer->q_norm, &layer->k_norm};
    char name[BK_GGUF_MAX_NAME];
    int err = BK_OK;
    for (uint32_t p = 0; p < BK_N_PROJ && !err; p++) {
        layer_name(name, l, names[p]);
        err = find_mat(m, g, name, rows[p], cols[p], &layer->proj[p]);
    }
    for (uint32_t i = 0; i < 4 && !err; i++) {
        layer_name(name, l, norms[i]);
        err = find_vec(m, g, name, i < 2 ? m->hidden : m->head_dim, vecs[i]);
    }
    return err;
}

static int find_tensors(bk_model *m, const bk_gguf *g) {
    int err = find_mat(m, g, "token_embd.weight", 0, m->hidden, &m->embed);
    if (!err) err = find_vec(m, g, "output_norm.weight", m->hidden, &m->out_norm);
    if (err) return err;
    m->vocab = m->embed.rows;
    bk_tensor t;
    m->head = m->embed; /* tied, unless the file has a head of its own */
    if (bk_gguf_find_tensor(g, "output.weight", &t) == BK_OK)
        err = find_mat(m, g, "output.weight", m->vocab, m->hidden, &m->head);
    for (uint32_t l = 0; l < m->n_layers && !err; l++) err = find_layer(m, g, l);
    return err;
}

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
    bk_sha256_update(s, t->data, t->n_bytes < ID_BYTES_PER_TENSOR ? t->n_bytes
                                                                  : ID_BYTES_PER_TENSOR);
}

/* Model id: what decides the logits' arithmetic, then every tensor's record and first 4 KiB. */
static void compute_id(bk_model *m, const bk_gguf *g) {
    bk_sha256 s;
    bk_sha256_init(&s);
    bk_sha256_update(&s, "bankai-edge model id 1", 22);
    const uint32_t shape[] = {m->n_layers, m->hidden, m->ffn, m->n_heads, m->n_kv_heads,
                              m->head_dim, m->vocab, m->context, bk_float_bits(m->rms_eps),
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

int bk_model_open(bk_model *m, const bk_gguf *g) {
    memset(m, 0, sizeof *m);
    int err = read_shape(m, g);
    if (!err) err = find_tensors(m, g);
    if (err) return err;
    bk_rope rope;
    err = bk_rope_read(&rope, g, m->head_dim, m->context);
    if (err) return fail(m, err, "qwen3.rope.*");
    bk_rope_turns(&rope, m->rope_turns, &m->rope_scale);
    m->kernel = &bk_kernel_scalar;
    compute_id(m, g);
    return BK_OK;
}
