/* bk_store_state.c: the state record: which patches there are and where, sets, sequence numbers.
 *
 *     next id, failed starts, listed (a bit a patch) u32; patches, active, previous, 0 u8;
 *     bytes of sequences u32
 *     a patch: id, where its record lies (from base) u32
 *     a member of active, then of previous: id u32
 *     a sequence: bytes of the name u8, the name, the number u32
 *     CRC of the fields u32
 */
#include "bk_store_log.h"

#include <string.h>

#include "bk_bytes.h"
#include "bk_crc.h"

enum { FIXED = 20, ENTRY = 8, CRC = 4 };

_Static_assert(BK_STORE_MAX_PATCHES <= 31, "`listed` has a bit for each, and for one more");

static uint32_t sequences_max(const bk_flash *f) {
    uint32_t share = f->sector_bytes / 16;
    return share < BK_LOG_SEQUENCES_MAX ? share : BK_LOG_SEQUENCES_MAX;
}

static uint32_t fields_bytes(uint32_t patches, uint32_t members, uint32_t sequences) {
    return FIXED + ENTRY * patches + 4 * members + sequences + CRC;
}

uint32_t bk_log_state_bytes_max(const bk_flash *f) {
    return bk_log_record_bytes(
        f, fields_bytes(BK_STORE_MAX_PATCHES, 2 * BK_MAX_ACTIVE, sequences_max(f)));
}

uint32_t bk_log_reserve(const bk_flash *f) {
    return bk_log_state_bytes_max(f) + bk_log_padded(f, f->sector_bytes / 16);
}

static bool member(const bk_store_set *set, bk_store_id id) {
    for (uint32_t i = 0; i < set->n; i++)
        if (set->ids[i] == id) return true;
    return false;
}

bool bk_log_live(const bk_store *s, const bk_store_patch *p) {
    return p->listed || member(&s->active, p->id) || member(&s->previous, p->id);
}

/* ---- sequence numbers, read where the newest state has them -------------------------------- */

typedef struct {
    const uint8_t *p; /* of the entry */
    uint32_t name_n, sequence, bytes;
} entry;

/* The entry at `off` of n bytes; false at the end, or when it leaves them. */
static bool entry_at(const uint8_t *p, uint32_t n, uint32_t off, entry *e) {
    if (off >= n) return false;
    e->p = p + off;
    e->name_n = e->p[0];
    e->bytes = 1 + e->name_n + 4;
    if (e->name_n == 0 || e->name_n > BK_NAME_MAX || e->bytes > n - off) return false;
    e->sequence = bk_load32_le(e->p + 1 + e->name_n);
    return true;
}

static bool entry_of(const bk_store *s, const char *name, entry *e) {
    const uint8_t *p = s->flash->base + s->sequences_at;
    size_t n = name ? strlen(name) : 0;
    for (uint32_t off = 0; entry_at(p, s->sequences_bytes, off, e); off += e->bytes)
        if (e->name_n == n && memcmp(e->p + 1, name, n) == 0) return true;
    return false;
}

bool bk_store_sequence(const bk_store *s, const char *name, uint32_t *sequence) {
    entry e;
    if (!entry_of(s, name, &e)) return false;
    *sequence = e.sequence;
    return true;
}

static uint32_t sequences_bytes(const bk_store *s, const bk_log_sequence *change) {
    entry e;
    uint32_t n = s->sequences_bytes;
    if (!change->name) return n;
    if (entry_of(s, change->name, &e)) n -= e.bytes;
    return change->set ? n + 1 + (uint32_t)strlen(change->name) + 4 : n;
}

/* ---- writing ------------------------------------------------------------------------------- */

static uint32_t live_patches(const bk_store *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_patches; i++) n += bk_log_live(s, &s->patches[i]);
    return n;
}

static uint32_t length(const bk_store *s, const bk_log_sequence *change) {
    return fields_bytes(live_patches(s), s->active.n + s->previous.n, sequences_bytes(s, change));
}

uint32_t bk_log_state_bytes(const bk_store *s, const bk_log_sequence *change) {
    if (sequences_bytes(s, change) > sequences_max(s->flash)) return 0;
    return bk_log_record_bytes(s->flash, length(s, change));
}

static int put_fixed(const bk_store *s, bk_store_stream *t, uint32_t sequences) {
    uint8_t fixed[FIXED] = {0};
    uint32_t listed = 0, n = 0;
    for (uint32_t i = 0; i < s->n_patches; i++)
        if (bk_log_live(s, &s->patches[i])) listed |= (uint32_t)s->patches[i].listed << n++;
    bk_store32_le(fixed, s->next_id);
    bk_store32_le(fixed + 4, s->failed_starts);
    bk_store32_le(fixed + 8, listed);
    fixed[12] = (uint8_t)n;
    fixed[13] = (uint8_t)s->active.n;
    fixed[14] = (uint8_t)s->previous.n;
    bk_store32_le(fixed + 16, sequences);
    return bk_log_stream_put(s->flash, t, fixed, sizeof fixed);
}

static int put_patches(const bk_store *s, bk_store_stream *t, const uint32_t *patches_at) {
    int rc = BK_RC_OK;
    for (uint32_t i = 0; i < s->n_patches && rc == BK_RC_OK; i++) {
        if (!bk_log_live(s, &s->patches[i])) continue;
        rc = bk_log_stream_put32(s->flash, t, s->patches[i].id);
        if (rc == BK_RC_OK) rc = bk_log_stream_put32(s->flash, t, patches_at[i]);
    }
    return rc;
}

static int put_set(const bk_flash *f, bk_store_stream *t, const bk_store_set *set) {
    int rc = BK_RC_OK;
    for (uint32_t i = 0; i < set->n && rc == BK_RC_OK; i++)
        rc = bk_log_stream_put32(f, t, set->ids[i]);
    return rc;
}

static int put_entry(const bk_flash *f, bk_store_stream *t, const uint8_t *name, uint32_t n,
                     uint32_t sequence) {
    uint8_t bytes[1 + BK_NAME_MAX + 4];
    bytes[0] = (uint8_t)n;
    memcpy(bytes + 1, name, n);
    bk_store32_le(bytes + 1 + n, sequence);
    return bk_log_stream_put(f, t, bytes, 1 + n + 4);
}

static int put_sequences(const bk_store *s, bk_store_stream *t, const bk_log_sequence *change) {
    const uint8_t *p = s->flash->base + s->sequences_at;
    entry e, gone = {0};
    bool any = entry_of(s, change->name, &gone);
    int rc = BK_RC_OK;
    for (uint32_t off = 0; entry_at(p, s->sequences_bytes, off, &e); off += e.bytes) {
        if (any && e.p == gone.p) continue;
        rc = put_entry(s->flash, t, e.p + 1, e.name_n, e.sequence);
        if (rc != BK_RC_OK) return rc;
    }
    if (!change->name || !change->set) return rc;
    return put_entry(s->flash, t, (const uint8_t *)change->name, (uint32_t)strlen(change->name),
                     change->sequence);
}

static int put_fields(const bk_store *s, bk_store_stream *t, const uint32_t *patches_at,
                      const bk_log_sequence *change) {
    int rc = put_fixed(s, t, sequences_bytes(s, change));
    if (rc == BK_RC_OK) rc = put_patches(s, t, patches_at);
    if (rc == BK_RC_OK) rc = put_set(s->flash, t, &s->active);
    if (rc == BK_RC_OK) rc = put_set(s->flash, t, &s->previous);
    if (rc == BK_RC_OK) rc = put_sequences(s, t, change);
    if (rc == BK_RC_OK) rc = bk_log_stream_put32(s->flash, t, bk_log_crc(t->crc));
    return rc == BK_RC_OK ? bk_log_stream_pad(s->flash, t) : rc;
}

int bk_log_state_write(bk_store *s, uint32_t at, uint32_t generation, const uint32_t *patches_at,
                       const bk_log_sequence *change) {
    static const uint8_t seal[32] = {0};
    const bk_flash *f = s->flash;
    bk_store_stream t;
    bk_log_head head = {BK_LOG_STATE, 0, length(s, change)};
    uint32_t sequences = sequences_bytes(s, change);
    int rc = bk_log_write_head(f, at, generation, head);
    bk_log_stream_begin(&t, at + bk_log_head_bytes(f));
    if (rc == BK_RC_OK) rc = put_fields(s, &t, patches_at, change);
    if (rc == BK_RC_OK) rc = bk_log_stream_put(f, &t, seal, bk_log_grain(f));
    if (rc != BK_RC_OK) return rc;
    s->state_at = at;
    s->sequences_at = at + bk_log_head_bytes(f) + head.length - CRC - sequences;
    s->sequences_bytes = sequences;
    return BK_RC_OK;
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool sequences_ok(const uint8_t *p, uint32_t n) {
    entry e;
    uint32_t off = 0;
    while (entry_at(p, n, off, &e)) off += e.bytes;
    return off == n;
}

bool bk_log_state_ok(const bk_flash *f, uint32_t at, bk_log_head head) {
    const uint8_t *p = f->base + at + bk_log_head_bytes(f);
    if (head.type != BK_LOG_STATE || head.length < FIXED + CRC) return false;
    uint32_t n = head.length - CRC, sequences = bk_load32_le(p + 16);
    if (bk_load32_le(p + n) != bk_log_crc(bk_crc32c(0, p, n))) return false;
    if (p[12] > BK_STORE_MAX_PATCHES || p[13] > BK_MAX_ACTIVE || p[14] > BK_MAX_ACTIVE)
        return false;
    if (sequences > sequences_max(f)) return false;
    return head.length == fields_bytes(p[12], (uint32_t)p[13] + p[14], sequences) &&
           sequences_ok(p + n - sequences, sequences);
}

static bool crc_ok(const bk_flash *f, uint32_t at, uint32_t size) {
    const uint8_t *body = f->base + at, *crc = body + bk_log_padded(f, BK_LOG_NAME + size);
    return bk_load32_le(crc) == bk_log_crc(bk_crc32c(0, body, BK_LOG_NAME + size));
}

bool bk_store_intact(const bk_store *s, const bk_store_patch *p) {
    return crc_ok(s->flash, p->at - BK_LOG_NAME, p->size);
}

/* The patch whose record is said to lie at `at`; false when it does not. */
static bool load_patch(const bk_flash *f, bk_store_id id, uint32_t at, bk_store_patch *p) {
    uint32_t in_sector = at % f->sector_bytes, sector = at / f->sector_bytes;
    uint32_t generation;
    bk_log_head head;
    if (sector >= f->n_sectors || in_sector == 0 || in_sector % bk_log_grain(f)) return false;
    generation = bk_log_generation(f, sector);
    if (!generation || !bk_log_read_head(f, at, generation, &head)) return false;
    if (head.type != BK_LOG_PATCH || head.number != id || head.length <= BK_LOG_NAME) return false;
    at += bk_log_head_bytes(f);
    if (!crc_ok(f, at, head.length - BK_LOG_NAME)) return false;
    memset(p, 0, sizeof *p);
    memcpy(p->name, f->base + at, BK_LOG_NAME);
    p->id = id;
    p->at = at + BK_LOG_NAME;
    p->size = head.length - BK_LOG_NAME;
    return p->name[0] != 0;
}

static const uint8_t *load_set(bk_store_set *set, const uint8_t *p, uint32_t n) {
    set->n = n;
    for (uint32_t i = 0; i < n; i++, p += 4) set->ids[i] = bk_load32_le(p);
    return p;
}

void bk_log_state_load(bk_store *s, uint32_t at) {
    const uint8_t *fixed = s->flash->base + at + bk_log_head_bytes(s->flash), *p = fixed + FIXED;
    uint32_t listed = bk_load32_le(fixed + 8);
    s->next_id = bk_load32_le(fixed);
    s->failed_starts = bk_load32_le(fixed + 4);
    s->state_at = at;
    s->n_patches = s->n_damaged = 0;
    for (uint32_t i = 0; i < fixed[12]; i++, p += ENTRY) {
        bk_store_patch *patch = &s->patches[s->n_patches];
        if (load_patch(s->flash, bk_load32_le(p), bk_load32_le(p + 4), patch)) {
            patch->listed = listed >> i & 1;
            s->n_patches++;
        } else {
            s->n_damaged++;
        }
    }
    p = load_set(&s->active, p, fixed[13]);
    p = load_set(&s->previous, p, fixed[14]);
    s->sequences_at = (uint32_t)(p - s->flash->base);
    s->sequences_bytes = bk_load32_le(fixed + 16);
}
