/* checks.c: are weights and patches as they should be, and how fast is this board? */
#include <string.h>

#include "bk_device.h"
#include "bk_error.h"

/* Are a stored patch's bytes whole, let in, and fit for the model? */
static bool is_good(bk_device *d, const bk_store_patch *p) {
    char text[BK_SMP_DETAIL_MAX + 1];
    bk_say ignored;
    bk_patch *patch = &d->active.now[0];
    bk_say_start(&ignored, text, sizeof text);
    bk_port_feed_watchdog();
    return bk_store_intact(&d->store, p) &&
           bk_active_load(&d->active, p->id, patch, &ignored) == BK_RC_OK &&
           bk_active_check(&d->active, p->name, patch, &ignored) == BK_RC_OK;
}

/* Bit i: entry i of bk_device_at. */
static uint32_t find_bad(bk_device *d) {
    _Static_assert(BK_STORE_MAX_PATCHES <= 31, "a bit each");
    uint32_t bad = 0;
    const bk_store_patch *p;
    for (uint32_t i = 0; (p = bk_device_at(d, i)); i++)
        if (!is_good(d, p)) bad |= (uint32_t)1 << i;
    return bad;
}

int bk_device_verify(bk_device *d, bk_facts *f, bool *ok) {
    bool intact = true;
    (void)bk_device_say(d);
#ifndef BK_SWITCHER
    uint8_t digest[32];
    if (d->session.known) {
        bk_active_undress(&d->active);
        bk_session_hash(&d->session, digest);
        bk_active_dress(&d->active);
        intact = memcmp(digest, d->session.sha256, sizeof digest) == 0;
    }
#endif
    uint32_t bad = find_bad(d);
    *ok = bad == 0 && intact;
    bk_facts_bool(f, "ok", *ok);
#ifndef BK_SWITCHER
    if (d->session.known) {
        bk_facts_bool(f, "weights_intact", intact);
        bk_facts_bytes(f, "weights_sha256", digest, sizeof digest);
    }
#endif
    bk_facts_uint(f, "patches", bk_device_count(d));
    bk_facts_begin(f, "bad_patches");
    for (uint32_t i = 0; i < 31; i++)
        if (bad >> i & 1) bk_facts_add(f, bk_device_at(d, i)->name);
    bk_facts_end(f);
    return BK_RC_OK;
}

#ifndef BK_SWITCHER

enum { BENCH_TOKENS = 4 };

/* Nobody else may want the cache, and there has to be a model. */
static int claim(bk_device *d) {
    if (!d->session.runs)
        return bk_device_refuse(d, BK_RC_NOT_SUPPORTED, "no model runs here", "", "");
    if (!d->answer.done)
        return bk_device_refuse(d, BK_RC_BUSY, "a prompt is being answered", "", "");
    (void)bk_device_say(d);
    bk_session_forget(&d->session);
    return BK_RC_OK;
}

int bk_device_bench(bk_device *d, bk_facts *f) {
    static const int32_t token = 1;
    int rc = claim(d);
    if (rc) return rc;
    bk_session *s = &d->session;
    uint64_t start = bk_port_ns();
    for (int i = 0; i < BENCH_TOKENS; i++) {
        bk_port_feed_watchdog();
        (void)bk_forward(&s->state, &token, 1, s->logits);
    }
    uint64_t ns = bk_port_ns() - start;
    bk_session_forget(s);
    const char *kernel = s->state.kernel->name;
    bk_facts_text(f, "kernel", kernel, strlen(kernel));
    bk_facts_uint(f, "tokens", BENCH_TOKENS);
    bk_facts_uint(f, "token_us", (uint32_t)(ns / (1000 * BENCH_TOKENS)));
    if (d->board->clock_hz) bk_facts_uint(f, "clock_hz", d->board->clock_hz);
    bk_facts_uint(f, "memory_bytes", (uint32_t)d->board->memory_bytes);
    bk_facts_uint(f, "memory_used", (uint32_t)s->used_bytes);
    bk_facts_uint(f, "overlay_bytes", (uint32_t)s->overlay_bytes);
    bk_facts_uint(f, "stack_bytes", (uint32_t)bk_port_stack_bytes());
    bk_facts_uint(f, "stack_used", (uint32_t)bk_port_stack_used());
    bk_facts_uint(f, "lost_bytes", bk_port_lost());
    return BK_RC_OK;
}

int bk_device_logits(bk_device *d, const char *text, size_t n, uint8_t digest[32]) {
    int rc = claim(d);
    if (rc) return rc;
    bk_session *s = &d->session;
    int32_t *tokens = s->talks[1].tokens;
    int32_t count = bk_session_encode(s, text, n, tokens, s->state.ctx);
    if (count <= 0 || (uint32_t)count > s->state.ctx)
        return bk_device_refuse(d, BK_RC_CONTEXT, "the text has no token, or too many", "", "");
    bk_sha256 sha;
    bk_sha256_init(&sha);
    for (int32_t i = 0; i < count; i++) {
        bk_port_feed_watchdog();
        if (bk_forward(&s->state, tokens + i, 1, s->logits)) return BK_RC_INTERNAL;
        bk_sha256_update(&sha, s->logits, s->model.vocab * sizeof *s->logits);
    }
    bk_sha256_final(&sha, digest);
    bk_session_forget(s);
    return BK_RC_OK;
}

#endif
