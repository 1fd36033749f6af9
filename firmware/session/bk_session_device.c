/* bk_session_device.c: the model on this board, behind a device's callbacks. */
#include <string.h>

#include "bk_divide.h"
#include "bk_error.h"
#include "bk_runtime.h"
#include "bk_session.h"

enum { BENCH_TOKENS = 4 };

/* An overlay that was built. Switching to a set whose overlay is still there is a pointer swap. */
typedef struct {
    bk_patch_set set;
    bk_overlay overlay;
    size_t bytes; /* 0: nothing is here */
    bool probes;  /* the set's patches carry some */
} overlay_slot;

typedef struct {
    bk_session session;
    const bk_device_port *port;
    overlay_slot slots[2]; /* 0 grows from the low end of the overlay's memory, 1 from the high */
    uint8_t slot;          /* the one used last */
    uint64_t start_ns;     /* of the host's answer */
} chip;

static chip here;

static void give_up(const chip *c, const char *why) {
    c->port->log(c->port->self, why);
    c->port->reset(c->port->self, true);
}

static void about(void *self, bk_session_about *out) {
    const chip *c = self;
    const bk_session *s = &c->session;
    *out = (bk_session_about){.known = s->known,
                              .runs = s->runs,
                              .in_place = s->model.writable,
                              .wants_running = s->model.writable};
    if (s->known) {
        out->model_id = s->model.id;
        out->model_name = s->name;
    }
    if (!s->runs) return;
    out->ctx = s->state.ctx;
    out->kernel = s->state.kernel->name;
    out->room = bk_talk_room(s);
}

/* ---- in place ----------------------------------------------------------------------------- */

/* Between the two the weights are as in the file. */
static void swap(chip *c, const bk_members *off, const bk_members *on) {
    bk_model *m = &c->session.model;
    if (m->writable && bk_patch_swap(m, off->patches, off->set.n, on->patches, on->set.n, true))
        give_up(c, "the active set cannot be taken off the weights: the device starts anew");
}

static const bk_members nothing;

static void undress(chip *c, const bk_members *running) { swap(c, running, &nothing); }
static void dress(chip *c, const bk_members *running) { swap(c, &nothing, running); }

static int check(void *self, const bk_members *running, const bk_patch *patch) {
    chip *c = self;
    if (!c->session.known) return BK_OK;
    undress(c, running);
    int error = bk_patch_check(patch, &c->session.model, false);
    dress(c, running);
    return error;
}

static int weights(void *self, const bk_members *running, uint8_t digest[32], bool *intact) {
    chip *c = self;
    undress(c, running);
    bk_session_hash(&c->session, digest);
    dress(c, running);
    *intact = memcmp(digest, c->session.sha256, 32) == 0;
    return BK_RC_OK;
}

/* ---- overlay ------------------------------------------------------------------------------ */

static bool same_set(const bk_patch_set *a, const bk_patch_set *b) {
    return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof a->ids[0]) == 0;
}

static overlay_slot *find_slot(chip *c, const bk_patch_set *set) {
    for (uint32_t i = 0; i < 2; i++)
        if (c->slots[i].bytes && same_set(&c->slots[i].set, set)) return &c->slots[i];
    return NULL;
}

static bool has_overlays(const chip *c) { return c->session.runs && !c->session.model.writable; }

static bool ready(void *self, const bk_patch_set *set, bool *probes) {
    chip *c = self;
    if (!has_overlays(c)) return false;
    const overlay_slot *slot = set->n ? find_slot(c, set) : NULL;
    *probes = slot && slot->probes;
    return slot || !set->n;
}

static void forget(void *self, bk_patch_id id) {
    chip *c = self;
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t k = 0; k < c->slots[i].set.n; k++)
            if (c->slots[i].set.ids[k] == id) c->slots[i].bytes = 0;
}

static int refuse_size(const bk_session *s, size_t bytes, bk_say *why) {
    bk_say_text(why, "the set needs ");
    bk_say_uint(why, bytes);
    bk_say_text(why, " bytes of memory, this device has ");
    bk_say_uint(why, s->overlay_bytes);
    return BK_RC_LIMIT;
}

/* Build into the slot that was not used last; the other one stays as long as both fit. Nothing
 * can fail from the point where something is overwritten: all was checked and counted. */
static int build(chip *c, const bk_members *m, bk_say *why) {
    const bk_session *s = &c->session;
    size_t bytes;
    int error = BK_OK;
    for (uint32_t i = 0; i < m->set.n && !error; i++)
        error = bk_patch_check(m->patches[i], &s->model, false);
    if (!error) error = bk_overlay_bytes(m->patches, m->set.n, &s->model, &bytes);
    if (error) return error;
    bytes = (bytes + 7) & ~(size_t)7;
    if (bytes > s->overlay_bytes) return refuse_size(s, bytes, why);
    overlay_slot *other = &c->slots[c->slot], *slot = &c->slots[1 - c->slot];
    if (other->bytes + bytes > s->overlay_bytes) other->bytes = 0;
    uint8_t *mem = c->slot ? s->overlay : s->overlay + s->overlay_bytes - bytes;
    *slot = (overlay_slot){.set = m->set, .bytes = bytes};
    if (bk_overlay_build(&slot->overlay, m->patches, m->set.n, &s->model, mem, bytes))
        give_up(c, "an overlay cannot be built: the device starts anew");
    for (uint32_t i = 0; i < m->set.n; i++) slot->probes |= m->patches[i]->n_canaries > 0;
    return BK_OK;
}

static int use_overlay(chip *c, const bk_members *m, bk_say *why) {
    bk_state *state = &c->session.state;
    if (!m->set.n) {
        state->overlay = NULL;
        return BK_OK;
    }
    if (!find_slot(c, &m->set)) {
        int rc = build(c, m, why);
        if (rc) return rc;
    }
    const overlay_slot *slot = find_slot(c, &m->set);
    c->slot = (uint8_t)(slot - c->slots);
    state->overlay = &slot->overlay;
    return BK_OK;
}

/* ---- both --------------------------------------------------------------------------------- */

static int use(void *self, const bk_members *running, const bk_members *wanted, uint64_t *ns,
               bk_say *why) {
    chip *c = self;
    bk_model *m = &c->session.model;
    uint64_t start = bk_port_ns();
    int rc = BK_OK;
    if (m->writable)
        rc = bk_patch_swap(m, running->patches, running->set.n, wanted->patches, wanted->set.n,
                           false);
    else if (c->session.runs) rc = use_overlay(c, wanted, why);
    if (!rc) bk_session_forget(&c->session);
    *ns = bk_port_ns() - start;
    return rc;
}

/* ---- answers ------------------------------------------------------------------------------ */

static int begin(void *self, const char *prompt, size_t n, uint32_t max_tokens, bool probe,
                 bk_ticket *ticket, uint32_t *tokens) {
    chip *c = self;
    bk_talk *talk = &c->session.talks[probe];
    if (!talk->done && !probe) return BK_RC_BUSY;
    if (!probe) c->start_ns = bk_port_ns();
    int32_t count = bk_talk_start(&c->session, talk, prompt, n, max_tokens);
    *tokens = count > 0 ? (uint32_t)count : 0;
    *ticket = 1u + probe;
    if (count < 0) return count;
    return *tokens < c->session.state.ctx ? BK_OK : BK_ERR_CONTEXT;
}

static void poll(void *self, bk_ticket ticket, bool wait, uint8_t *p, size_t cap, bk_piece *piece,
                 bk_say *why) {
    chip *c = self;
    bk_talk *talk = &c->session.talks[ticket - 1];
    size_t n;
    (void)cap, (void)why;
    do n = bk_talk_step(&c->session, talk, p);
    while (wait && !n && !talk->done);
    uint64_t us = bk_port_ns() - c->start_ns;
    (void)bk_divide(&us, 1000);
    *piece = (bk_piece){.n = n, .steps = n > 0, .us = us, .done = talk->done};
}

static void cancel(void *self, bk_ticket ticket) {
    chip *c = self;
    c->session.talks[ticket - 1].done = true;
}

/* ---- figures ------------------------------------------------------------------------------ */

static int bench(void *self, bk_facts *f, bk_say *why) {
    static const int32_t token = 1;
    chip *c = self;
    bk_session *s = &c->session;
    (void)why;
    bk_session_forget(s);
    uint64_t start = bk_port_ns();
    for (int i = 0; i < BENCH_TOKENS; i++) {
        bk_port_feed_watchdog();
        (void)bk_forward(&s->state, &token, 1, s->logits);
    }
    uint64_t token_us = bk_port_ns() - start;
    (void)bk_divide(&token_us, 1000 * BENCH_TOKENS);
    bk_session_forget(s);
    const char *kernel = s->state.kernel->name;
    bk_facts_text(f, "kernel", kernel, strlen(kernel));
    bk_facts_uint(f, "tokens", BENCH_TOKENS);
    bk_facts_uint(f, "token_us", token_us);
    if (s->board->clock_hz) bk_facts_uint(f, "clock_hz", s->board->clock_hz);
    bk_facts_uint(f, "memory_bytes", s->board->memory_bytes);
    bk_facts_uint(f, "memory_used", s->used_bytes);
    bk_facts_uint(f, "overlay_bytes", s->overlay_bytes);
    bk_facts_uint(f, "stack_bytes", bk_port_stack_bytes());
    bk_facts_uint(f, "stack_used", bk_port_stack_used());
    bk_facts_uint(f, "lost_bytes", bk_port_lost());
    return BK_RC_OK;
}

static int logits(void *self, const char *text, size_t n, uint8_t digest[32], bk_say *why) {
    chip *c = self;
    bk_session *s = &c->session;
    int32_t *tokens = s->talks[1].tokens;
    int32_t count = bk_session_encode(s, text, n, tokens, s->state.ctx);
    if (count <= 0 || (uint32_t)count > s->state.ctx) {
        bk_say_text(why, "the text has no token, or too many");
        return BK_RC_CONTEXT;
    }
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

/* ---- start -------------------------------------------------------------------------------- */

static const bk_device_session hooks = {
    .self = &here,
    .about = about,
    .check = check,
    .ready = ready,
    .use = use,
    .weights = weights,
    .forget = forget,
    .begin = begin,
    .poll = poll,
    .cancel = cancel,
    .bench = bench,
    .logits = logits,
};

void bk_runtime_open(bk_device_parts *parts, const bk_board *board, bk_say *why) {
    bk_session *s = &here.session;
    here.port = parts->port;
    bk_session_open(s, board, why);
    parts->session = &hooks;
    parts->piece = s->out;
    parts->answer = s->answer;
    if (!s->runs) return;
    parts->piece_bytes = bk_talk_room(s);
    parts->answer_bytes = s->answer_cap;
}
