/* device.c: store and model as one device. */
#include "bk_device.h"

#include <string.h>

#include "bk_console.h"
#include "bk_error.h"

/* A sentence about what is refused; every command starts a fresh one. */
static bk_say start_detail(bk_device *d) {
    bk_say s;
    bk_say_start(&s, d->detail, sizeof d->detail);
    return s;
}

static int refuse(bk_device *d, int rc, const char *before, const char *what, const char *after) {
    bk_say s = start_detail(d);
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

static uint32_t count_patches(const bk_device *d) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->store.n_patches; i++) n += d->store.patches[i].listed;
    return n;
}

static const bk_store_patch *find(bk_device *d, const char *name) {
    const bk_store_patch *p = bk_store_find(&d->store, name);
    if (!p) (void)refuse(d, 0, "no patch '", name, "' in the store");
    return p;
}

int bk_device_use(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns) {
    bk_store_set wanted = {0};
    for (size_t i = 0; i < n; i++) {
        const bk_store_patch *p = find(d, names[i]);
        if (!p) return BK_RC_NO_SUCH_PATCH;
        wanted.ids[wanted.n++] = p->id;
    }
    bk_say why = start_detail(d);
    return bk_active_use(&d->active, &wanted, ns, &why);
}

static bool active_under(const bk_device *d, const char *name) {
    for (uint32_t i = 0; i < d->active.set.n; i++)
        if (strcmp(bk_active_name(&d->active, d->active.set.ids[i]), name) == 0) return true;
    return false;
}

int bk_device_off(bk_device *d, const bk_smp_name *names, size_t n, uint64_t *ns) {
    bk_store_set wanted = {0};
    for (size_t i = 0; i < n; i++)
        if (!active_under(d, names[i]))
            return refuse(d, BK_RC_NO_SUCH_PATCH, names[i], " is not active", "");
    for (uint32_t i = 0; n && i < d->active.set.n; i++) {
        bool named = false;
        const char *name = bk_active_name(&d->active, d->active.set.ids[i]);
        for (size_t k = 0; k < n; k++) named |= strcmp(names[k], name) == 0;
        if (!named) wanted.ids[wanted.n++] = d->active.set.ids[i];
    }
    bk_say why = start_detail(d);
    return bk_active_use(&d->active, &wanted, ns, &why);
}

int bk_device_rollback(bk_device *d, uint64_t *ns) {
    bk_store_set wanted = d->store.previous;
    bk_say why = start_detail(d);
    if (wanted.n == d->active.set.n &&
        memcmp(wanted.ids, d->active.set.ids, wanted.n * sizeof wanted.ids[0]) == 0)
        return BK_RC_NO_PREVIOUS;
    return bk_active_use(&d->active, &wanted, ns, &why);
}

int bk_device_remove(bk_device *d, const char *name) {
    if (!bk_smp_name_ok(name, strlen(name)))
        return refuse(d, BK_RC_BAD_NAME, "'", name, "' is not a patch name");
    const bk_store_patch *p = find(d, name);
    if (!p) return BK_RC_NO_SUCH_PATCH;
    if (bk_active_holds(&d->active, p->id)) return refuse(d, BK_RC_ACTIVE, name, " is active", "");
    (void)start_detail(d);
    /* who may push anything may also go back to an older patch, once it is removed */
    return bk_store_remove(&d->store, name, strcmp(bk_gate_policy(), "require") != 0);
}

/* ---- uploads ------------------------------------------------------------------------------ */

static int upload_begin(void *self, const char *name, uint32_t total) {
    bk_device *d = self;
    bk_store_abort(&d->store);
    int rc = bk_store_begin(&d->store, name, total);
    if (rc == BK_RC_TOO_LARGE) {
        bk_say s = start_detail(d);
        bk_say_uint(&s, total);
        bk_say_text(&s, " bytes; at most ");
        bk_say_uint(&s, bk_store_max_bytes(d->board->flash));
        return rc;
    }
    if (rc == BK_RC_NO_SPACE) {
        bk_say s = start_detail(d);
        bk_say_text(&s, "the store is full: ");
        bk_say_text(&s, name);
        bk_say_text(&s, " needs ");
        bk_say_uint(&s, total);
        return rc;
    }
    (void)start_detail(d);
    memcpy(d->active.pending, name, strlen(name) + 1);
    d->active.pending_bytes = total;
    return rc;
}

static int upload_write(void *self, const char *name, uint32_t off, const uint8_t *p, size_t n) {
    bk_device *d = self;
    (void)name, (void)off, (void)start_detail(d);
    return bk_store_append(&d->store, p, (uint32_t)n);
}

#ifndef BK_SWITCHER

static bk_str model_name(const bk_device *d) {
    bk_gguf g;
    bk_str name = {"?", 1};
    if (d->session.known && bk_gguf_open(&g, d->board->model, d->board->model_bytes) == BK_OK)
        (void)bk_gguf_str(&g, "general.name", &name);
    return name;
}

/* A patch for another model: which one, and which is here. */
static int check_model(bk_device *d, const bk_patch *patch) {
    const bk_model *m = &d->session.model;
    if (!d->session.known || !patch->model_id ||
        memcmp(patch->model_id, m->id, sizeof m->id) == 0)
        return BK_RC_OK;
    bk_say s = start_detail(d);
    bk_str name = model_name(d);
    bk_say_text(&s, "made for ");
    bk_say_hex(&s, patch->model_id, 8);
    bk_say_text(&s, ", this device runs ");
    bk_say_hex(&s, m->id, 8);
    bk_say_text(&s, " (");
    bk_say_bytes(&s, name.p, name.n);
    bk_say_text(&s, ")");
    return BK_RC_WRONG_MODEL;
}

#else

static int check_model(bk_device *d, const bk_patch *patch) {
    (void)d, (void)patch;
    return BK_RC_OK;
}

#endif

/* May the pending upload be stored under its name? */
static int check_upload(bk_device *d, const char *name, bk_patch *patch) {
    bk_say why = start_detail(d);
    int rc = bk_active_load(&d->active, BK_ACTIVE_PENDING, patch, &why);
    if (rc) return rc;
    if (patch->name.n != strlen(name) || memcmp(patch->name.p, name, patch->name.n) != 0) {
        why = start_detail(d);
        bk_say_text(&why, "the patch inside is named '");
        bk_say_bytes(&why, patch->name.p, patch->name.n);
        bk_say_text(&why, "', the file '");
        bk_say_text(&why, name);
        bk_say_text(&why, "'");
        return BK_RC_BAD_NAME;
    }
    rc = check_model(d, patch);
    if (!rc) rc = bk_active_check(&d->active, name, patch, &why);
    return rc ? rc : bk_gate_refuse_older(&d->store, name, patch, &why);
}

static int upload_finish(void *self, const char *name) {
    bk_device *d = self;
    bk_patch patch;
    int rc = check_upload(d, name, &patch);
    if (rc) return rc;
    const bk_store_patch *old = bk_store_find(&d->store, name);
    bk_say why = start_detail(d);
    if (old && bk_active_holds(&d->active, old->id))
        return bk_active_replace(&d->active, old->id, patch.has_sequence, patch.sequence, &why);
    bk_store_id id;
    return bk_store_commit(&d->store, patch.has_sequence, patch.sequence, &id);
}

static void upload_abort(void *self, const char *name) {
    bk_device *d = self;
    (void)name;
    bk_store_abort(&d->store);
}

static int file_size(void *self, const char *name, uint32_t *size) {
    const bk_store_patch *p = find(self, name);
    if (!p) return BK_RC_NO_SUCH_PATCH;
    *size = p->size;
    return BK_RC_OK;
}

static int file_read(void *self, const char *name, uint32_t off, uint8_t *p, size_t n) {
    bk_device *d = self;
    const bk_store_patch *stored = find(d, name);
    const uint8_t *bytes = stored ? bk_store_bytes(&d->store, stored) : NULL;
    if (!bytes) return stored ? BK_RC_IO : BK_RC_NO_SUCH_PATCH;
    memcpy(p, bytes + off, n);
    return BK_RC_OK;
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

static void put_model(const bk_device *d, bk_facts *f) {
    if (!d->session.known) return;
    bk_str name = model_name(d);
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
    (void)start_detail(d);
    put(f, "board", d->board->id);
    put(f, "version", BK_VERSION);
    put_model(d, f);
    put_active(d, f);
    put(f, "mode", writable(d) ? "in_place" : "overlay");
    bk_facts_uint(f, "patches", count_patches(d));
    put(f, "policy", bk_gate_policy());
    put_ctx(d, f);
    bk_facts_uint(f, "uptime_ms", bk_port_ms());
    put_warnings(d, f);
    return BK_RC_OK;
}

/* ---- checks and figures ------------------------------------------------------------------- */

/* Does a stored patch still fit? The weights are without in-place flips. */
static bool fits(bk_device *d, const bk_store_patch *p, bk_say *why) {
    bk_patch *patch = &d->active.now[0];
    return bk_active_load(&d->active, p->id, patch, why) == BK_RC_OK &&
           bk_active_check(&d->active, p->name, patch, why) == BK_RC_OK;
}

static bool put_bad_patches(bk_device *d, bk_facts *f, bool show) {
    char text[BK_SMP_DETAIL_MAX + 1];
    bool good = true;
    const bk_store_patch *p;
    for (uint32_t i = 0; (p = bk_device_at(d, i)); i++) {
        bk_say ignored;
        bk_say_start(&ignored, text, sizeof text);
        if (fits(d, p, &ignored)) continue;
        good = false;
        if (show) bk_facts_add(f, p->name);
    }
    return good;
}

int bk_device_verify(bk_device *d, bk_facts *f, bool *ok) {
    bool intact = true;
    (void)start_detail(d);
#ifndef BK_SWITCHER
    uint8_t digest[32];
    if (d->session.known) {
        bk_active_undress(&d->active);
        bk_session_hash(&d->session, digest);
        bk_active_dress(&d->active);
        intact = memcmp(digest, d->session.sha256, sizeof digest) == 0;
    }
#endif
    *ok = put_bad_patches(d, f, false) && intact;
    bk_facts_bool(f, "ok", *ok);
#ifndef BK_SWITCHER
    if (d->session.known) {
        bk_facts_bool(f, "weights_intact", intact);
        bk_facts_bytes(f, "weights_sha256", digest, sizeof digest);
    }
#endif
    bk_facts_uint(f, "patches", count_patches(d));
    bk_facts_begin(f, "bad_patches");
    (void)put_bad_patches(d, f, true);
    bk_facts_end(f);
    return BK_RC_OK;
}

#ifndef BK_SWITCHER

enum { BENCH_TOKENS = 4 };

/* Nobody else may want the cache, and there has to be a model. */
static int claim(bk_device *d) {
    if (!d->session.runs) return refuse(d, BK_RC_NOT_SUPPORTED, "no model runs here", "", "");
    if (!d->answer.done)
        return refuse(d, BK_RC_BUSY, "a prompt is being answered", "", "");
    (void)start_detail(d);
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
    put(f, "kernel", s->state.kernel->name);
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
        return refuse(d, BK_RC_CONTEXT, "the text has no token, or too many", "", "");
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

int bk_device_ask(bk_device *d, const char *prompt, size_t n, uint32_t max_tokens) {
    bk_say why = start_detail(d);
    return bk_answer_start(&d->answer, prompt, n, max_tokens, &why);
}

static int generate(void *self, const char *prompt, size_t n, uint32_t max_tokens) {
    return bk_device_ask(self, prompt, n, max_tokens);
}

static int output(void *self, uint32_t off, uint8_t *p, size_t cap, bk_smp_output *out) {
    bk_device *d = self;
    bk_answer_read(&d->answer, off, p, cap, out);
    return BK_RC_OK;
}

static int bench(void *self, bk_smp_fields *out) {
    return bk_device_bench(self, &(bk_facts){.fields = out});
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
    bk_str name = model_name(d);
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

/* ---- hooks of the SMP server -------------------------------------------------------------- */

static int list(void *self, uint32_t index, bk_smp_entry *entry) {
    const bk_device *d = self;
    const bk_store_patch *p = bk_device_at(d, index);
    if (!p) return BK_RC_NO_SUCH_PATCH;
    memcpy(entry->name, p->name, sizeof entry->name);
    entry->size = p->size;
    entry->active = active_under(d, p->name);
    return BK_RC_OK;
}

static int activate(void *self, const bk_smp_name *names, size_t n, uint64_t *ns) {
    return bk_device_use(self, names, n, ns);
}

static int deactivate(void *self, const bk_smp_name *names, size_t n, uint64_t *ns) {
    return bk_device_off(self, names, n, ns);
}

static int remove_patch(void *self, const char *name) { return bk_device_remove(self, name); }

static int rollback(void *self, uint64_t *ns) { return bk_device_rollback(self, ns); }

static int verify(void *self, bk_smp_fields *out) {
    bool ok;
    return bk_device_verify(self, &(bk_facts){.fields = out}, &ok);
}

static int info(void *self, bk_smp_fields *out) {
    return bk_device_info(self, &(bk_facts){.fields = out});
}

static int reset(void *self) {
    bk_device *d = self;
    d->reset_asked = true;
    return BK_RC_OK;
}

static const char *detail(void *self) {
    const bk_device *d = self;
    return d->detail;
}

static uint32_t clock_ms(void *self) {
    (void)self;
    return bk_port_ms();
}

const bk_smp_hooks bk_device_hooks = {
    .upload_begin = upload_begin,
    .upload_write = upload_write,
    .upload_finish = upload_finish,
    .upload_abort = upload_abort,
    .file_size = file_size,
    .file_read = file_read,
    .list = list,
    .activate = activate,
    .deactivate = deactivate,
    .remove = remove_patch,
    .rollback = rollback,
    .verify = verify,
#ifndef BK_SWITCHER
    .generate = generate,
    .output = output,
    .bench = bench,
#endif
    .info = info,
    .reset = reset,
    .detail = detail,
    .clock_ms = clock_ms,
};

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
