/* bk_gguf.h: zero-copy reader of GGUF v3 (ggml docs/gguf.md), the only model format.
 *
 * bk_gguf_open walks the whole header once and checks every length, count, offset and dimension
 * against the bytes given; afterwards nothing here can read outside them. Nothing is copied:
 * names, arrays and tensor data are views into the caller's buffer, which may be flash, an mmap
 * or RAM, at any alignment.
 */
#ifndef BK_GGUF_H
#define BK_GGUF_H

#include "bk_bytes.h"
#include "bk_error.h"

enum { BK_GGUF_MAX_DIMS = 4, BK_GGUF_MAX_NAME = 64, BK_GGUF_MAX_KEY = 65535 };

typedef enum { BK_TYPE_F32 = 0, BK_TYPE_F16 = 1, BK_TYPE_BF16 = 30, BK_TYPE_Q1_0 = 41 } bk_type;

typedef enum {
    BK_KV_U8 = 0,
    BK_KV_I8 = 1,
    BK_KV_U16 = 2,
    BK_KV_I16 = 3,
    BK_KV_U32 = 4,
    BK_KV_I32 = 5,
    BK_KV_F32 = 6,
    BK_KV_BOOL = 7,
    BK_KV_STRING = 8,
    BK_KV_ARRAY = 9,
    BK_KV_U64 = 10,
    BK_KV_I64 = 11,
    BK_KV_F64 = 12
} bk_kv_type;

typedef struct {
    const char *p; /* not NUL-terminated */
    size_t n;
} bk_str;

typedef struct {
    const uint8_t *base;
    size_t size;
    uint64_t n_kv;
    uint64_t n_tensors;
    size_t kv_at;      /* offset of the first key/value */
    size_t tensors_at; /* offset of the first tensor record */
    size_t data_at;    /* offset of tensor data, aligned */
    uint32_t alignment;
    size_t error_at;   /* where bk_gguf_open stopped, for the error sentence */
    uint32_t error_type; /* the tensor type it refused, when BK_ERR_TENSOR_TYPE */
} bk_gguf;

typedef struct {
    bk_str key;
    uint32_t type;         /* bk_kv_type */
    uint32_t element_type; /* of an array */
    uint64_t count;        /* elements of an array, else 1 */
    const uint8_t *data;   /* the value; an array's first element; a string's length field */
} bk_kv;

typedef struct {
    bk_str name;
    uint32_t type; /* bk_type */
    uint32_t n_dims;
    uint64_t dims[BK_GGUF_MAX_DIMS]; /* dims[0] is the contiguous one (columns) */
    const uint8_t *data;
    size_t n_bytes;
} bk_tensor;

/* Open and validate. On error g->error_at is the byte offset of the offending field. */
int bk_gguf_open(bk_gguf *g, const uint8_t *bytes, size_t n);

/* Walk: start with *at = g->kv_at (g->tensors_at), call n_kv (n_tensors) times. */
void bk_gguf_next_kv(const bk_gguf *g, size_t *at, bk_kv *kv);
void bk_gguf_next_tensor(const bk_gguf *g, size_t *at, bk_tensor *t);

/* Find by name; BK_ERR_MISSING when absent. */
int bk_gguf_find_kv(const bk_gguf *g, const char *key, bk_kv *kv);
int bk_gguf_find_tensor(const bk_gguf *g, const char *name, bk_tensor *t);

/* "<prefix>.<name>", cut to fit. */
void bk_gguf_key(char key[BK_GGUF_MAX_NAME + 1], const char *prefix, const char *name);

/* Scalars, converted when the stored type is another integer width that holds the value. */
int bk_gguf_u32(const bk_gguf *g, const char *key, uint32_t *value);
int bk_gguf_f32(const bk_gguf *g, const char *key, float *value);
int bk_gguf_str(const bk_gguf *g, const char *key, bk_str *value);

/* The string at *at (a cursor that starts at an array's kv.data); moves the cursor past it. */
bk_str bk_gguf_array_str(const uint8_t **at);

#endif
