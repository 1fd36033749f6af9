/* bk_bpe_init.c: turns a GGUF's token and merge lists into bk_bpe's tables, refusing bad ones. */
#include "bk_bpe_table.h"

enum {
    NONE = 0xFFFFFFFFu,
    /* At two thirds full a probe of 100 is rare; a file made to collide must not cost minutes. */
    MAX_PROBE = 1024
};

/* The lists as the file has them, with their types and counts checked. */
typedef struct {
    bk_kv tokens, types, merges;
    uint32_t n_tokens, n_merges, n_special;
} lists;

/* Finds tokens by text; lives in the caller's scratch during bk_bpe_init. */
typedef struct {
    const uint8_t *tokens;
    uint32_t *offset; /* [n_tokens] in `tokens` */
    uint32_t *slot; /* [mask + 1] ids, or NONE */
    uint32_t mask;
} words;

static uint32_t slots_for(uint32_t n) {
    uint32_t slots = 4;
    while (slots < n + n / 2) slots *= 2;
    return slots;
}

static int find_list(const bk_gguf *g, const char *key, uint32_t max, bk_kv *kv) {
    int err = bk_gguf_find_kv(g, key, kv);
    if (err) return err;
    if (kv->type != BK_KV_ARRAY) return BK_ERR_MALFORMED;
    return kv->count < max ? BK_OK : BK_ERR_LIMIT;
}

static bool is_special(const bk_kv *types, uint32_t id) {
    if (!types->data) return false;
    uint32_t type = bk_load32_le(types->data + 4 * (size_t)id);
    return type == BK_BPE_CONTROL || type == BK_BPE_USER_DEFINED;
}

static int find_types(const bk_gguf *g, lists *l) {
    int err = find_list(g, "tokenizer.ggml.token_type", BK_BPE_MAX_TOKENS, &l->types);
    if (err == BK_ERR_MISSING) {
        l->types.data = NULL; /* llama.cpp, too, then takes every token as normal */
        return BK_OK;
    }
    if (err) return err;
    bool int32 = l->types.element_type == BK_KV_I32 || l->types.element_type == BK_KV_U32;
    if (!int32 || l->types.count != l->tokens.count) return BK_ERR_MALFORMED;
    for (uint32_t id = 0; id < l->n_tokens; id++) l->n_special += is_special(&l->types, id);
    return BK_OK;
}

static int find_lists(const bk_gguf *g, lists *l) {
    memset(l, 0, sizeof *l);
    int err = find_list(g, "tokenizer.ggml.tokens", BK_BPE_MAX_TOKENS, &l->tokens);
    if (!err) err = find_list(g, "tokenizer.ggml.merges", BK_BPE_MAX_MERGES, &l->merges);
    if (err) return err;
    if (l->tokens.element_type != BK_KV_STRING || l->merges.element_type != BK_KV_STRING)
        return BK_ERR_MALFORMED;
    l->n_tokens = (uint32_t)l->tokens.count;
    l->n_merges = (uint32_t)l->merges.count;
    return find_types(g, l);
}

static uint32_t index_entries(const lists *l) {
    return (l->n_tokens + BK_BPE_STRIDE - 1) / BK_BPE_STRIDE;
}

static size_t table_bytes(const lists *l) {
    size_t words32 = (size_t)l->n_merges + index_entries(l) + 256 + l->n_special;
    return slots_for(l->n_merges) * sizeof(uint64_t) + words32 * sizeof(uint32_t);
}

static size_t words_bytes(const lists *l) {
    return ((size_t)l->n_tokens + slots_for(l->n_tokens)) * sizeof(uint32_t);
}

size_t bk_bpe_bytes(const bk_gguf *g) {
    lists l;
    return find_lists(g, &l) ? 0 : table_bytes(&l);
}

size_t bk_bpe_scratch_bytes(const bk_gguf *g) {
    lists l;
    return find_lists(g, &l) ? 0 : words_bytes(&l);
}

static uint32_t hash_more(uint32_t h, bk_str s) { /* FNV-1a */
    for (size_t i = 0; i < s.n; i++) h = (h ^ (uint8_t)s.p[i]) * 0x01000193u;
    return h;
}

static bool equals(bk_str token, bk_str head, bk_str tail) {
    return token.n == head.n + tail.n && memcmp(token.p, head.p, head.n) == 0 &&
           memcmp(token.p + head.n, tail.p, tail.n) == 0;
}

/* The slot of the token with text head + tail, or the empty one where it would stand, or NONE
 * when the probe is too long. */
static uint32_t slot_of(const words *w, bk_str head, bk_str tail) {
    uint32_t h = hash_more(hash_more(0x811C9DC5u, head), tail);
    h ^= h >> 15;
    for (uint32_t probe = 0; probe < MAX_PROBE; probe++) {
        uint32_t at = (h + probe) & w->mask, id = w->slot[at];
        if (id == NONE) return at;
        const uint8_t *p = w->tokens + w->offset[id];
        if (equals(bk_gguf_array_str(&p), head, tail)) return at;
    }
    return NONE;
}

static uint32_t find_word(const words *w, bk_str head, bk_str tail) {
    uint32_t at = slot_of(w, head, tail);
    return at == NONE ? NONE : w->slot[at];
}

static const bk_str NOTHING = {"", 0};

/* Fill `w`, the index and the longest text; refuse a token that is there twice. */
static int read_tokens(bk_bpe *b, uint32_t *index, words *w) {
    const uint8_t *p = w->tokens;
    memset(w->slot, 0xFF, ((size_t)w->mask + 1) * sizeof *w->slot);
    for (uint32_t id = 0; id < b->n_tokens; id++) {
        size_t offset = (size_t)(p - w->tokens);
        if (offset >= NONE) return BK_ERR_LIMIT;
        w->offset[id] = (uint32_t)offset;
        if (id % BK_BPE_STRIDE == 0) index[id / BK_BPE_STRIDE] = (uint32_t)offset;
        bk_str text = bk_gguf_array_str(&p);
        if (text.n > INT32_MAX) return BK_ERR_LIMIT;
        if (text.n > b->longest) b->longest = (uint32_t)text.n;
        uint32_t at = slot_of(w, text, NOTHING);
        if (at == NONE) return BK_ERR_LIMIT;
        if (w->slot[at] != NONE) return BK_ERR_MALFORMED;
        w->slot[at] = id;
    }
    return BK_OK;
}

static int read_bytes(uint32_t *byte_id, const words *w) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        char text[2];
        bk_str mapped = {text, bk_bpe_map((uint8_t)byte, text)};
        byte_id[byte] = find_word(w, mapped, NOTHING);
        if (byte_id[byte] == NONE) return BK_ERR_MISSING;
    }
    return BK_OK;
}

static int put_pair(uint64_t *pairs, uint32_t mask, uint32_t left, uint32_t right, uint32_t rank) {
    uint64_t pair = bk_bpe_pair(left, right);
    uint32_t at = bk_bpe_pair_hash(left, right);
    for (uint32_t probe = 0; probe < MAX_PROBE; probe++, at++) {
        uint64_t *slot = &pairs[at & mask];
        if (*slot == BK_BPE_EMPTY) {
            *slot = pair << BK_BPE_RANK_BITS | rank;
            return BK_OK;
        }
        if (*slot >> BK_BPE_RANK_BITS == pair) return BK_ERR_MALFORMED; /* the same merge twice */
    }
    return BK_ERR_LIMIT;
}

/* "left right" -> their ids and that of the token they make. */
static int read_merge(const words *w, bk_str merge, uint32_t id[3]) {
    size_t space = 1;
    while (space < merge.n && merge.p[space] != ' ') space++;
    if (space + 1 >= merge.n) return BK_ERR_MALFORMED;
    bk_str left = {merge.p, space}, right = {merge.p + space + 1, merge.n - space - 1};
    id[0] = find_word(w, left, NOTHING);
    id[1] = find_word(w, right, NOTHING);
    id[2] = find_word(w, left, right);
    bool known = id[0] != NONE && id[1] != NONE && id[2] != NONE;
    return known ? BK_OK : BK_ERR_MALFORMED;
}

static int read_merges(const bk_bpe *b, const uint8_t *p, uint64_t *pairs, uint32_t *results,
                       const words *w) {
    memset(pairs, 0xFF, ((size_t)b->mask + 1) * sizeof *pairs);
    for (uint32_t rank = 0; rank < b->n_merges; rank++) {
        uint32_t id[3];
        int err = read_merge(w, bk_gguf_array_str(&p), id);
        if (!err) err = put_pair(pairs, b->mask, id[0], id[1], rank);
        if (err) return err;
        results[rank] = id[2];
    }
    return BK_OK;
}

/* Whether token x comes before token y: by bytes, a prefix first. */
static bool before(const bk_bpe *b, uint32_t x, uint32_t y) {
    bk_str s = bk_bpe_token(b, x), t = bk_bpe_token(b, y);
    int order = memcmp(s.p, t.p, s.n < t.n ? s.n : t.n);
    return order ? order < 0 : s.n < t.n;
}

static void sift_down(const bk_bpe *b, uint32_t *heap, uint32_t at, uint32_t n) {
    uint32_t id = heap[at], child;
    while ((child = 2 * at + 1) < n) {
        if (child + 1 < n && before(b, heap[child], heap[child + 1])) child++;
        if (!before(b, id, heap[child])) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = id;
}

/* Heapsort: in place, and never quadratic, however many special tokens a file claims. */
static void sort_by_text(const bk_bpe *b, uint32_t *ids, uint32_t n) {
    for (uint32_t at = n / 2; at--;) sift_down(b, ids, at, n);
    for (uint32_t left = n; left > 1; left--) {
        uint32_t last = ids[0];
        ids[0] = ids[left - 1];
        ids[left - 1] = last;
        sift_down(b, ids, 0, left - 1);
    }
}

static int read_special(bk_bpe *b, uint32_t *special, const bk_kv *types) {
    uint32_t n = 0;
    for (uint32_t id = 0; id < b->n_tokens; id++) {
        if (!is_special(types, id)) continue;
        bk_str text = bk_bpe_token(b, id);
        if (!text.n) return BK_ERR_MALFORMED; /* it would match everywhere */
        uint8_t first = (uint8_t)text.p[0];
        b->starts[first >> 3] |= (uint8_t)(1u << (first & 7));
        special[n++] = id;
    }
    sort_by_text(b, special, n);
    return BK_OK;
}

static int check_kind(const bk_gguf *g) {
    bk_str model, pre;
    int err = bk_gguf_str(g, "tokenizer.ggml.model", &model);
    if (!err) err = bk_gguf_str(g, "tokenizer.ggml.pre", &pre);
    if (err) return err;
    bool known = model.n == 4 && memcmp(model.p, "gpt2", 4) == 0 && pre.n == 5 &&
                 memcmp(pre.p, "qwen2", 5) == 0;
    return known ? BK_OK : BK_ERR_TOKENIZER;
}

static int read_eos(const bk_gguf *g, bk_bpe *b) {
    uint32_t id = 0;
    int err = bk_gguf_u32(g, "tokenizer.ggml.eos_token_id", &id);
    b->eos = err ? -1 : (int32_t)id;
    if (err == BK_ERR_MISSING) return BK_OK;
    if (err) return err;
    return id < b->n_tokens ? BK_OK : BK_ERR_MALFORMED;
}

/* Lay the tables out in `mem`, the widest elements first, and fill them. */
static int read_lists(bk_bpe *b, const lists *l, void *mem, words *w) {
    uint64_t *pairs = mem;
    uint32_t *results = (uint32_t *)(pairs + b->mask + 1), *index = results + b->n_merges;
    uint32_t *byte_id = index + index_entries(l), *special = byte_id + 256;
    b->pairs = pairs;
    b->results = results;
    b->index = index;
    b->byte_id = byte_id;
    b->special = special;
    int err = read_tokens(b, index, w);
    if (!err) err = read_bytes(byte_id, w);
    if (!err) err = read_merges(b, l->merges.data, pairs, results, w);
    return err ? err : read_special(b, special, &l->types);
}

int bk_bpe_init(bk_bpe *b, const bk_gguf *g, void *mem, size_t n, void *scratch, size_t scratch_n) {
    lists l;
    memset(b, 0, sizeof *b);
    int err = check_kind(g);
    if (!err) err = find_lists(g, &l);
    if (err) return err;
    if (((uintptr_t)mem | (uintptr_t)scratch) & 7) return BK_ERR_ARGUMENT;
    if (n < table_bytes(&l) || scratch_n < words_bytes(&l)) return BK_ERR_MEMORY;
    b->tokens = l.tokens.data;
    b->types = l.types.data;
    b->n_tokens = l.n_tokens;
    b->n_merges = l.n_merges;
    b->n_special = l.n_special;
    b->mask = slots_for(l.n_merges) - 1;
    uint32_t *offset = scratch;
    words w = {l.tokens.data, offset, offset + l.n_tokens, slots_for(l.n_tokens) - 1};
    err = read_lists(b, &l, mem, &w);
    return err ? err : read_eos(g, b);
}
