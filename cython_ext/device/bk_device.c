/* bk_device.c: store and session as one device. */
#include "bk_device.h"

#include <string.h>

bk_say bk_device_say(bk_device *d) {
    bk_say s;
    bk_say_start(&s, d->detail, sizeof d->detail);
    return s;
}

int bk_device_refuse(bk_device *d, int rc, const char *before, const char *what,
                     const char *after) {
    bk_say s = bk_device_say(d);
    bk_say_text(&s, before);
    bk_say_text(&s, what);
    bk_say_text(&s, after);
    return rc;
}

int bk_device_store_rc(bk_device *d, int rc) {
    const bk_device_store *s = d->parts.store;
    bk_say say = bk_device_say(d);
    const char *detail = rc && s->detail ? s->detail(s->self) : NULL;
    if (detail) bk_say_text(&say, detail);
    return rc;
}

int bk_device_find(bk_device *d, const char *name, bk_stored *found) {
    const bk_device_store *s = d->parts.store;
    if (s->find(s->self, name, found) == BK_RC_OK) return BK_RC_OK;
    return bk_device_refuse(d, BK_RC_NO_SUCH_PATCH, "no patch '", name, "' in the store");
}

/* ---- patches ------------------------------------------------------------------------------ */

static bool named(const bk_smp_name *names, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (bk_name_order(names[i], name) == 0) return true;
    return false;
}

static bool has_active(const bk_device *d, const char *name) {
    for (uint32_t i = 0; i < d->active.set.n; i++) {
        bk_smp_name other;
        bk_active_name(&d->active, d->active.set.ids[i], other);
        if (bk_name_order(name, other) == 0) return true;
    }
    return false;
}

int bk_device_list(bk_device *d, uint32_t index, bk_smp_entry *entry) {
    bk_stored found;
    const bk_device_store *s = d->parts.store;
    int rc = s->at(s->self, index, &found);
    if (rc) return rc;
    memcpy(entry->name, found.name, sizeof entry->name);
    entry->size = found.size;
    entry->active = has_active(d, found.name);
    return BK_RC_OK;
}

static int use(bk_device *d, const bk_patch_set *wanted, uint64_t *ns) {
    const bk_device_session *s = d->parts.session;
    bk_say why = bk_device_say(d);
    if (s->hold) s->hold(s->self, true);
    int rc = bk_active_use(&d->active, wanted, ns, &why);
    if (s->hold) s->hold(s->self, false);
    return rc;
}

int bk_device_use(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns) {
    bk_patch_set wanted = {0};
    for (size_t i = 0; i < n; i++) {
        bk_stored found;
        int rc = bk_device_find(d, names[i], &found);
        if (rc) return rc;
        if (wanted.n == BK_MAX_ACTIVE) return bk_device_refuse(d, BK_RC_LIMIT, "", "", "");
        wanted.ids[wanted.n++] = found.id;
    }
    return use(d, &wanted, ns);
}

int bk_device_off(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns) {
    bk_patch_set wanted = {0};
    for (size_t i = 0; i < n; i++)
        if (!has_active(d, names[i]))
            return bk_device_refuse(d, BK_RC_NO_SUCH_PATCH, names[i], " is not active", "");
    for (uint32_t i = 0; n && i < d->active.set.n; i++) {
        bk_smp_name name;
        bk_active_name(&d->active, d->active.set.ids[i], name);
        if (!named(names, n, name)) wanted.ids[wanted.n++] = d->active.set.ids[i];
    }
    return use(d, &wanted, ns);
}

int bk_device_rollback(bk_device *d, uint64_t *ns) {
    bk_store_sets sets;
    d->parts.store->sets(d->parts.store->self, &sets);
    const bk_patch_set *wanted = &sets.previous;
    if (wanted->n == d->active.set.n &&
        memcmp(wanted->ids, d->active.set.ids, wanted->n * sizeof wanted->ids[0]) == 0)
        return bk_device_refuse(d, BK_RC_NO_PREVIOUS, "", "", "");
    return use(d, wanted, ns);
}

int bk_device_remove(bk_device *d, const char *name) {
    const bk_device_store *s = d->parts.store;
    bk_stored found;
    if (!bk_name_ok(name, strlen(name)))
        return bk_device_refuse(d, BK_RC_BAD_NAME, "'", name, "' is not a patch name");
    int rc = bk_device_find(d, name, &found);
    if (rc) return rc;
    if (has_active(d, name)) return bk_device_refuse(d, BK_RC_ACTIVE, name, " is active", "");
    /* who may push anything may also go back to an older patch, once it is removed */
    bool forget = d->parts.trust->policy != BK_POLICY_REQUIRE;
    return bk_device_store_rc(d, s->remove(s->self, name, forget));
}

/* ---- what it is --------------------------------------------------------------------------- */

static void put(bk_facts *f, const char *key, const char *text) {
    bk_facts_text(f, key, text, strlen(text));
}

static void put_active(const bk_device *d, bk_facts *f) {
    bk_facts_begin(f, "active");
    for (uint32_t i = 0; i < d->active.set.n; i++) {
        bk_smp_name name;
        bk_active_name(&d->active, d->active.set.ids[i], name);
        bk_facts_add(f, name, strlen(name));
    }
    bk_facts_end(f);
}

static void put_model(const bk_session_about *about, bk_facts *f) {
    if (!about->known) return;
    bk_facts_text(f, "model", about->model_name.p, about->model_name.n);
    bk_facts_bytes(f, "model_id", about->model_id, 32);
}

static uint32_t count(const bk_device *d) {
    bk_stored found;
    uint32_t n = 0;
    while (d->parts.store->at(d->parts.store->self, n, &found) == BK_RC_OK) n++;
    return n;
}

static bk_session_about about_session(const bk_device *d) {
    bk_session_about about = {0};
    d->parts.session->about(d->parts.session->self, &about);
    return about;
}

int bk_device_info(bk_device *d, bk_facts *f) {
    const bk_device_port *port = d->parts.port;
    bk_session_about about = about_session(d);
    (void)bk_device_say(d);
    port->facts(port->self, f);
    put(f, "version", port->version);
    put_model(&about, f);
    put_active(d, f);
    put(f, "mode", about.in_place ? "in_place" : "overlay");
    bk_facts_uint(f, "patches", count(d));
    put(f, "policy", bk_gate_policy(d->parts.trust));
    if (about.runs) {
        bk_facts_uint(f, "ctx", about.ctx);
        put(f, "kernel", about.kernel);
    }
    bk_facts_uint(f, "uptime_ms", port->ms(port->self));
    return BK_RC_OK;
}

void bk_device_about(const bk_device *d, const char *board, char *text, size_t cap) {
    bk_session_about about = about_session(d);
    bk_say s;
    bk_say_start(&s, text, cap);
    bk_say_text(&s, "bankai-edge ");
    bk_say_text(&s, d->parts.port->version);
    bk_say_text(&s, board[0] ? ", " : "");
    bk_say_text(&s, board);
    if (!about.known) return;
    bk_say_text(&s, ", ");
    bk_say_bytes(&s, about.model_name.p, about.model_name.n);
}

/* ---- is all as it should be? -------------------------------------------------------------- */

/* Are a stored patch's bytes whole, let in, and fit for the model? */
static bool is_good(bk_device *d, const bk_stored *p) {
    const bk_device_port *port = d->parts.port;
    char text[BK_SMP_DETAIL_MAX + 1];
    bk_say ignored;
    const bk_patch *patch;
    bk_say_start(&ignored, text, sizeof text);
    if (port->busy) port->busy(port->self);
    return bk_active_load(&d->active, p->id, &patch, &ignored) == BK_RC_OK &&
           bk_active_check(&d->active, p->name, patch, &ignored) == BK_RC_OK;
}

static bool put_bad(bk_device *d, bk_facts *f) {
    const bk_device_store *s = d->parts.store;
    bk_stored p;
    bool good = true;
    bk_facts_begin(f, "bad_patches");
    for (uint32_t i = 0; s->at(s->self, i, &p) == BK_RC_OK; i++) {
        if (is_good(d, &p)) continue;
        bk_facts_add(f, p.name, strlen(p.name));
        good = false;
    }
    bk_facts_end(f);
    return good;
}

static int verify(bk_device *d, bk_facts *f, bool *ok) {
    const bk_device_session *s = d->parts.session;
    bool intact = true;
    if (about_session(d).known) {
        uint8_t digest[32];
        bk_members running;
        bk_active_running(&d->active, &running);
        int rc = s->weights(s->self, &running, digest, &intact);
        if (rc) return rc;
        bk_facts_bool(f, "weights_intact", intact);
        bk_facts_bytes(f, "weights_sha256", digest, sizeof digest);
    }
    bk_facts_uint(f, "patches", count(d));
    *ok = put_bad(d, f) && intact;
    if (f->fields) bk_facts_bool(f, "ok", *ok); /* a human is told in words */
    return BK_RC_OK;
}

int bk_device_verify(bk_device *d, bk_facts *f, bool *ok) {
    const bk_device_session *s = d->parts.session;
    (void)bk_device_say(d);
    if (s->hold) s->hold(s->self, true);
    int rc = verify(d, f, ok);
    if (s->hold) s->hold(s->self, false);
    return rc;
}

/* ---- the model ---------------------------------------------------------------------------- */

int bk_device_ask(bk_device *d, const char *prompt, size_t n, uint32_t max_tokens) {
    bk_say why = bk_device_say(d);
    return bk_answer_start(&d->answer, prompt, n, max_tokens, &why);
}

bool bk_device_step(bk_device *d) { return bk_answer_step(&d->answer); }

/* Nobody else may want the session, and there has to be a model. */
static int claim(bk_device *d) {
    if (!about_session(d).runs)
        return bk_device_refuse(d, BK_RC_NOT_SUPPORTED, "no model runs here", "", "");
    if (!d->answer.done)
        return bk_device_refuse(d, BK_RC_BUSY, "a prompt is being answered", "", "");
    (void)bk_device_say(d);
    return BK_RC_OK;
}

int bk_device_bench(bk_device *d, bk_facts *f) {
    const bk_device_session *s = d->parts.session;
    int rc = claim(d);
    bk_say why = {0};
    if (rc) return rc;
    why = bk_device_say(d);
    return s->bench(s->self, f, &why);
}

int bk_device_logits(bk_device *d, const char *text, size_t n, uint8_t digest[32]) {
    const bk_device_session *s = d->parts.session;
    int rc = claim(d);
    bk_say why = {0};
    if (rc) return rc;
    why = bk_device_say(d);
    return s->logits(s->self, text, n, digest, &why);
}

/* ---- start -------------------------------------------------------------------------------- */

void bk_device_init(bk_device *d, const bk_device_parts *parts) {
    memset(d, 0, sizeof *d);
    d->parts = *parts;
    bk_answer_init(&d->answer, parts->session, parts->answer, parts->answer_bytes);
    d->active = (bk_active){.port = parts->port,
                            .store = parts->store,
                            .session = parts->session,
                            .trust = parts->trust,
                            .probe_budget_ms = parts->probe_budget_ms,
                            .piece = parts->piece,
                            .piece_bytes = parts->piece_bytes};
}

void bk_device_restore(bk_device *d) { bk_active_restore(&d->active); }
