/* bk_qwen3.c: the keys, tensors and layers of Qwen3. */
#include "bk_qwen3.h"

#include "bk_attention.h"
#include "bk_feed_forward.h"
#include "bk_projection.h"
#include "bk_rope.h"
#include "bk_tensors.h"

static int read_shape(bk_model *m, const bk_gguf *g) {
    const uint32_t large = 1u << 20;
    int err;
    if ((err = bk_model_u32(m, g, "block_count", BK_MAX_LAYERS, &m->n_layers))) return err;
    if ((err = bk_model_u32(m, g, "embedding_length", large, &m->hidden))) return err;
    if ((err = bk_model_u32(m, g, "feed_forward_length", large, &m->ffn))) return err;
    if ((err = bk_model_u32(m, g, "attention.head_count", 4096, &m->n_heads))) return err;
    if ((err = bk_model_u32(m, g, "context_length", 1u << 24, &m->context))) return err;
    m->n_kv_heads = m->n_heads;
    if (bk_gguf_u32(g, bk_model_key(m, "attention.head_count_kv"), &m->n_kv_heads) == BK_OK &&
        (m->n_kv_heads == 0 || m->n_kv_heads > m->n_heads))
        return bk_model_refuse_key(m, BK_ERR_SHAPE, "attention.head_count_kv");
    m->head_dim = m->hidden / m->n_heads;
    err = bk_gguf_u32(g, bk_model_key(m, "attention.key_length"), &m->head_dim);
    if (err && err != BK_ERR_MISSING) return bk_model_refuse_key(m, err, "attention.key_length");
    if (m->head_dim > BK_MAX_HEAD_DIM)
        return bk_model_refuse_key(m, BK_ERR_LIMIT, "attention.key_length");
    if (m->head_dim == 0 || m->head_dim % 2)
        return bk_model_refuse_key(m, BK_ERR_SHAPE, "attention.key_length");
    uint32_t value_length = m->head_dim;
    if (bk_gguf_u32(g, bk_model_key(m, "attention.value_length"), &value_length) == BK_OK &&
        value_length != m->head_dim)
        return bk_model_refuse_key(m, BK_ERR_SHAPE, "attention.value_length");
    if (m->n_heads % m->n_kv_heads)
        return bk_model_refuse_key(m, BK_ERR_SHAPE, "attention.head_count_kv");
    if (m->hidden % BK_Q1_COLS) return bk_model_refuse_key(m, BK_ERR_SHAPE, "embedding_length");
    if (m->ffn % BK_Q1_COLS) return bk_model_refuse_key(m, BK_ERR_SHAPE, "feed_forward_length");
    if (m->n_heads * m->head_dim % BK_Q1_COLS)
        return bk_model_refuse_key(m, BK_ERR_SHAPE, "attention.head_count");
    m->rms_eps = 1e-6f;
    err = bk_gguf_f32(g, bk_model_key(m, "attention.layer_norm_rms_epsilon"), &m->rms_eps);
    if (!err && !(m->rms_eps > 0.0f && m->rms_eps < 1.0f)) err = BK_ERR_MALFORMED;
    if (err && err != BK_ERR_MISSING)
        return bk_model_refuse_key(m, err, "attention.layer_norm_rms_epsilon");
    return BK_OK;
}

static int find_layer(bk_model *m, const bk_gguf *g, uint32_t l) {
    static const char *const norms[4] = {"attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm"};
    bk_shape shape = bk_model_shape(m);
    bk_layer *layer = &m->layers[l];
    bk_vec *vecs[4] = {&layer->attn_norm, &layer->ffn_norm, &layer->q_norm, &layer->k_norm};
    char name[BK_GGUF_MAX_NAME];
    int err = BK_OK;
    for (uint32_t p = 0; p < BK_N_PROJ && !err; p++) {
        bk_size size = bk_projection_size(&shape, p);
        bk_model_layer_name(name, l, bk_projection_tensor(p));
        err = bk_model_mat(m, g, name, size.rows, size.cols, &layer->proj[p]);
    }
    for (uint32_t i = 0; i < 4 && !err; i++) {
        bk_model_layer_name(name, l, norms[i]);
        err = bk_model_vec(m, g, name, i < 2 ? m->hidden : m->head_dim, vecs[i]);
    }
    return err;
}

static int find_tensors(bk_model *m, const bk_gguf *g) {
    int err = bk_model_mat(m, g, "token_embd.weight", 0, m->hidden, &m->embed);
    if (!err) err = bk_model_vec(m, g, "output_norm.weight", m->hidden, &m->out_norm);
    if (err) return err;
    m->vocab = m->embed.rows;
    bk_tensor t;
    m->head = m->embed; /* tied, unless the file has a head of its own */
    if (bk_gguf_find_tensor(g, "output.weight", &t) == BK_OK)
        err = bk_model_mat(m, g, "output.weight", m->vocab, m->hidden, &m->head);
    for (uint32_t l = 0; l < m->n_layers && !err; l++) err = find_layer(m, g, l);
    return err;
}

static int open_model(bk_model *m, const bk_gguf *g) {
    int err = read_shape(m, g);
    if (!err) err = find_tensors(m, g);
    if (err) return err;
    bk_rope rope;
    err = bk_rope_read(&rope, g, m->arch->name, m->head_dim, m->context);
    if (err) return bk_model_refuse_key(m, err, "rope.*");
    bk_rope_turns(&rope, m->rope_turns, &m->rope_scale);
    return BK_OK;
}

static void layer(bk_state *s, uint32_t l, uint32_t n) {
    bk_attention_run(s, l, n);
    bk_feed_forward_run(s, l, n);
}

const bk_arch bk_arch_qwen3 = {"qwen3", open_model, layer};
