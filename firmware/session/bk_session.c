/* bk_session.c: carve the board's memory; tokens in, text out. */
#include "bk_session.h"

#include <string.h>

#include "bk_sha256.h"

enum { HASH_AT_ONCE = 1 << 15 };

/* ---- memory ------------------------------------------------------------------------------- */

typedef struct {
    uint8_t *base;
    size_t size, used;
} arena;

/* n bytes, 64-byte aligned; NULL when they do not fit, and used says what would have been right. */
static void *piece(arena *a, size_t n) {
    size_t at = (a->used + 63) & ~(size_t)63;
    a->used = at + n;
    return a->used <= a->size ? a->base + at : NULL;
}

/* The tokenizer's tables are built with the KV cache as scratch, which nobody uses yet. */
static int open_tokenizer(bk_session *s, const bk_gguf *g, arena *a, uint8_t *cache, size_t n) {
    size_t bytes = bk_bpe_bytes(g);
    uint8_t *mem = piece(a, bytes);
    if (bytes && !mem) return BK_OK; /* the caller sees that all did not fit */
    return bk_bpe_init(&s->bpe, g, mem, bytes, cache, n);
}

static size_t cache_bytes(const bk_model *m, uint32_t ctx) {
    bk_shape shape = bk_model_shape(m);
    return (size_t)bk_cache_bytes(&shape, ctx);
}

static int carve(bk_session *s, const bk_gguf *g, arena *a) {
    const bk_board *b = s->board;
    bk_model *m = &s->model;
    size_t packed = bk_model_packed_bytes(m, b->kernel);
    uint8_t *layout = packed ? piece(a, packed) : a->base;
    if (layout) {
        int rc = bk_model_pack(m, b->kernel, layout, packed, NULL);
        if (rc) return rc;
    }
    uint32_t ctx = b->ctx < m->context ? b->ctx : m->context;
    size_t bytes = bk_state_bytes(m, ctx, 1, 1);
    void *state = piece(a, bytes);
    if (!state) return BK_OK;
    int rc = bk_state_init(&s->state, m, ctx, 1, NULL, state, bytes);
    if (!rc) rc = open_tokenizer(s, g, a, state, cache_bytes(m, ctx));
    if (rc) return rc;
    s->logits = piece(a, m->vocab * sizeof *s->logits);
    for (uint32_t i = 0; i < BK_TALKS; i++)
        s->talks[i] = (bk_talk){.tokens = piece(a, (ctx + 1) * sizeof(int32_t)), .done = true};
    s->piece = piece(a, s->bpe.longest);
    s->out = piece(a, bk_talk_room(s));
    s->answer_cap = bk_talk_room(s) + (size_t)ctx * s->bpe.longest;
    s->answer = piece(a, s->answer_cap);
    return BK_OK;
}

static void find_stops(bk_session *s) {
    static const char *const texts[] = {"<|endoftext|>", "<|im_end|>"};
    s->stops[0] = s->bpe.eos;
    for (int i = 0; i < 2; i++) {
        int32_t id = bk_bpe_special(&s->bpe, (const uint8_t *)texts[i], strlen(texts[i]));
        s->stops[1 + i] = id < 0 ? -1 : id;
    }
}

static bool open_model(bk_session *s, bk_gguf *g, bk_say *why) {
    int rc = bk_gguf_open(g, s->board->model, s->board->model_bytes);
    if (!rc) rc = bk_model_open(&s->model, g);
    if (rc) {
        bk_say_text(why, "the model cannot be opened: error ");
        bk_say_uint(why, (uint32_t)-rc);
        if (s->model.missing) {
            bk_say_text(why, ", ");
            bk_say_text(why, s->model.missing);
        }
        return false;
    }
    s->model.writable = s->board->writable;
    s->name = (bk_str){"?", 1};
    (void)bk_gguf_str(g, "general.name", &s->name);
    return true;
}

void bk_session_open(bk_session *s, const bk_board *board, bk_say *why) {
    memset(s, 0, sizeof *s);
    s->board = board;
    bk_gguf g;
    if (!board->model || !open_model(s, &g, why)) return;
    s->known = true;
    bk_session_hash(s, s->sha256);
    arena a = {board->memory, board->memory_bytes, 0};
    int rc = carve(s, &g, &a);
    if (rc) {
        bk_say_text(why, "the model cannot be run: error ");
        bk_say_uint(why, (uint32_t)-rc);
        return;
    }
    if (a.used > a.size || !s->answer) {
        bk_say_text(why, "the model needs more than the ");
        bk_say_uint(why, (uint32_t)a.size);
        bk_say_text(why, " bytes of memory that are left: patches are only stored");
        return;
    }
    size_t left = a.size - a.used;
    s->overlay_bytes = board->writable || left < 64 ? 0 : (left - 64) & ~(size_t)63;
    s->used_bytes = a.used;
    s->overlay = piece(&a, s->overlay_bytes);
    find_stops(s);
    s->runs = true;
}

void bk_session_hash(const bk_session *s, uint8_t digest[32]) {
    bk_sha256 sha;
    bk_sha256_init(&sha);
    size_t n = s->board->model_bytes;
    for (size_t at = 0; at < n; at += HASH_AT_ONCE) {
        size_t m = n - at < HASH_AT_ONCE ? n - at : HASH_AT_ONCE;
        bk_sha256_update(&sha, s->board->model + at, m);
        bk_port_feed_watchdog();
    }
    bk_sha256_final(&sha, digest);
}

/* ---- talks -------------------------------------------------------------------------------- */

void bk_session_forget(bk_session *s) {
    s->cached = NULL;
    s->state.pos = 0;
}

int32_t bk_session_encode(bk_session *s, const char *text, size_t n, int32_t *tokens,
                          uint32_t cap) {
    bk_session_forget(s); /* its memory takes a token a byte at most, then the encoder's own */
    size_t bytes = cache_bytes(&s->model, s->state.ctx), ids = (n + 1) * sizeof(int32_t);
    if (bytes < ids) return BK_ERR_CONTEXT;
    int32_t *all = (int32_t *)(void *)s->state.k;
    uint8_t *scratch = (uint8_t *)all + ids;
    int32_t count = bk_bpe_encode(&s->bpe, (const uint8_t *)text, n, true, all, n, scratch,
                                  bytes - ids);
    if (count == BK_ERR_MEMORY || count == BK_ERR_LIMIT) return BK_ERR_CONTEXT;
    if (count > 0 && (uint32_t)count <= cap) memcpy(tokens, all, (size_t)count * sizeof *all);
    return count;
}

int32_t bk_talk_start(bk_session *s, bk_talk *t, const char *prompt, size_t n,
                      uint32_t max_tokens) {
    *t = (bk_talk){.tokens = t->tokens, .done = true};
    int32_t count = bk_session_encode(s, prompt, n, t->tokens, s->state.ctx);
    if (count < 0) return count;
    if (count == 0) return BK_ERR_ARGUMENT;
    if ((uint32_t)count >= s->state.ctx) return count;
    t->n = (uint32_t)count;
    t->left = max_tokens;
    t->done = max_tokens == 0;
    return count;
}

static int32_t likeliest(const float *logits, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

static bool stops(const bk_session *s, int32_t token) {
    return token == s->stops[0] || token == s->stops[1] || token == s->stops[2];
}

static size_t finish(bk_talk *t, uint8_t *out) {
    t->done = true;
    return bk_utf8_finish(&t->text, out);
}

/* The characters that a token completes. Control tokens are no text. */
static size_t text_of(bk_session *s, bk_talk *t, int32_t token, uint8_t *out) {
    if (bk_bpe_type(&s->bpe, token) == BK_BPE_CONTROL) return 0;
    int32_t n = bk_bpe_piece(&s->bpe, token, s->piece, s->bpe.longest);
    size_t written = 0;
    for (int32_t i = 0; i < n; i++) written += bk_utf8_feed(&t->text, s->piece[i], out + written);
    return written;
}

size_t bk_talk_room(const bk_session *s) { return (size_t)3 * (s->bpe.longest + 2); }

size_t bk_talk_step(bk_session *s, bk_talk *t, uint8_t *out) {
    bk_port_feed_watchdog();
    if (t->done) return 0;
    if (s->cached != t) bk_session_forget(s);
    s->cached = t;
    bk_state *state = &s->state;
    bool last = state->pos + 1 == t->n;
    if (t->n > state->ctx ||
        bk_forward(state, t->tokens + state->pos, 1, last ? s->logits : NULL) != BK_OK)
        return finish(t, out);
    if (!last) return 0;
    int32_t token = likeliest(s->logits, s->model.vocab);
    if (stops(s, token)) return finish(t, out);
    t->tokens[t->n++] = token;
    size_t n = text_of(s, t, token, out);
    if (--t->left == 0 || t->n > state->ctx) n += finish(t, out + n);
    return n;
}
