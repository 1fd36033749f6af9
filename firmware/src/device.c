/* device.c: store and model as one device. */
#include "bk_device.h"

#include <string.h>

#include "bk_console.h"
#include "bk_error.h"

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

/* ---- patches ------------------------------------------------------------------------------ */

/* Patches that sort before this one. */
static uint32_t rank(const bk_device *d, const bk_store_patch *p) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->store.n_patches; i++) {
        const bk_store_patch *other = &d->store.patches[i];
        if (other->listed && strcmp(other->name, p->name) < 0) n++;
    }
    return n;
}

const bk_store_patch *bk_device_at(const bk_device *d, uint32_t index) {
    for (uint32_t i = 0; i < d->store.n_patches; i++) {
        const bk_store_patch *p = &d->store.patches[i];
        if (p->listed && rank(d, p) == index) return p;
    }
    return NULL;
}

uint32_t bk_device_count(const bk_device *d) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->store.n_patches; i++) n += d->store.patches[i].listed;
    return n;
}

const bk_store_patch *bk_device_find(bk_device *d, const char *name) {
    const bk_store_patch *p = bk_store_find(&d->store, name);
    if (!p) (void)bk_device_refuse(d, 0, "no patch '", name, "' in the store");
    return p;
}

int bk_device_use(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns) {
    bk_store_set wanted = {0};
    for (size_t i = 0; i < n; i++) {
        const bk_store_patch *p = bk_device_find(d, names[i]);
        if (!p) return BK_RC_NO_SUCH_PATCH;
        wanted.ids[wanted.n++] = p->id;
    }
    bk_say why = bk_device_say(d);
    return bk_active_use(&d->active, &wanted, ns, &why);
}

bool bk_device_has_active(const bk_device *d, const char *name) {
    for (uint32_t i = 0; i < d->active.set.n; i++)
        if (strcmp(bk_active_name(&d->active, d->active.set.ids[i]), name) == 0) return true;
    return false;
}

int bk_device_off(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns) {
    bk_store_set wanted = {0};
    for (size_t i = 0; i < n; i++)
        if (!bk_device_has_active(d, names[i]))
            return bk_device_refuse(d, BK_RC_NO_SUCH_PATCH, names[i], " is not active", "");
    for (uint32_t i = 0; n && i < d->active.set.n; i++) {
        bool named = false;
        const char *name = bk_active_name(&d->active, d->active.set.ids[i]);
        for (size_t k = 0; k < n; k++) named |= strcmp(names[k], name) == 0;
        if (!named) wanted.ids[wanted.n++] = d->active.set.ids[i];
    }
    bk_say why = bk_device_say(d);
    return bk_active_use(&d->active, &wanted, ns, &why);
}

int bk_device_rollback(bk_device *d, uint64_t *ns) {
    bk_store_set wanted = d->store.previous;
    bk_say why = bk_device_say(d);
    if (wanted.n == d->active.set.n &&
        memcmp(wanted.ids, d->active.set.ids, wanted.n * sizeof wanted.ids[0]) == 0)
        return BK_RC_NO_PREVIOUS;
    return bk_active_use(&d->active, &wanted, ns, &why);
}

int bk_device_remove(bk_device *d, const char *name) {
    if (!bk_smp_name_ok(name, strlen(name)))
        return bk_device_refuse(d, BK_RC_BAD_NAME, "'", name, "' is not a patch name");
    const bk_store_patch *p = bk_device_find(d, name);
    if (!p) return BK_RC_NO_SUCH_PATCH;
    if (bk_active_holds(&d->active, p->id))
        return bk_device_refuse(d, BK_RC_ACTIVE, name, " is active", "");
    (void)bk_device_say(d);
    /* who may push anything may also go back to an older patch, once it is removed */
    return bk_store_remove(&d->store, name, strcmp(bk_gate_policy(), "require") != 0);
}

/* ---- what it is --------------------------------------------------------------------------- */

static void put(bk_facts *f, const char *key, const char *text) {
    bk_facts_text(f, key, text, strlen(text));
}

static void put_active(const bk_device *d, bk_facts *f) {
    bk_facts_begin(f, "active");
    for (uint32_t i = 0; i < d->active.set.n; i++)
        bk_facts_add(f, bk_active_name(&d->active, d->active.set.ids[i]));
    bk_facts_end(f);
}

#ifdef BK_SWITCHER

static void put_model(const bk_device *d, bk_facts *f) { (void)d, (void)f; }
static void put_ctx(const bk_device *d, bk_facts *f) { (void)d, (void)f; }

#else

bk_str bk_device_model_name(const bk_device *d) {
    bk_gguf g;
    bk_str name = {"?", 1};
    if (d->session.known && bk_gguf_open(&g, d->board->model, d->board->model_bytes) == BK_OK)
        (void)bk_gguf_str(&g, "general.name", &name);
    return name;
}

static void put_model(const bk_device *d, bk_facts *f) {
    if (!d->session.known) return;
    bk_str name = bk_device_model_name(d);
    bk_facts_text(f, "model", name.p, name.n);
    bk_facts_bytes(f, "model_id", d->session.model.id, sizeof d->session.model.id);
}

static void put_ctx(const bk_device *d, bk_facts *f) {
    if (!d->session.runs) return;
    bk_facts_uint(f, "ctx", d->session.state.ctx);
    put(f, "kernel", d->session.state.kernel->name);
}

#endif

static bool writable(const bk_device *d) {
#ifdef BK_SWITCHER
    (void)d;
    return false;
#else
    return d->session.model.writable;
#endif
}

static void put_warnings(const bk_device *d, bk_facts *f) {
    if (!d->lacking[0] && !d->active.note[0]) return;
    bk_facts_begin(f, "warnings");
    if (d->lacking[0]) bk_facts_add(f, d->lacking);
    if (d->active.note[0]) bk_facts_add(f, d->active.note);
    bk_facts_end(f);
}

int bk_device_info(bk_device *d, bk_facts *f) {
    (void)bk_device_say(d);
    put(f, "board", d->board->id);
    put(f, "version", BK_VERSION);
    put_model(d, f);
    put_active(d, f);
    put(f, "mode", writable(d) ? "in_place" : "overlay");
    bk_facts_uint(f, "patches", bk_device_count(d));
    put(f, "policy", bk_gate_policy());
    put_ctx(d, f);
    bk_facts_uint(f, "uptime_ms", bk_port_ms());
    put_warnings(d, f);
    return BK_RC_OK;
}

/* ---- the model ---------------------------------------------------------------------------- */

#ifndef BK_SWITCHER

int bk_device_ask(bk_device *d, const char *prompt, size_t n, uint32_t max_tokens) {
    bk_say why = bk_device_say(d);
    return bk_answer_start(&d->answer, prompt, n, max_tokens, &why);
}

bool bk_device_step(bk_device *d) { return bk_answer_step(&d->answer); }

static void start_model(bk_device *d) {
    bk_say why;
    bk_say_start(&why, d->lacking, sizeof d->lacking);
    bk_session_open(&d->session, d->board, &why);
    bk_answer_init(&d->answer, &d->session);
    d->active.session = &d->session;
}

static void say_model(const bk_device *d, bk_say *s) {
    if (!d->session.known) return;
    bk_str name = bk_device_model_name(d);
    bk_say_text(s, ", ");
    bk_say_bytes(s, name.p, name.n);
}

#else

bool bk_device_step(bk_device *d) {
    (void)d;
    return false;
}

static void start_model(bk_device *d) { (void)d; }
static void say_model(const bk_device *d, bk_say *s) { (void)d, (void)s; }

#endif

/* ---- start -------------------------------------------------------------------------------- */

static void describe(bk_device *d) {
    bk_say s;
    bk_say_start(&s, d->about, sizeof d->about);
    bk_say_text(&s, "bankai-edge " BK_VERSION ", ");
    bk_say_text(&s, d->board->id);
    say_model(d, &s);
}

void bk_device_start(bk_device *d, const bk_board *board) {
    memset(d, 0, sizeof *d);
    d->board = board;
    d->active.store = &d->store;
    d->active.board = board;
    if (bk_store_mount(&d->store, board->flash))
        bk_active_note(&d->active, "the store cannot be written: nothing can be changed");
    if (d->store.n_damaged)
        bk_active_note(&d->active, "the store held damaged patches, which are dropped");
    start_model(d);
    describe(d);
    bk_active_restore(&d->active);
    bk_console_put(d->about);
    bk_console_put("\n");
    if (d->lacking[0]) {
        bk_console_put(d->lacking);
        bk_console_put("\n");
    }
}
