/* bk_smp_args.c: find values in a request's map, whatever their order and company. */
#include "bk_bytes.h"
#include "bk_smp_wire.h"

enum {
    MAJOR_BYTES = 2,
    MAJOR_TEXT = 3,
    MAJOR_ARRAY = 4,
    MAJOR_MAP = 5,
    MAJOR_TAG = 6,
    MAJOR_SIMPLE = 7,
    BREAK = 0xff
};

#define INDEFINITE UINT64_MAX

typedef struct {
    uint8_t major;
    uint64_t value; /* INDEFINITE for an array or a map without a length */
} head;

/* Read an item's head; NULL when it is cut short or not allowed here. */
static const uint8_t *take_head(const uint8_t *p, const uint8_t *end, head *h) {
    if (p >= end) return NULL;
    uint8_t info = *p & 31;
    h->major = *p++ >> 5;
    h->value = info;
    if (info < 24) return p;
    if (info == 31) {
        h->value = INDEFINITE;
        return h->major == MAJOR_ARRAY || h->major == MAJOR_MAP ? p : NULL;
    }
    if (info > 27) return NULL;
    size_t n = (size_t)1 << (info - 24);
    if ((size_t)(end - p) < n) return NULL;
    h->value = 0;
    for (size_t i = 0; i < n; i++) h->value = h->value << 8 | *p++;
    return p;
}

/* Past one whole item; NULL when it is malformed. Not recursive: a hostile packet can nest deeper
 * than a microcontroller's stack. */
static const uint8_t *skip(const uint8_t *p, const uint8_t *end) {
    uint64_t left[BK_SMP_MAX_NESTING + 1] = {1}; /* items to come at each depth */
    unsigned depth = 0;
    for (;;) {
        if (left[depth] == 0) {
            if (depth-- == 0) return p;
            continue;
        }
        if (left[depth] == INDEFINITE && p < end && *p == BREAK) {
            p++;
            depth--;
            continue;
        }
        head h;
        p = take_head(p, end, &h);
        if (!p) return NULL;
        if (h.major == MAJOR_TAG) continue; /* its item follows */
        if (left[depth] != INDEFINITE) left[depth]--;
        if (h.major == MAJOR_BYTES || h.major == MAJOR_TEXT) {
            if (h.value > (uint64_t)(end - p)) return NULL;
            p += h.value;
        } else if (h.major == MAJOR_ARRAY || h.major == MAJOR_MAP) {
            if (depth == BK_SMP_MAX_NESTING) return NULL;
            if (h.value != INDEFINITE && h.value > (uint64_t)(end - p)) return NULL;
            bool pairs = h.major == MAJOR_MAP && h.value != INDEFINITE;
            left[++depth] = pairs ? 2 * h.value : h.value;
        }
    }
}

bool bk_smp_args_well_formed(const uint8_t *body, size_t n) {
    if (n == 0) return true;
    return body[0] >> 5 == MAJOR_MAP && skip(body, body + n) == body + n;
}

/* The value of `key`, or NULL. */
static const uint8_t *find(const bk_smp_call *c, const char *key) {
    const uint8_t *end = c->body + c->n;
    head map;
    const uint8_t *p = take_head(c->body, end, &map);
    size_t key_n = strlen(key);
    for (uint64_t i = 0; p && i < map.value; i++) {
        if (p < end && *p == BREAK) return NULL;
        head h;
        const uint8_t *text = take_head(p, end, &h);
        p = skip(p, end);
        if (!text || !p) return NULL;
        if (h.major == MAJOR_TEXT && h.value == key_n && memcmp(text, key, key_n) == 0) {
            return p;
        }
        p = skip(p, end);
    }
    return NULL;
}

static size_t rest(const bk_smp_call *c, const uint8_t *p) { return (size_t)(c->body + c->n - p); }

bk_arg bk_smp_arg_u32(const bk_smp_call *c, const char *key, uint32_t *v) {
    const uint8_t *p = find(c, key);
    if (!p) return BK_ARG_ABSENT;
    ZCBOR_STATE_D(z, 0, p, rest(c, p), 1, 0);
    return zcbor_uint32_decode(z, v) ? BK_ARG_OK : BK_ARG_BAD;
}

bk_arg bk_smp_arg_bool(const bk_smp_call *c, const char *key, bool *v) {
    const uint8_t *p = find(c, key);
    if (!p) return BK_ARG_ABSENT;
    ZCBOR_STATE_D(z, 0, p, rest(c, p), 1, 0);
    return zcbor_bool_decode(z, v) ? BK_ARG_OK : BK_ARG_BAD;
}

bk_arg bk_smp_arg_text(const bk_smp_call *c, const char *key, struct zcbor_string *v) {
    const uint8_t *p = find(c, key);
    if (!p) return BK_ARG_ABSENT;
    ZCBOR_STATE_D(z, 0, p, rest(c, p), 1, 0);
    return zcbor_tstr_decode(z, v) ? BK_ARG_OK : BK_ARG_BAD;
}

bk_arg bk_smp_arg_bytes(const bk_smp_call *c, const char *key, struct zcbor_string *v) {
    const uint8_t *p = find(c, key);
    if (!p) return BK_ARG_ABSENT;
    ZCBOR_STATE_D(z, 0, p, rest(c, p), 1, 0);
    return zcbor_bstr_decode(z, v) ? BK_ARG_OK : BK_ARG_BAD;
}

bk_arg bk_smp_arg_texts(const bk_smp_call *c, const char *key, struct zcbor_string *v, size_t cap,
                        size_t *count) {
    *count = 0;
    const uint8_t *p = find(c, key);
    if (!p) return BK_ARG_ABSENT;
    ZCBOR_STATE_D(z, 1, p, rest(c, p), 1, 0);
    if (!zcbor_list_start_decode(z)) return BK_ARG_BAD;
    while (!zcbor_array_at_end(z)) {
        if (*count == cap || !zcbor_tstr_decode(z, &v[*count])) return BK_ARG_BAD;
        ++*count;
    }
    return BK_ARG_OK;
}

bk_arg bk_smp_arg_u32s(const bk_smp_call *c, const char *key, uint32_t *v, size_t cap,
                       size_t *count) {
    *count = 0;
    const uint8_t *p = find(c, key);
    if (!p) return BK_ARG_ABSENT;
    ZCBOR_STATE_D(z, 1, p, rest(c, p), 1, 0);
    if (!zcbor_list_start_decode(z)) return BK_ARG_BAD;
    while (!zcbor_array_at_end(z)) {
        if (*count == cap || !zcbor_uint32_decode(z, &v[*count])) return BK_ARG_BAD;
        ++*count;
    }
    return BK_ARG_OK;
}
