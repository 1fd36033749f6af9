/* bk_bpe.c: encode and decode. The tables come from bk_bpe_init.c. */
#include "bk_bpe.h"

#include "bk_bpe_table.h"
#include "bk_pretoken.h"

enum { NONE = 0xFFFFFFFFu };

/* What one piece of text is merged in: all views into the caller's scratch. */
typedef struct {
    uint32_t *ids;    /* [n] at the first byte of each token: its id */
    uint32_t *length; /* [n] at the first and at the last byte of each token: its length */
    uint32_t *tree;   /* [2 * leaves] minimum tree; leaf i: rank of the pair that starts at i */
    uint32_t leaves;  /* a power of two */
} merging;

static uint32_t leaves_for(uint32_t n) {
    uint32_t leaves = 1;
    while (leaves < n) leaves *= 2;
    return leaves;
}

static size_t merging_bytes(uint32_t n) {
    return ((size_t)n + leaves_for(n)) * 2 * sizeof(uint32_t);
}

size_t bk_bpe_encode_bytes(size_t n) {
    return merging_bytes(n < BK_BPE_MAX_TEXT ? (uint32_t)n : BK_BPE_MAX_TEXT);
}

static uint32_t rank_of(const bk_bpe *b, uint32_t left, uint32_t right) {
    uint64_t pair = bk_bpe_pair(left, right);
    for (uint32_t at = bk_bpe_pair_hash(left, right);; at++) {
        uint64_t slot = b->pairs[at & b->mask];
        if (slot >> BK_BPE_RANK_BITS == pair) return (uint32_t)slot & BK_BPE_MAX_MERGES;
        if (slot == BK_BPE_EMPTY) return NONE;
    }
}

static uint32_t min32(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void start_merging(const bk_bpe *b, merging *m, const uint8_t *text, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        m->ids[i] = b->byte_id[text[i]];
        m->length[i] = 1;
    }
    uint32_t *leaf = m->tree + m->leaves;
    for (uint32_t i = 0; i + 1 < n; i++) leaf[i] = rank_of(b, m->ids[i], m->ids[i + 1]);
    for (uint32_t i = n - 1; i < m->leaves; i++) leaf[i] = NONE;
    for (uint32_t i = m->leaves - 1; i; i--) m->tree[i] = min32(m->tree[2 * i], m->tree[2 * i + 1]);
}

static void set_rank(merging *m, uint32_t at, uint32_t rank) {
    uint32_t i = m->leaves + at;
    m->tree[i] = rank;
    while (i /= 2) {
        uint32_t least = min32(m->tree[2 * i], m->tree[2 * i + 1]);
        if (m->tree[i] == least) return;
        m->tree[i] = least;
    }
}

/* Where the leftmost pair of the lowest rank starts. */
static uint32_t best_pair(const merging *m) {
    uint32_t i = 1, rank = m->tree[1];
    while (i < m->leaves) {
        i *= 2;
        if (m->tree[i] != rank) i++;
    }
    return i - m->leaves;
}

static void merge_at(const bk_bpe *b, merging *m, uint32_t at, uint32_t n) {
    uint32_t right = at + m->length[at];
    uint32_t length = m->length[at] + m->length[right], next = at + length;
    m->ids[at] = b->results[m->tree[m->leaves + at]];
    m->length[at] = m->length[next - 1] = length;
    set_rank(m, right, NONE);
    set_rank(m, at, next < n ? rank_of(b, m->ids[at], m->ids[next]) : NONE);
    if (!at) return;
    uint32_t before = at - m->length[at - 1];
    set_rank(m, before, rank_of(b, m->ids[before], m->ids[at]));
}

typedef struct {
    const bk_bpe *b;
    int32_t *ids;
    size_t n, cap;
    uint32_t *scratch;
    size_t scratch_n; /* bytes */
} output;

static int put(output *o, uint32_t id) {
    if (o->n == o->cap) return BK_ERR_MEMORY;
    o->ids[o->n++] = (int32_t)id;
    return BK_OK;
}

static int encode_piece(output *o, const uint8_t *text, uint32_t n) {
    if (n == 1) return put(o, o->b->byte_id[text[0]]);
    if (merging_bytes(n) > o->scratch_n) return BK_ERR_MEMORY;
    merging m = {o->scratch, o->scratch + n, o->scratch + 2 * (size_t)n, leaves_for(n)};
    start_merging(o->b, &m, text, n);
    while (m.tree[1] != NONE) merge_at(o->b, &m, best_pair(&m), n);
    int err = BK_OK;
    for (uint32_t i = 0; i < n && !err; i += m.length[i]) err = put(o, m.ids[i]);
    return err;
}

static int encode_plain(output *o, const uint8_t *text, size_t n) {
    int err = BK_OK;
    for (size_t at = 0, length; at < n && !err; at += length) {
        length = bk_pretoken_next(text + at, n - at);
        err = encode_piece(o, text + at, (uint32_t)length);
    }
    return err;
}

/* The first of special[lo, hi), all longer than k and equal up to there, whose byte k is >= c. */
static uint32_t bound(const bk_bpe *b, uint32_t lo, uint32_t hi, size_t k, uint32_t c) {
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if ((uint8_t)bk_bpe_token(b, b->special[mid]).p[k] < c) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* The longest special token that text[n] begins with: its length, or 0. */
static size_t special_at(const bk_bpe *b, const uint8_t *text, size_t n, bool control,
                         uint32_t *id) {
    if (!(b->starts[text[0] >> 3] >> (text[0] & 7) & 1)) return 0;
    uint32_t lo = 0, hi = b->n_special;
    size_t longest = 0;
    for (size_t k = 0; lo < hi; k++) { /* [lo, hi): those that begin with text[0, k) */
        uint32_t first = b->special[lo];
        if (bk_bpe_token(b, first).n == k) {
            if (control || bk_bpe_type(b, (int32_t)first) != BK_BPE_CONTROL) {
                longest = k;
                *id = first;
            }
            if (++lo == hi) break;
        }
        if (k == n) break;
        lo = bound(b, lo, hi, k, text[k]);
        hi = bound(b, lo, hi, k, text[k] + 1u);
    }
    return longest;
}

static int encode_text(output *o, const uint8_t *text, size_t n, bool control) {
    size_t start = 0, at = 0;
    while (at < n) {
        uint32_t id = 0;
        size_t length = special_at(o->b, text + at, n - at, control, &id);
        if (!length) {
            at++;
            continue;
        }
        int err = encode_plain(o, text + start, at - start);
        if (!err) err = put(o, id);
        if (err) return err;
        start = at += length;
    }
    return encode_plain(o, text + start, n - start);
}

int32_t bk_bpe_encode(const bk_bpe *b, const uint8_t *text, size_t n, bool special, int32_t *ids,
                      size_t cap, void *scratch, size_t scratch_n) {
    if (n > BK_BPE_MAX_TEXT) return BK_ERR_LIMIT;
    output o = {b, ids, 0, cap, (uint32_t *)scratch, scratch_n};
    int err = encode_text(&o, text, n, special);
    return err ? err : (int32_t)o.n;
}

static bool is_raw(int32_t type) { return type == BK_BPE_CONTROL || type == BK_BPE_USER_DEFINED; }

/* Whether every character of the token is one that stands for a byte; *bytes: how many. */
static bool unmap(bk_str token, uint8_t *out, size_t cap, size_t *bytes) {
    size_t n = 0;
    for (size_t at = 0; at < token.n; n++) {
        int32_t byte = bk_bpe_unmap((const uint8_t *)token.p, token.n, &at);
        if (byte < 0) return false;
        if (n < cap) out[n] = (uint8_t)byte;
    }
    *bytes = n;
    return true;
}

int32_t bk_bpe_piece(const bk_bpe *b, int32_t id, uint8_t *out, size_t cap) {
    int32_t type = bk_bpe_type(b, id);
    if (type < 0) return type;
    bk_str token = bk_bpe_token(b, (uint32_t)id);
    size_t n = token.n;
    bool raw = is_raw(type) || !unmap(token, out, cap, &n);
    if (n > cap) return BK_ERR_MEMORY;
    if (raw) memcpy(out, token.p, n);
    return (int32_t)n;
}

int32_t bk_bpe_type(const bk_bpe *b, int32_t id) {
    if (id < 0 || (uint32_t)id >= b->n_tokens) return BK_ERR_TOKEN;
    if (!b->types) return BK_BPE_NORMAL;
    uint32_t type = bk_load32_le(b->types + 4 * (size_t)id);
    return type <= INT32_MAX ? (int32_t)type : BK_BPE_NORMAL;
}

int32_t bk_bpe_special(const bk_bpe *b, const uint8_t *text, size_t n) {
    uint32_t id = 0;
    return n && special_at(b, text, n, true, &id) == n ? (int32_t)id : BK_ERR_MISSING;
}
