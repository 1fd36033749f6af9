/* bk_store.c: the changes that can be made to a store; each is one state record. */
#include "bk_store_log.h"

#include <string.h>

#include "bk_bytes.h"

static const bk_log_sequence no_sequence = {0};

/* ---- what is there ------------------------------------------------------------------------- */

/* Index of the listed patch of that name, or n_patches. */
static uint32_t listed(const bk_store *s, const char *name) {
    uint32_t i = 0;
    while (i < s->n_patches &&
           !(s->patches[i].listed && bk_name_order(s->patches[i].name, name) == 0))
        i++;
    return i;
}

const bk_store_patch *bk_store_find(const bk_store *s, const char *name) {
    uint32_t i = listed(s, name);
    return i < s->n_patches ? &s->patches[i] : NULL;
}

const bk_store_patch *bk_store_by_id(const bk_store *s, bk_store_id id) {
    for (uint32_t i = 0; i < s->n_patches; i++)
        if (s->patches[i].id == id) return &s->patches[i];
    return NULL;
}

const uint8_t *bk_store_bytes(const bk_store *s, const bk_store_patch *p) {
    return s->flash->base + p->at;
}

static void unlist(bk_store *s, const char *name) {
    uint32_t i = listed(s, name);
    if (i < s->n_patches) s->patches[i].listed = false;
}

static bool in_set(const bk_store_set *set, bk_store_id id) {
    for (uint32_t i = 0; i < set->n; i++)
        if (set->ids[i] == id) return true;
    return false;
}

/* ---- one change ---------------------------------------------------------------------------- */

/* What a change may alter, to put back what was when it cannot be recorded. */
typedef struct {
    bk_store_set active, previous;
    uint32_t failed_starts, n_patches, listed;
} undo;

static undo remember(const bk_store *s) {
    undo u = {s->active, s->previous, s->failed_starts, s->n_patches, 0};
    for (uint32_t i = 0; i < s->n_patches; i++) u.listed |= (uint32_t)s->patches[i].listed << i;
    return u;
}

static void put_back(bk_store *s, const undo *u) {
    s->active = u->active;
    s->previous = u->previous;
    s->failed_starts = u->failed_starts;
    s->n_patches = u->n_patches;
    for (uint32_t i = 0; i < s->n_patches; i++) s->patches[i].listed = u->listed >> i & 1;
}

static void drop_dead(bk_store *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_patches; i++) {
        if (!bk_log_live(s, &s->patches[i])) continue;
        if (n != i) s->patches[n] = s->patches[i];
        n++;
    }
    s->n_patches = n;
}

static uint32_t head_end(const bk_store *s) {
    return (s->ring[s->flash->n_sectors - 1] + 1u) * s->flash->sector_bytes;
}

static int append_state(bk_store *s, const bk_log_sequence *change) {
    uint32_t bytes = bk_log_state_bytes(s, change);
    uint32_t patches_at[BK_STORE_MAX_PATCHES + 1];
    if (!bytes) return BK_RC_NO_SPACE;
    if (bytes > head_end(s) - s->pos) return bk_log_advance(s, change);
    for (uint32_t i = 0; i < s->n_patches; i++)
        patches_at[i] = bk_log_patch_at(s->flash, &s->patches[i]);
    if (bk_log_state_write(s, s->pos, s->generation, patches_at, change) == BK_RC_OK) {
        s->pos += bytes;
        return BK_RC_OK;
    }
    s->pos = head_end(s);
    return bk_log_advance(s, change);
}

/* Record what the store has become, or put back what it was: then a record that failed, and may
 * read well all the same, is outdone by another. */
static int record(bk_store *s, const undo *u, const bk_log_sequence *change) {
    int rc = append_state(s, change);
    if (rc == BK_RC_OK) {
        drop_dead(s);
        return rc;
    }
    put_back(s, u);
    if (rc == BK_RC_IO && bk_log_advance(s, &no_sequence) != BK_RC_OK) s->read_only = true;
    return rc;
}

/* ---- uploads ------------------------------------------------------------------------------- */

static const uint8_t *upload_name(const bk_store *s) {
    return s->flash->base + s->upload_at + bk_log_head_bytes(s->flash);
}

static bk_store_patch *in_table(bk_store *s, bk_store_id id) {
    for (uint32_t i = 0; i < s->n_patches; i++)
        if (s->patches[i].id == id) return &s->patches[i];
    return NULL;
}

/* The live patch, if there is one, whose name and bytes are those of `fresh`. */
static const bk_store_patch *same_bytes(const bk_store *s, const bk_store_patch *fresh) {
    const uint8_t *flash = s->flash->base;
    for (uint32_t i = 0; i < s->n_patches; i++) {
        const bk_store_patch *p = &s->patches[i];
        if (p->size == fresh->size && strcmp(p->name, fresh->name) == 0 &&
            memcmp(flash + p->at, flash + fresh->at, p->size) == 0 && bk_store_intact(s, p))
            return p;
    }
    return NULL;
}

/* What a commit does, but for the record. */
static void replace_listed(bk_store *s, const bk_store_patch *fresh) {
    const bk_store_patch *old = bk_store_find(s, fresh->name);
    if (old && old->id != fresh->id && in_set(&s->active, old->id)) {
        s->previous = s->active;
        for (uint32_t i = 0; i < s->active.n; i++)
            if (s->active.ids[i] == old->id) s->active.ids[i] = fresh->id;
        s->failed_starts = 0;
    }
    unlist(s, fresh->name);
    bk_store_patch *kept = in_table(s, fresh->id);
    if (kept) kept->listed = true;
    else s->patches[s->n_patches++] = *fresh;
}

static bool table_full(const bk_store *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_patches; i++) n += bk_log_live(s, &s->patches[i]);
    return n > BK_STORE_MAX_PATCHES;
}

/* Would there be a place in the table for a new patch of this name? */
static bool place_for(bk_store *s, const char *name) {
    bk_store_patch fresh = {.id = s->next_id, .listed = true};
    undo u = remember(s);
    memcpy(fresh.name, name, strlen(name));
    replace_listed(s, &fresh);
    bool full = table_full(s);
    put_back(s, &u);
    return !full;
}

/* The head of the upload's record and the name. */
static int begin_record(bk_store *s, const char *name, uint32_t size) {
    const bk_flash *f = s->flash;
    uint8_t padded[BK_LOG_NAME] = {0};
    bk_log_head head = {BK_LOG_PATCH, s->next_id, BK_LOG_NAME + size};
    memcpy(padded, name, strlen(name));
    bk_log_stream_begin(&s->upload, s->upload_at + bk_log_head_bytes(f));
    int rc = bk_log_write_head(f, s->upload_at, s->generation, head);
    return rc == BK_RC_OK ? bk_log_stream_put(f, &s->upload, padded, sizeof padded) : rc;
}

/* Programming failed: nothing more goes into this sector. */
static int give_up_head(bk_store *s) {
    s->uploading = false;
    s->pos = head_end(s);
    return BK_RC_IO;
}

int bk_store_begin(bk_store *s, const char *name, uint32_t size) {
    size_t n = strlen(name);
    s->uploading = false;
    if (s->read_only) return BK_RC_READ_ONLY;
    if (n == 0 || n > BK_NAME_MAX) return BK_RC_BAD_NAME;
    if (size == 0) return BK_RC_MALFORMED;
    if (size > bk_store_max_bytes(s->flash)) return BK_RC_TOO_LARGE;
    if (!place_for(s, name)) return BK_RC_NO_SPACE;
    int rc = bk_log_make_room(s, size);
    if (rc != BK_RC_OK) return rc;
    s->upload_at = s->pos;
    s->upload_size = size;
    s->upload_off = 0;
    s->pos += bk_log_patch_bytes(s->flash, size);
    if (begin_record(s, name, size) != BK_RC_OK) return give_up_head(s);
    s->next_id++;
    s->uploading = true;
    return BK_RC_OK;
}

int bk_store_append(bk_store *s, const uint8_t *p, uint32_t n) {
    if (!s->uploading || n > s->upload_size - s->upload_off) return BK_RC_BAD_OFFSET;
    int rc = bk_log_stream_put(s->flash, &s->upload, p, n);
    s->upload_off += n;
    if (rc == BK_RC_OK && s->upload_off == s->upload_size)
        rc = bk_log_stream_pad(s->flash, &s->upload);
    return rc == BK_RC_OK ? rc : give_up_head(s);
}

const uint8_t *bk_store_pending(const bk_store *s) {
    bool whole = s->uploading && s->upload_off == s->upload_size;
    return whole ? upload_name(s) + BK_LOG_NAME : NULL;
}

void bk_store_abort(bk_store *s) { s->uploading = false; }

static bk_store_patch uploaded(const bk_store *s) {
    bk_store_patch fresh = {.size = s->upload_size, .listed = true};
    uint32_t head = bk_log_head_bytes(s->flash);
    memcpy(fresh.name, upload_name(s), BK_LOG_NAME);
    fresh.id = bk_load32_le(s->flash->base + s->upload_at + 4);
    fresh.at = s->upload_at + head + BK_LOG_NAME;
    return fresh;
}

int bk_store_commit(bk_store *s, bool has_sequence, uint32_t sequence, bk_store_id *id) {
    bool whole = bk_store_pending(s) != NULL;
    bk_store_patch fresh;
    bk_log_sequence change = no_sequence;
    uint32_t highest;
    s->uploading = false;
    if (s->read_only) return BK_RC_READ_ONLY;
    if (!whole) return BK_RC_BAD_OFFSET;
    fresh = uploaded(s);
    if (has_sequence && !(bk_store_sequence(s, fresh.name, &highest) && highest >= sequence))
        change = (bk_log_sequence){fresh.name, true, sequence};
    const bk_store_patch *same = same_bytes(s, &fresh);
    if (same) fresh = *same; /* the same bytes are the same patch, for the sets too */
    undo u = remember(s);
    replace_listed(s, &fresh);
    if (table_full(s)) {
        put_back(s, &u);
        return BK_RC_NO_SPACE;
    }
    int rc = same ? BK_RC_OK : bk_log_stream_put32(s->flash, &s->upload, bk_log_crc(s->upload.crc));
    if (rc == BK_RC_OK && !same) rc = bk_log_stream_pad(s->flash, &s->upload);
    if (rc != BK_RC_OK) {
        put_back(s, &u);
        return give_up_head(s);
    }
    rc = record(s, &u, &change);
    if (rc == BK_RC_OK && id) *id = fresh.id;
    return rc;
}

/* ---- sets ---------------------------------------------------------------------------------- */

static bool same_set(const bk_store_set *a, const bk_store_set *b) {
    return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof a->ids[0]) == 0;
}

/* Each member is there, and no two share a name. */
static int check_set(const bk_store *s, const bk_store_set *set) {
    if (set->n > BK_MAX_ACTIVE) return BK_RC_LIMIT;
    for (uint32_t i = 0; i < set->n; i++) {
        const bk_store_patch *p = bk_store_by_id(s, set->ids[i]);
        if (!p) return BK_RC_NO_SUCH_PATCH;
        for (uint32_t j = 0; j < i; j++)
            if (bk_name_order(p->name, bk_store_by_id(s, set->ids[j])->name) == 0)
                return BK_RC_BAD_ARGUMENT;
    }
    return BK_RC_OK;
}

static int switch_to(bk_store *s, const bk_store_set *set, const bk_store_set *previous) {
    bk_store_set wanted = *set, before = *previous; /* may be the store's own */
    if (s->read_only) return BK_RC_READ_ONLY;
    int rc = check_set(s, &wanted);
    if (rc != BK_RC_OK) return rc;
    undo u = remember(s);
    for (uint32_t i = 0; i < s->n_patches; i++) {
        if (!in_set(&wanted, s->patches[i].id)) continue;
        unlist(s, s->patches[i].name);
        s->patches[i].listed = true;
    }
    s->active = wanted;
    s->previous = before;
    s->failed_starts = 0;
    return record(s, &u, &no_sequence);
}

int bk_store_use(bk_store *s, const bk_store_set *set) {
    return same_set(set, &s->active) ? BK_RC_OK : switch_to(s, set, &s->active);
}

int bk_store_give_way(bk_store *s, const bk_store_set *set) {
    static const bk_store_set empty = {0};
    return switch_to(s, set, &empty);
}

int bk_store_remove(bk_store *s, const char *name, bool forget) {
    const bk_store_patch *p = bk_store_find(s, name);
    if (s->read_only) return BK_RC_READ_ONLY;
    if (!p) return BK_RC_NO_SUCH_PATCH;
    if (in_set(&s->active, p->id)) return BK_RC_ACTIVE;
    undo u = remember(s);
    bk_log_sequence change = {forget ? p->name : NULL, false, 0};
    unlist(s, name);
    return record(s, &u, &change);
}

int bk_store_count_start(bk_store *s) {
    if (s->read_only) return BK_RC_READ_ONLY;
    undo u = remember(s);
    s->failed_starts++;
    return record(s, &u, &no_sequence);
}

int bk_store_settle(bk_store *s) {
    if (s->failed_starts == 0) return BK_RC_OK;
    if (s->read_only) return BK_RC_READ_ONLY;
    undo u = remember(s);
    s->failed_starts = 0;
    return record(s, &u, &no_sequence);
}
