/* bk_tensors.c: keys and tensors by name, with what is wrong of them. */
#include "bk_tensors.h"

#include "bk_arch.h"

int bk_model_refuse(bk_model *m, int err, const char *name) {
    size_t n = strlen(name);
    if (n > BK_GGUF_MAX_NAME) n = BK_GGUF_MAX_NAME;
    memmove(m->name, name, n);
    m->name[n] = 0;
    m->missing = m->name;
    return err;
}

const char *bk_model_key(bk_model *m, const char *key) {
    bk_gguf_key(m->name, m->arch->name, key);
    return m->name;
}

int bk_model_refuse_key(bk_model *m, int err, const char *key) {
    return bk_model_refuse(m, err, bk_model_key(m, key));
}

int bk_model_u32(bk_model *m, const bk_gguf *g, const char *key, uint32_t max, uint32_t *v) {
    int err = bk_gguf_u32(g, bk_model_key(m, key), v);
    if (!err && *v == 0) err = BK_ERR_SHAPE;
    if (!err && *v > max) err = BK_ERR_LIMIT;
    return err ? bk_model_refuse_key(m, err, key) : BK_OK;
}

int bk_model_vec(bk_model *m, const bk_gguf *g, const char *name, uint32_t n, bk_vec *v) {
    bk_tensor t;
    int err = bk_gguf_find_tensor(g, name, &t);
    if (!err && (t.n_dims != 1 || t.dims[0] != n)) err = BK_ERR_SHAPE;
    if (!err && t.type == BK_TYPE_Q1_0) {
        err = BK_ERR_SHAPE; /* a norm is never one bit */
    }
    if (err) return bk_model_refuse(m, err, name);
    *v = (bk_vec){t.data, t.type, n};
    return BK_OK;
}

int bk_model_mat(bk_model *m, const bk_gguf *g, const char *name, uint32_t rows, uint32_t cols,
                 bk_mat *w) {
    bk_tensor t;
    int err = bk_gguf_find_tensor(g, name, &t);
    if (!err && (t.n_dims != 2 || t.dims[0] != cols || (rows && t.dims[1] != rows)))
        err = BK_ERR_SHAPE;
    if (err) return bk_model_refuse(m, err, name);
    *w = (bk_mat){t.data, t.type, (uint32_t)t.dims[1], cols, NULL};
    return BK_OK;
}

void bk_model_layer_name(char out[BK_GGUF_MAX_NAME], uint32_t layer, const char *part) {
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
