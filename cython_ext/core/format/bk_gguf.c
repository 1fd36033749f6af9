/* bk_gguf.c: one checked walk over a GGUF header, then unchecked views into proven ground. */
#include "bk_gguf.h"

#include <stdbool.h>

#include "bk_q1.h"

enum { GGUF_VERSION = 3, ALIGNMENT_DEFAULT = 32, ALIGNMENT_MAX = 1 << 20 };

/* A cursor that refuses to leave the file; `at` stays on the field that failed. */
typedef struct {
    const uint8_t *base;
    size_t size, at;
} cursor;

static bool has(const cursor *c, uint64_t n) { return n <= c->size - c->at; }

static int take(cursor *c, uint64_t n, const uint8_t **p) {
    if (!has(c, n)) return BK_ERR_TRUNCATED;
    *p = c->base + c->at;
    c->at += (size_t)n;
    return BK_OK;
}

static int take32(cursor *c, uint32_t *v) {
    const uint8_t *p;
    int err = take(c, 4, &p);
    if (!err) *v = bk_load32_le(p);
    return err;
}

static int take64(cursor *c, uint64_t *v) {
    const uint8_t *p;
    int err = take(c, 8, &p);
    if (!err) *v = bk_load64_le(p);
    return err;
}

static int take_str(cursor *c, uint64_t max, bk_str *s) {
    size_t start = c->at;
    uint64_t n;
    const uint8_t *p;
    int err = take64(c, &n);
    if (!err && n > max) err = has(c, n) ? BK_ERR_MALFORMED : BK_ERR_TRUNCATED;
    if (!err) err = take(c, n, &p);
    if (err) {
        c->at = start;
        return err;
    }
    s->p = (const char *)p;
    s->n = (size_t)n;
    return BK_OK;
}

/* Bytes of one value of a fixed-width type; 0 for strings, arrays and unknown types. */
static uint32_t kv_width(uint32_t type) {
    static const uint8_t widths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof widths ? widths[type] : 0;
}

static int take_strings(cursor *c, uint64_t count) {
    bk_str s;
    int err = BK_OK;
    for (uint64_t i = 0; i < count && !err; i++) err = take_str(c, UINT64_MAX, &s);
    return err;
}

static int take_array(cursor *c, bk_kv *kv) {
    int err = take32(c, &kv->element_type);
    if (!err) err = take64(c, &kv->count);
    if (err) return err;
    kv->data = c->base + c->at;
    if (kv->element_type == BK_KV_STRING) return take_strings(c, kv->count);
    uint32_t width = kv_width(kv->element_type);
    const uint8_t *p;
    if (!width) return BK_ERR_MALFORMED; /* nested arrays: no model uses them */
    if (kv->count > c->size) return BK_ERR_TRUNCATED; /* keeps the product below from wrapping */
    return take(c, kv->count * width, &p);
}

static int take_kv(cursor *c, bk_kv *kv) {
    int err = take_str(c, BK_GGUF_MAX_KEY, &kv->key);
    if (!err) err = take32(c, &kv->type);
    if (err) return err;
    kv->element_type = kv->type;
    kv->count = 1;
    kv->data = c->base + c->at;
    if (kv->type == BK_KV_ARRAY) return take_array(c, kv);
    if (kv->type == BK_KV_STRING) return take_strings(c, 1);
    uint32_t width = kv_width(kv->type);
    const uint8_t *p;
    return width ? take(c, width, &p) : BK_ERR_MALFORMED;
}

/* The size in bytes of a tensor's data, or an error when the type or shape cannot be. */
static int tensor_bytes(bk_tensor *t) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        /* two factors below 2^31 cannot overflow; 2^40 elements exceed any real tensor */
        if (t->dims[i] == 0 || t->dims[i] >> 31 || n >> 31) return BK_ERR_SHAPE;
        n *= t->dims[i];
        if (n >> 40) return BK_ERR_SHAPE;
    }
    switch (t->type) {
    case BK_TYPE_F32: n *= 4; break;
    case BK_TYPE_F16:
    case BK_TYPE_BF16: n *= 2; break;
    case BK_TYPE_Q1_0:
        if (t->dims[0] % BK_Q1_COLS) return BK_ERR_SHAPE;
        n = (n >> 7) * BK_Q1_BYTES;
        break;
    default: return BK_ERR_TENSOR_TYPE;
    }
    if (n > SIZE_MAX) return BK_ERR_TRUNCATED;
    t->n_bytes = (size_t)n;
    return BK_OK;
}

/* One tensor record; t->data is left unset and *offset gets the stored, relative offset. */
static int take_tensor(cursor *c, bk_tensor *t, uint64_t *offset) {
    int err = take_str(c, BK_GGUF_MAX_NAME, &t->name);
    if (!err) err = take32(c, &t->n_dims);
    if (err) return err;
    if (t->n_dims < 1 || t->n_dims > BK_GGUF_MAX_DIMS) return BK_ERR_MALFORMED;
    for (uint32_t i = 0; i < t->n_dims && !err; i++) err = take64(c, &t->dims[i]);
    if (!err) err = take32(c, &t->type);
    if (!err) err = take64(c, offset);
    return err ? err : tensor_bytes(t);
}

static int walk_kvs(bk_gguf *g, cursor *c) {
    bk_kv kv;
    for (uint64_t i = 0; i < g->n_kv; i++) {
        int err = take_kv(c, &kv);
        if (err) return err;
    }
    return BK_OK;
}

static int read_alignment(bk_gguf *g) {
    g->alignment = ALIGNMENT_DEFAULT;
    int err = bk_gguf_u32(g, "general.alignment", &g->alignment);
    if (err && err != BK_ERR_MISSING) return err;
    bool power_of_two = g->alignment && (g->alignment & (g->alignment - 1)) == 0;
    return power_of_two && g->alignment <= ALIGNMENT_MAX ? BK_OK : BK_ERR_MALFORMED;
}

static int walk_tensors(bk_gguf *g, cursor *c) {
    bk_tensor t;
    uint64_t offset;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        int err = take_tensor(c, &t, &offset);
        if (err == BK_ERR_TENSOR_TYPE) g->error_type = t.type;
        if (err) return err;
    }
    return BK_OK;
}

/* The data section starts after the records, so spans are checked on a second walk. */
static int check_spans(bk_gguf *g, cursor *c) {
    size_t padding = (size_t)(0 - c->at) & (g->alignment - 1);
    if (!has(c, padding)) return g->n_tensors ? BK_ERR_TRUNCATED : BK_OK;
    g->data_at = c->at + padding;
    size_t available = g->size - g->data_at;
    c->at = g->tensors_at;
    bk_tensor t;
    uint64_t offset;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        size_t record = c->at;
        int err = take_tensor(c, &t, &offset);
        if (!err && offset & (g->alignment - 1)) err = BK_ERR_MALFORMED;
        if (!err && (offset > available || t.n_bytes > available - offset)) err = BK_ERR_TRUNCATED;
        if (err) {
            c->at = record;
            return err;
        }
    }
    return BK_OK;
}

static int open_at(bk_gguf *g, cursor *c) {
    const uint8_t *magic;
    uint32_t version;
    int err = take(c, 4, &magic);
    if (err) return BK_ERR_MAGIC; /* shorter than its own magic: no GGUF at all */
    if (memcmp(magic, "GGUF", 4) != 0) return BK_ERR_MAGIC;
    if ((err = take32(c, &version))) return err;
    if (version != GGUF_VERSION) return BK_ERR_VERSION;
    if ((err = take64(c, &g->n_tensors)) || (err = take64(c, &g->n_kv))) return err;
    g->kv_at = c->at;
    if ((err = walk_kvs(g, c))) return err;
    g->tensors_at = c->at;
    if ((err = read_alignment(g)) || (err = walk_tensors(g, c))) return err;
    return check_spans(g, c);
}

int bk_gguf_open(bk_gguf *g, const uint8_t *bytes, size_t n) {
    memset(g, 0, sizeof *g);
    g->base = bytes;
    g->size = n;
    cursor c = {bytes, n, 0};
    int err = open_at(g, &c);
    g->error_at = err ? c.at : 0;
    return err;
}

void bk_gguf_next_kv(const bk_gguf *g, size_t *at, bk_kv *kv) {
    cursor c = {g->base, g->size, *at};
    (void)take_kv(&c, kv); /* proven by bk_gguf_open */
    *at = c.at;
}

void bk_gguf_next_tensor(const bk_gguf *g, size_t *at, bk_tensor *t) {
    cursor c = {g->base, g->size, *at};
    uint64_t offset = 0;
    (void)take_tensor(&c, t, &offset);
    t->data = g->base + g->data_at + offset;
    *at = c.at;
}

static bool same(bk_str s, const char *name, size_t n) {
    return s.n == n && memcmp(s.p, name, n) == 0;
}

int bk_gguf_find_kv(const bk_gguf *g, const char *key, bk_kv *kv) {
    size_t at = g->kv_at, n = strlen(key);
    for (uint64_t i = 0; i < g->n_kv; i++) {
        bk_gguf_next_kv(g, &at, kv);
        if (same(kv->key, key, n)) return BK_OK;
    }
    return BK_ERR_MISSING;
}

int bk_gguf_find_tensor(const bk_gguf *g, const char *name, bk_tensor *t) {
    size_t at = g->tensors_at, n = strlen(name);
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        bk_gguf_next_tensor(g, &at, t);
        if (same(t->name, name, n)) return BK_OK;
    }
    return BK_ERR_MISSING;
}

static bool is_signed(uint32_t type) {
    return type == BK_KV_I8 || type == BK_KV_I16 || type == BK_KV_I32 || type == BK_KV_I64;
}

int bk_gguf_u32(const bk_gguf *g, const char *key, uint32_t *value) {
    bk_kv kv;
    int err = bk_gguf_find_kv(g, key, &kv);
    if (err) return err;
    uint32_t width = kv_width(kv.type);
    if (!width || kv.type == BK_KV_F32 || kv.type == BK_KV_F64) return BK_ERR_MALFORMED;
    if (is_signed(kv.type) && kv.data[width - 1] & 0x80) return BK_ERR_MALFORMED; /* negative */
    uint64_t v = 0;
    for (uint32_t i = 0; i < width; i++) v |= (uint64_t)kv.data[i] << (8 * i);
    if (v >> 32) return BK_ERR_MALFORMED;
    *value = (uint32_t)v;
    return BK_OK;
}

static int find_of(const bk_gguf *g, const char *key, uint32_t type, bk_kv *kv) {
    int err = bk_gguf_find_kv(g, key, kv);
    return err || kv->type == type ? err : BK_ERR_MALFORMED;
}

int bk_gguf_f32(const bk_gguf *g, const char *key, float *value) {
    bk_kv kv;
    int err = find_of(g, key, BK_KV_F32, &kv);
    if (!err) *value = bk_loadf32_le(kv.data);
    return err;
}

int bk_gguf_str(const bk_gguf *g, const char *key, bk_str *value) {
    bk_kv kv;
    int err = find_of(g, key, BK_KV_STRING, &kv);
    if (!err) *value = bk_gguf_array_str(&(const uint8_t *){kv.data});
    return err;
}

bk_str bk_gguf_array_str(const uint8_t **at) {
    bk_str s = {(const char *)(*at + 8), (size_t)bk_load64_le(*at)};
    *at += 8 + s.n;
    return s;
}

void bk_gguf_key(char key[BK_GGUF_MAX_NAME + 1], const char *prefix, const char *name) {
    const char *const parts[] = {prefix, ".", name};
    size_t n = 0;
    for (size_t i = 0; i < 3; i++)
        for (const char *c = parts[i]; *c && n < BK_GGUF_MAX_NAME; c++) key[n++] = *c;
    key[n] = 0;
}
