/* bk_store_room.c: the ring: open the next sector, and make room for a patch by that.
 *
 * What an opening would do is worked out first, on a plan; the same code then does it.
 */
#include "bk_store_log.h"

#include <string.h>

typedef struct {
    uint32_t at[BK_STORE_MAX_PATCHES + 1]; /* of the patches' records */
    uint8_t ring[BK_STORE_MAX_SECTORS];
    uint32_t pos, generation, newest;
    bool dry; /* change nothing but this plan */
} plan;

static plan plan_of(const bk_store *s, bool dry) {
    plan p = {.pos = s->pos, .generation = s->generation, .newest = s->newest, .dry = dry};
    for (uint32_t i = 0; i < s->n_patches; i++) p.at[i] = bk_log_patch_at(s->flash, &s->patches[i]);
    memcpy(p.ring, s->ring, sizeof p.ring);
    return p;
}

static uint32_t end_of(const bk_flash *f, uint32_t sector) {
    return (sector + 1) * f->sector_bytes;
}

static uint32_t head_end(const bk_store *s, const plan *p) {
    return end_of(s->flash, p->ring[s->flash->n_sectors - 1]);
}

static bool fits(const bk_store *s, const plan *p, uint32_t record_bytes) {
    return record_bytes + bk_log_reserve(s->flash) <= head_end(s, p) - p->pos;
}

/* Copy a record with the CRC that it has: what has rotted since stays recognisable. */
static int copy(const bk_flash *f, uint32_t from, uint32_t to, uint32_t generation, uint32_t id,
                uint32_t size) {
    uint8_t chunk[64]; /* flash is not read while it is programmed */
    uint32_t length = BK_LOG_NAME + size, step = bk_log_head_bytes(f);
    uint32_t left = bk_log_record_bytes(f, length) - step;
    int rc = bk_log_write_head(f, to, generation, (bk_log_head){BK_LOG_PATCH, id, length});
    bk_store_stream t;
    bk_log_stream_begin(&t, to + step);
    for (from += step; left > 0 && rc == BK_RC_OK;) {
        uint32_t n = left < sizeof chunk ? left : sizeof chunk;
        memcpy(chunk, f->base + from, n);
        rc = bk_log_stream_put(f, &t, chunk, n);
        from += n;
        left -= n;
    }
    return rc;
}

/* Move patch i's record to the end of the head, whose generation is given. */
static int move(const bk_store *s, plan *p, uint32_t i, uint32_t generation) {
    const bk_store_patch *patch = &s->patches[i];
    int rc = BK_RC_OK;
    if (!p->dry) rc = copy(s->flash, p->at[i], p->pos, generation, patch->id, patch->size);
    if (rc != BK_RC_OK) return rc;
    p->at[i] = p->pos;
    p->pos += bk_log_patch_bytes(s->flash, patch->size);
    return BK_RC_OK;
}

static bool lies_in(const bk_store *s, const plan *p, uint32_t i, uint32_t sector) {
    return bk_log_live(s, &s->patches[i]) && p->at[i] / s->flash->sector_bytes == sector;
}

/* Whatever of the next-oldest sector fits goes into the rest of the present head. */
static void fill_head(const bk_store *s, plan *p) {
    uint32_t next = p->ring[1], head = p->ring[s->flash->n_sectors - 1];
    if (next == head) return;
    for (uint32_t i = 0; i < s->n_patches; i++) {
        if (!lies_in(s, p, i, next)) continue;
        if (fits(s, p, bk_log_patch_bytes(s->flash, s->patches[i].size)) &&
            move(s, p, i, p->generation) != BK_RC_OK)
            p->pos = head_end(s, p); /* trust it with nothing more */
    }
}

/* Erase the ring's first sector and make it the head. */
static int open_first(const bk_store *s, plan *p) {
    const bk_flash *f = s->flash;
    uint32_t n = f->n_sectors, at = p->ring[0] * f->sector_bytes;
    uint8_t first = p->ring[0];
    p->generation = ++p->newest;
    bk_log_head head = {BK_LOG_SECTOR, p->generation, f->sector_bytes};
    memmove(p->ring, p->ring + 1, n - 1);
    p->ring[n - 1] = first;
    p->pos = at + bk_log_head_bytes(f);
    if (p->dry) return BK_RC_OK;
    int rc = bk_log_erase(f, first);
    return rc == BK_RC_OK ? bk_log_write_head(f, at, p->generation, head) : rc;
}

static int advance(const bk_store *s, plan *p, uint32_t state_bytes) {
    fill_head(s, p);
    int rc = open_first(s, p);
    for (uint32_t i = 0; i < s->n_patches && rc == BK_RC_OK; i++) {
        if (!lies_in(s, p, i, p->ring[0])) continue;
        uint32_t bytes = bk_log_patch_bytes(s->flash, s->patches[i].size);
        if (bytes + state_bytes > head_end(s, p) - p->pos) return BK_RC_NO_SPACE;
        rc = move(s, p, i, p->generation);
    }
    return rc;
}

static void follow(bk_store *s, const plan *p) {
    for (uint32_t i = 0; i < s->n_patches; i++)
        s->patches[i].at = p->at[i] + bk_log_head_bytes(s->flash) + BK_LOG_NAME;
    memcpy(s->ring, p->ring, sizeof s->ring);
    s->generation = s->newest = p->generation;
    s->pos = p->pos;
}

int bk_log_advance(bk_store *s, const bk_log_sequence *change) {
    uint32_t state_bytes = bk_log_state_bytes(s, change);
    uint32_t head = s->ring[s->flash->n_sectors - 1];
    if (!state_bytes) return BK_RC_NO_SPACE;
    plan p = plan_of(s, true);
    int rc = advance(s, &p, state_bytes);
    if (rc != BK_RC_OK) return rc;
    s->uploading = false;
    p = plan_of(s, false);
    rc = advance(s, &p, state_bytes);
    if (rc == BK_RC_OK) rc = bk_log_state_write(s, p.pos, p.generation, p.at, change);
    if (rc != BK_RC_OK) {
        s->pos = end_of(s->flash, head); /* what was copied there is in nobody's books */
        return rc;
    }
    p.pos += state_bytes;
    follow(s, &p);
    return BK_RC_OK;
}

uint32_t bk_store_max_bytes(const bk_flash *f) {
    uint32_t taken = bk_log_head_bytes(f) + bk_log_state_bytes_max(f) + bk_log_reserve(f) +
                     bk_log_patch_bytes(f, 0) + bk_log_grain(f);
    return taken < f->sector_bytes ? f->sector_bytes - taken : 0;
}

int bk_log_make_room(bk_store *s, uint32_t size) {
    static const bk_log_sequence none = {0};
    uint32_t bytes = bk_log_patch_bytes(s->flash, size);
    uint32_t state_bytes = bk_log_state_bytes(s, &none), rounds = 0;
    plan p = plan_of(s, true);
    /* Twice around the ring everything has been packed, and packed again. */
    for (; !fits(s, &p, bytes); rounds++) {
        if (rounds > 2 * s->flash->n_sectors) return BK_RC_NO_SPACE;
        int rc = advance(s, &p, state_bytes);
        if (rc != BK_RC_OK) return rc;
        p.pos += state_bytes;
    }
    for (; rounds > 0; rounds--) {
        int rc = bk_log_advance(s, &none);
        if (rc != BK_RC_OK) return rc;
    }
    return BK_RC_OK;
}
