/* bk_store_device.c: the store in flash, behind a device's callbacks. */
#include "bk_store_device.h"

#include <string.h>

#include "bk_store.h"

static bk_store store;

static void get_quota(void *self, bk_quota *quota) {
    const bk_store *s = self;
    *quota = (bk_quota){UINT32_MAX, bk_store_max_bytes(s->flash), UINT64_MAX};
}

/* ---- patches ------------------------------------------------------------------------------ */

static int tell(const bk_store_patch *p, bk_stored *found) {
    if (!p) return BK_RC_NO_SUCH_PATCH;
    memcpy(found->name, p->name, sizeof found->name);
    found->id = p->id;
    found->size = p->size;
    return BK_RC_OK;
}

/* Listed patches that sort before this one. */
static uint32_t rank(const bk_store *s, const bk_store_patch *p) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_patches; i++) {
        const bk_store_patch *other = &s->patches[i];
        if (other->listed && bk_name_order(other->name, p->name) < 0) n++;
    }
    return n;
}

static int at(void *self, uint32_t index, bk_stored *found) {
    const bk_store *s = self;
    for (uint32_t i = 0; i < s->n_patches; i++) {
        const bk_store_patch *p = &s->patches[i];
        if (p->listed && rank(s, p) == index) return tell(p, found);
    }
    return BK_RC_NO_SUCH_PATCH;
}

static int find(void *self, const char *name, bk_stored *found) {
    return tell(bk_store_find(self, name), found);
}

static int by_id(void *self, bk_patch_id id, bk_stored *found) {
    return tell(bk_store_by_id(self, id), found);
}

static int bytes(void *self, bk_patch_id id, const uint8_t **p, size_t *n) {
    const bk_store_patch *found = bk_store_by_id(self, id);
    if (!found) return BK_RC_IO;
    *p = bk_store_bytes(self, found);
    *n = found->size;
    return BK_RC_OK;
}

static bool intact(void *self, bk_patch_id id) {
    const bk_store_patch *found = bk_store_by_id(self, id);
    return found && bk_store_intact(self, found);
}

static bool sequence(void *self, const char *name, uint32_t *highest) {
    return bk_store_sequence(self, name, highest);
}

/* ---- changes ------------------------------------------------------------------------------ */

static int begin(void *self, const char *name, uint32_t size) {
    return bk_store_begin(self, name, size);
}

static int append(void *self, const uint8_t *p, size_t n) {
    return bk_store_append(self, p, (uint32_t)n);
}

static void drop(void *self) { bk_store_abort(self); }

static int pending(void *self, const uint8_t **p, size_t *n) {
    const bk_store *s = self;
    *p = bk_store_pending(s);
    *n = s->upload_size;
    return *p ? BK_RC_OK : BK_RC_IO;
}

static int commit(void *self, bool has_sequence, uint32_t number, bk_patch_id *id) {
    return bk_store_commit(self, has_sequence, number, id);
}

static void sets(void *self, bk_store_sets *out) {
    const bk_store *s = self;
    *out = (bk_store_sets){s->active, s->previous, s->failed_starts};
}

static int use(void *self, const bk_patch_set *set, bool gave_way) {
    return gave_way ? bk_store_give_way(self, set) : bk_store_use(self, set);
}

static int unlist(void *self, const char *name, bool forget) {
    return bk_store_remove(self, name, forget);
}

static int count_start(void *self) { return bk_store_count_start(self); }
static int settle(void *self) { return bk_store_settle(self); }

static const bk_device_store hooks = {
    .self = &store,
    .quota = get_quota,
    .at = at,
    .find = find,
    .by_id = by_id,
    .bytes = bytes,
    .intact = intact,
    .sets = sets,
    .sequence = sequence,
    .begin = begin,
    .append = append,
    .abort = drop,
    .pending = pending,
    .commit = commit,
    .use = use,
    .remove = unlist,
    .count_start = count_start,
    .settle = settle,
};

const bk_device_store *bk_store_device_open(const bk_flash *flash, const bk_device_port *port) {
    if (bk_store_mount(&store, flash))
        port->log(port->self, "the store cannot be written: nothing can be changed");
    if (store.n_damaged) port->log(port->self, "the store held damaged patches, which are dropped");
    return &hooks;
}
