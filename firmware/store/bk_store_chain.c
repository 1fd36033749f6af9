/* bk_store_chain.c: walk a sector's records, and mount: find the newest state and the head. */
#include "bk_store_log.h"

#include <string.h>

static bool sealed(const bk_flash *f, uint32_t end) {
    return !bk_log_blank(f, end - bk_log_grain(f), end);
}

bk_log_chain bk_log_walk(const bk_flash *f, uint32_t sector, uint32_t generation) {
    uint32_t step = bk_log_head_bytes(f), at = sector * f->sector_bytes + step;
    uint32_t limit = (sector + 1) * f->sector_bytes;
    bk_log_chain chain = {.end = at, .settled = true};
    bk_log_head head;
    bool hole = false; /* what a mount left out; never two in a row */
    while (at < limit) {
        if (!bk_log_read_head(f, at, generation, &head)) {
            if (hole) break;
            hole = true;
            at += step;
            continue;
        }
        hole = false;
        chain.end = at + bk_log_record_bytes(f, head.length);
        bool whole = bk_log_state_ok(f, at, head);
        if (whole) chain.state_at = at;
        chain.clean = whole && sealed(f, chain.end);
        chain.settled = chain.clean || head.type != BK_LOG_STATE;
        at = chain.end;
    }
    chain.clean = chain.clean && bk_log_blank(f, chain.end, limit);
    return chain;
}

/* ---- mount --------------------------------------------------------------------------------- */

static bool usable(const bk_flash *f) {
    return f->unit > 0 && f->unit <= 32 && (f->unit & (f->unit - 1)) == 0 && f->n_sectors >= 2 &&
           f->n_sectors <= BK_STORE_MAX_SECTORS && f->sector_bytes >= BK_STORE_SECTOR_MIN &&
           f->sector_bytes <= UINT32_MAX / BK_STORE_MAX_SECTORS && f->sector_bytes % 64 == 0 &&
           bk_store_max_bytes(f) > 0;
}

static void ring_insert(bk_store *s, uint32_t *generations, uint32_t n, uint32_t sector,
                        uint32_t generation) {
    while (n > 0 && generations[n - 1] > generation) {
        generations[n] = generations[n - 1];
        s->ring[n] = s->ring[n - 1];
        n--;
    }
    generations[n] = generation;
    s->ring[n] = (uint8_t)sector;
}

/* The ring in order of age; a sector without a whole state has none. Returns the head's chain. It
 * is not settled either when a sector that was opened later has a state that may read well next
 * time. */
static bk_log_chain order_ring(bk_store *s) {
    uint32_t generations[BK_STORE_MAX_SECTORS], doubtful = 0;
    bk_log_chain head = {.settled = true};
    for (uint32_t i = 0; i < s->flash->n_sectors; i++) {
        uint32_t generation = bk_log_generation(s->flash, i);
        bk_log_chain chain = {.settled = true};
        if (generation) chain = bk_log_walk(s->flash, i, generation);
        if (generation > s->newest) s->newest = generation;
        if (!chain.settled && generation > doubtful) doubtful = generation;
        if (!chain.state_at) generation = 0;
        if (generation && generation >= s->generation) {
            s->generation = generation;
            head = chain;
        }
        ring_insert(s, generations, i, i, generation);
    }
    if (doubtful > s->generation) head.settled = false;
    return head;
}

static bool needed(const bk_store *s, uint32_t sector) {
    for (uint32_t i = 0; i < s->n_patches; i++)
        if (bk_log_live(s, &s->patches[i]) && s->patches[i].at / s->flash->sector_bytes == sector)
            return true;
    return false;
}

/* The ring's first sector can be erased; only damage elsewhere makes that another than the oldest.
 * False when there is none. */
static bool free_first(bk_store *s) {
    uint32_t i = 0, n = s->flash->n_sectors;
    while (i + 1 < n && needed(s, s->ring[i])) i++;
    if (i + 1 == n) return false;
    uint8_t found = s->ring[i];
    memmove(s->ring + 1, s->ring, i);
    s->ring[0] = found;
    return true;
}

int bk_store_mount(bk_store *s, const bk_flash *flash) {
    static const bk_log_sequence none = {0};
    memset(s, 0, sizeof *s);
    s->flash = flash;
    s->next_id = 1;
    s->read_only = true;
    if (!usable(flash)) return BK_RC_IO;
    bk_log_chain chain = order_ring(s);
    uint32_t limit = (s->ring[flash->n_sectors - 1] + 1u) * flash->sector_bytes;
    s->pos = limit;
    if (chain.state_at) bk_log_state_load(s, chain.state_at);
    if (!free_first(s)) return BK_RC_IO;
    s->read_only = false;
    if (chain.clean) s->pos = chain.end + bk_log_head_bytes(flash);
    if (s->pos > limit) s->pos = limit;
    if (!chain.settled && bk_log_advance(s, &none)) {
        s->read_only = true;
        return BK_RC_IO;
    }
    return BK_RC_OK;
}
