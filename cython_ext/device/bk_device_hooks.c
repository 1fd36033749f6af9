/* bk_device_hooks.c: what the SMP server asks of the device. */
#include <string.h>

#include "bk_device.h"

/* ---- uploads ------------------------------------------------------------------------------ */

static int full(bk_device *d, const char *name, uint32_t total, uint32_t others, uint64_t used,
                const bk_quota *q) {
    bk_say s = bk_device_say(d);
    bk_say_text(&s, "the store is full: ");
    if (others + 1 > q->patches) {
        bk_say_uint(&s, others);
        bk_say_text(&s, " patches are stored, and no more than that are allowed");
    } else {
        bk_say_uint(&s, used);
        bk_say_text(&s, " of the ");
        bk_say_uint(&s, q->total_bytes);
        bk_say_text(&s, " bytes allowed are used, ");
        bk_say_text(&s, name);
        bk_say_text(&s, " needs ");
        bk_say_uint(&s, total);
    }
    return BK_RC_NO_SPACE;
}

/* Is there room in what the operator allows? */
static int check_quota(bk_device *d, const char *name, uint32_t total) {
    const bk_device_store *store = d->parts.store;
    bk_quota q;
    bk_stored p;
    uint32_t others = 0;
    uint64_t used = 0;
    store->quota(store->self, &q);
    if (total > q.patch_bytes) {
        bk_say s = bk_device_say(d);
        bk_say_uint(&s, total);
        bk_say_text(&s, " bytes; at most ");
        bk_say_uint(&s, q.patch_bytes);
        return BK_RC_TOO_LARGE;
    }
    for (uint32_t i = 0; store->at(store->self, i, &p) == BK_RC_OK; i++) {
        if (bk_name_order(p.name, name) == 0) continue;
        others++;
        used += p.size;
    }
    bool room = others + 1 <= q.patches && used + total <= q.total_bytes;
    return room ? BK_RC_OK : full(d, name, total, others, used, &q);
}

static int upload_begin(void *self, const char *name, uint32_t total) {
    bk_device *d = self;
    const bk_device_store *store = d->parts.store;
    bk_active_drop_pending(&d->active);
    store->abort(store->self);
    int rc = check_quota(d, name, total);
    if (rc) return rc;
    rc = bk_device_store_rc(d, store->begin(store->self, name, total));
    if (rc == BK_RC_NO_SPACE && !d->detail[0])
        return bk_device_refuse(d, rc, "the store is full: there is no room for ", name, "");
    if (rc == BK_RC_OK) memcpy(d->active.pending, name, strlen(name) + 1);
    return rc;
}

static int upload_write(void *self, const char *name, uint32_t off, const uint8_t *p, size_t n) {
    bk_device *d = self;
    (void)name, (void)off;
    return bk_device_store_rc(d, d->parts.store->append(d->parts.store->self, p, n));
}

static void say_name(bk_say *s, const char *before, const char *p, size_t n) {
    bk_say_text(s, before);
    bk_say_bytes(s, p, n);
    bk_say_text(s, "'");
}

/* A patch for another model: which one, and which is here. */
static int check_model(bk_device *d, const bk_patch *patch) {
    bk_session_about about = {0};
    d->parts.session->about(d->parts.session->self, &about);
    if (!about.model_id || !patch->model_id || memcmp(patch->model_id, about.model_id, 32) == 0)
        return BK_RC_OK;
    bk_say s = bk_device_say(d);
    bk_say_text(&s, "made for ");
    bk_say_hex(&s, patch->model_id, 8);
    bk_say_text(&s, ", this device runs ");
    bk_say_hex(&s, about.model_id, 8);
    if (!about.known) return BK_RC_WRONG_MODEL;
    bk_say_text(&s, " (");
    bk_say_bytes(&s, about.model_name.p, about.model_name.n);
    bk_say_text(&s, ")");
    return BK_RC_WRONG_MODEL;
}

/* May the pending upload be stored under its name? */
static int check_upload(bk_device *d, const char *name, const bk_patch **patch) {
    bk_say why = bk_device_say(d);
    int rc = bk_active_load(&d->active, BK_PATCH_PENDING, patch, &why);
    if (rc) return rc;
    bk_str inside = (*patch)->name;
    if (inside.n != strlen(name) || memcmp(inside.p, name, inside.n) != 0) {
        why = bk_device_say(d);
        say_name(&why, "the patch inside is named '", inside.p, inside.n);
        say_name(&why, ", the file '", name, strlen(name));
        return BK_RC_BAD_NAME;
    }
    rc = check_model(d, *patch);
    if (!rc) rc = bk_active_check(&d->active, name, *patch, &why);
    return rc ? rc : bk_gate_refuse_older(d->parts.store, name, *patch, &why);
}

static int upload_finish(void *self, const char *name) {
    bk_device *d = self;
    const bk_device_session *s = d->parts.session;
    const bk_patch *patch;
    if (s->hold) s->hold(s->self, true);
    int rc = check_upload(d, name, &patch);
    if (!rc) {
        bk_say why = bk_device_say(d);
        rc = bk_active_store(&d->active, patch, &why);
    }
    if (s->hold) s->hold(s->self, false);
    return rc;
}

static void upload_abort(void *self, const char *name) {
    bk_device *d = self;
    (void)name;
    bk_active_drop_pending(&d->active);
    d->parts.store->abort(d->parts.store->self);
}

static int file_size(void *self, const char *name, uint32_t *size) {
    bk_stored found;
    int rc = bk_device_find(self, name, &found);
    if (!rc) *size = found.size;
    return rc;
}

static int file_read(void *self, const char *name, uint32_t off, uint8_t *p, size_t n) {
    bk_device *d = self;
    bk_stored found;
    bk_span bytes;
    int rc = bk_device_find(d, name, &found);
    if (rc) return rc;
    rc = bk_device_store_rc(
        d, d->parts.store->bytes(d->parts.store->self, found.id, &bytes.p, &bytes.n));
    if (rc) return rc;
    if (off > bytes.n || n > bytes.n - off) return BK_RC_IO;
    memcpy(p, bytes.p + off, n);
    return BK_RC_OK;
}

/* ---- commands ----------------------------------------------------------------------------- */

static int list(void *self, uint32_t index, bk_smp_entry *entry) {
    return bk_device_list(self, index, entry);
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

static int bench(void *self, bk_smp_fields *out) {
    return bk_device_bench(self, &(bk_facts){.fields = out});
}

static int generate(void *self, const char *prompt, size_t n, uint32_t max_tokens) {
    return bk_device_ask(self, prompt, n, max_tokens);
}

static int output(void *self, uint32_t off, uint8_t *p, size_t cap, bk_smp_output *out) {
    bk_device *d = self;
    bk_session_about about = {0};
    bk_say why = bk_device_say(d);
    d->parts.session->about(d->parts.session->self, &about);
    if (!about.runs) return BK_RC_NOT_SUPPORTED;
    return bk_answer_read(&d->answer, off, p, cap, out, &why);
}

static int reset(void *self) {
    const bk_device_port *port = ((bk_device *)self)->parts.port;
    port->reset(port->self, false);
    return BK_RC_OK;
}

static const char *detail(void *self) { return ((bk_device *)self)->detail; }

static int datetime(void *self, char *text, size_t cap) {
    const bk_device_port *port = ((bk_device *)self)->parts.port;
    return port->datetime ? port->datetime(port->self, text, cap) : BK_RC_NOT_SUPPORTED;
}

static uint32_t clock_ms(void *self) {
    const bk_device_port *port = ((bk_device *)self)->parts.port;
    return port->ms(port->self);
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
    .generate = generate,
    .output = output,
    .info = info,
    .bench = bench,
    .reset = reset,
    .detail = detail,
    .datetime = datetime,
    .clock_ms = clock_ms,
};
