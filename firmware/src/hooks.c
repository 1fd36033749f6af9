/* hooks.c: what the SMP server asks of the device. */
#include "bk_device.h"

#include <string.h>

/* ---- uploads ------------------------------------------------------------------------------ */

static int upload_begin(void *self, const char *name, uint32_t total) {
    bk_device *d = self;
    bk_store_abort(&d->store);
    int rc = bk_store_begin(&d->store, name, total);
    if (rc == BK_RC_TOO_LARGE) {
        bk_say s = bk_device_say(d);
        bk_say_uint(&s, total);
        bk_say_text(&s, " bytes; at most ");
        bk_say_uint(&s, bk_store_max_bytes(d->board->flash));
        return rc;
    }
    if (rc == BK_RC_NO_SPACE) {
        bk_say s = bk_device_say(d);
        bk_say_text(&s, "the store is full: ");
        bk_say_text(&s, name);
        bk_say_text(&s, " needs ");
        bk_say_uint(&s, total);
        return rc;
    }
    (void)bk_device_say(d);
    memcpy(d->active.pending, name, strlen(name) + 1);
    d->active.pending_bytes = total;
    return rc;
}

static int upload_write(void *self, const char *name, uint32_t off, const uint8_t *p, size_t n) {
    bk_device *d = self;
    (void)name, (void)off, (void)bk_device_say(d);
    return bk_store_append(&d->store, p, (uint32_t)n);
}

#ifndef BK_SWITCHER

/* A patch for another model: which one, and which is here. */
static int check_model(bk_device *d, const bk_patch *patch) {
    const bk_model *m = &d->session.model;
    if (!d->session.known || !patch->model_id ||
        memcmp(patch->model_id, m->id, sizeof m->id) == 0)
        return BK_RC_OK;
    bk_say s = bk_device_say(d);
    bk_str name = bk_device_model_name(d);
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
    bk_say why = bk_device_say(d);
    int rc = bk_active_load(&d->active, BK_ACTIVE_PENDING, patch, &why);
    if (rc) return rc;
    if (patch->name.n != strlen(name) || memcmp(patch->name.p, name, patch->name.n) != 0) {
        why = bk_device_say(d);
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
    bk_say why = bk_device_say(d);
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
    const bk_store_patch *p = bk_device_find(self, name);
    if (!p) return BK_RC_NO_SUCH_PATCH;
    *size = p->size;
    return BK_RC_OK;
}

static int file_read(void *self, const char *name, uint32_t off, uint8_t *p, size_t n) {
    bk_device *d = self;
    (void)bk_device_say(d);
    const bk_store_patch *stored = bk_device_find(d, name);
    const uint8_t *bytes = stored ? bk_store_bytes(&d->store, stored) : NULL;
    if (!bytes) return stored ? BK_RC_IO : BK_RC_NO_SUCH_PATCH;
    memcpy(p, bytes + off, n);
    return BK_RC_OK;
}

/* ---- commands ----------------------------------------------------------------------------- */

static int list(void *self, uint32_t index, bk_smp_entry *entry) {
    const bk_device *d = self;
    const bk_store_patch *p = bk_device_at(d, index);
    if (!p) return BK_RC_NO_SUCH_PATCH;
    memcpy(entry->name, p->name, sizeof entry->name);
    entry->size = p->size;
    entry->active = bk_device_has_active(d, p->name);
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

#ifndef BK_SWITCHER

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

#endif

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
