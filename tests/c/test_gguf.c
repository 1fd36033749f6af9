/* The GGUF reader and the model on top of it: a small file, then every damage of it. */
#include <stdlib.h>
#include <string.h>

#include "bk_open.h"
#include "check.h"

enum { FILE_MAX = 4096, HIDDEN = 128, VOCAB = 3 };

typedef struct {
    uint8_t bytes[FILE_MAX];
    size_t n;
} writer;

static void put(writer *w, const void *p, size_t n) {
    if (n) memcpy(w->bytes + w->n, p, n);
    w->n += n;
}

static void put32(writer *w, uint32_t v) {
    bk_store32_le(w->bytes + w->n, v);
    w->n += 4;
}

static void put64(writer *w, uint64_t v) {
    put32(w, (uint32_t)v);
    put32(w, (uint32_t)(v >> 32));
}

static void put_str(writer *w, const char *s) {
    put64(w, strlen(s));
    put(w, s, strlen(s));
}

static void put_u32(writer *w, const char *key, uint32_t value) {
    put_str(w, key);
    put32(w, BK_KV_U32);
    put32(w, value);
}

static void put_tensor(writer *w, const char *name, uint32_t type, uint64_t rows, uint64_t offset) {
    put_str(w, name);
    put32(w, rows ? 2 : 1);
    put64(w, HIDDEN);
    if (rows) put64(w, rows);
    put32(w, type);
    put64(w, offset);
}

/* Two tensors and a few keys: enough for every branch of the walk, not a whole model. */
static void build(writer *w) {
    w->n = 0;
    put(w, "GGUF\3\0\0\0", 8);
    put64(w, 2);
    put64(w, 4);
    put_str(w, "general.architecture");
    put32(w, BK_KV_STRING);
    put_str(w, "qwen3");
    put_u32(w, "qwen3.block_count", 1);
    put_str(w, "words");
    put32(w, BK_KV_ARRAY);
    put32(w, BK_KV_STRING);
    put64(w, 2);
    put_str(w, "a");
    put_str(w, "bc");
    put_u32(w, "general.alignment", 32);
    put_tensor(w, "token_embd.weight", BK_TYPE_Q1_0, VOCAB, 0);
    put_tensor(w, "output_norm.weight", BK_TYPE_F32, 0, 64);
    while (w->n % 32) put(w, "", 1);
    memset(w->bytes + w->n, 0x5a, 64 + HIDDEN * 4);
    w->n += 64 + HIDDEN * 4;
}

/* Read everything that an accepted file offers; the sanitizer watches the bounds. */
static void read_all(const bk_gguf *g) {
    size_t at = g->kv_at;
    bk_kv kv;
    for (uint64_t i = 0; i < g->n_kv; i++) bk_gguf_next_kv(g, &at, &kv);
    at = g->tensors_at;
    bk_tensor t;
    volatile uint8_t sink = 0;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        bk_gguf_next_tensor(g, &at, &t);
        for (size_t j = 0; j < t.n_bytes; j++) sink ^= t.data[j];
    }
    static bk_model m;
    (void)bk_model_open(&m, g);
}

/* Open a copy of exactly n bytes, so that one byte past them is found out. */
static int open_exact(const uint8_t *bytes, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    if (n) memcpy(copy, bytes, n);
    bk_gguf g;
    int err = bk_gguf_open(&g, copy, n);
    CHECK(err <= 0);
    if (!err) read_all(&g);
    free(copy);
    return err;
}

static void test_reads(const writer *w) {
    bk_gguf g;
    bk_kv kv;
    bk_tensor t;
    uint32_t value = 0;
    CHECK(bk_gguf_open(&g, w->bytes, w->n) == BK_OK);
    CHECK(bk_gguf_u32(&g, "qwen3.block_count", &value) == BK_OK && value == 1);
    CHECK(bk_gguf_u32(&g, "general.architecture", &value) == BK_ERR_MALFORMED);
    CHECK(bk_gguf_u32(&g, "absent", &value) == BK_ERR_MISSING);
    CHECK(bk_gguf_find_kv(&g, "words", &kv) == BK_OK && kv.count == 2);
    const uint8_t *at = kv.data;
    CHECK(bk_gguf_array_str(&at).n == 1);
    bk_str second = bk_gguf_array_str(&at);
    CHECK(second.n == 2 && memcmp(second.p, "bc", 2) == 0);
    CHECK(bk_gguf_find_tensor(&g, "token_embd.weight", &t) == BK_OK);
    CHECK(t.n_bytes == VOCAB * 18 && t.dims[1] == VOCAB && t.data[0] == 0x5a);
}

int main(void) {
    static writer w;
    build(&w);
    test_reads(&w);
    for (size_t n = 0; n < w.n; n++) CHECK(open_exact(w.bytes, n) != BK_OK);
    uint32_t seed = 1;
    for (size_t i = 0; i < w.n; i++) {
        for (uint32_t k = 0; k < 12; k++) {
            static writer damaged;
            damaged = w;
            for (uint32_t j = 0; j <= k % 3 && i + j < w.n; j++) {
                seed = seed * 1664525u + 1013904223u;
                damaged.bytes[i + j] = k < 3 ? 0xff : (uint8_t)(seed >> 24);
            }
            (void)open_exact(damaged.bytes, damaged.n);
        }
    }
    return CHECK_RESULT();
}
