/* bk_store.h: patches, the active set and what preceded it, as a log in flash sectors.
 *
 * After a power cut at any moment the next mount finds the state before or after a change, whole.
 * Records are only appended; when no room is left, the live ones are copied into erased sectors and
 * the oldest sectors are erased, each in its turn, so that all wear alike. A patch's bytes lie in
 * one piece and are used where they lie: a pointer is good until the next call that may write.
 *
 * Functions return BK_RC_OK or another bk_rc (bk_smp.h).
 */
#ifndef BK_STORE_H
#define BK_STORE_H

#include <stdbool.h>

#include "bk_flash.h"
#include "bk_smp.h"

/* Patches stored at once, those that only the previous set still needs included. */
#ifndef BK_STORE_MAX_PATCHES
#define BK_STORE_MAX_PATCHES 24
#endif

typedef uint32_t bk_store_id; /* names one patch's bytes for ever; 0 is none */

typedef struct {
    bk_smp_name name;
    bk_store_id id;
    uint32_t at, size;     /* of its bytes, in flash->base */
    bool listed;           /* false: removed or replaced, kept for the previous set alone */
} bk_store_patch;

typedef struct {
    uint32_t n;
    bk_store_id ids[BK_MAX_ACTIVE]; /* in the order in which they were given */
} bk_store_set;

/* Everything but `flash`, `patches`, `n_patches`, `active` and `previous` is the store's own. */
typedef struct {
    const bk_flash *flash;
    bk_store_patch patches[BK_STORE_MAX_PATCHES];
    uint32_t n_patches;
    bk_store_set active, previous;
    uint32_t failed_starts; /* starts with this set that were counted and not settled */
    /* ... */
} bk_store;

/* Read what is there; blank or foreign sectors are taken over. BK_RC_IO: the store is then empty
 * and read-only, and every change is answered BK_RC_READ_ONLY. */
int bk_store_mount(bk_store *s, const bk_flash *flash);

/* A new patch's bytes go straight into flash, in order; nothing counts before the commit. */
int bk_store_begin(bk_store *s, const char *name, uint32_t size);
int bk_store_append(bk_store *s, const uint8_t *p, uint32_t n);
const uint8_t *bk_store_pending(const bk_store *s); /* [size] once all are appended; NULL */
void bk_store_abort(bk_store *s);

/* The pending bytes become the patch of that name, in place of an older one. When the older one is
 * active the new one takes its place in the active set, in the same record. `sequence` is
 * remembered per name when has_sequence. */
int bk_store_commit(bk_store *s, bool has_sequence, uint32_t sequence, bk_store_id *id);

/* Highest sequence number that a name has had, also after it was removed. */
bool bk_store_sequence(const bk_store *s, const char *name, uint32_t *sequence);

/* The listed patch of that name, or NULL; the patch of that id, listed or not, or NULL. */
const bk_store_patch *bk_store_find(const bk_store *s, const char *name);
const bk_store_patch *bk_store_by_id(const bk_store *s, bk_store_id id);
const uint8_t *bk_store_bytes(const bk_store *s, const bk_store_patch *p);

/* Record a new active set; the old one becomes the previous. */
int bk_store_use(bk_store *s, const bk_store_set *set);

/* Unlist a patch that is not active; forget also drops its sequence number. */
int bk_store_remove(bk_store *s, const char *name, bool forget);

/* Count a start with the active set, before it is loaded; settle once it has proved itself. */
int bk_store_count_start(bk_store *s);
int bk_store_settle(bk_store *s);

#endif
