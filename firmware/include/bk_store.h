/* bk_store.h: patches, the active set and what preceded it, as a log in flash sectors.
 *
 * After a power cut at any moment the next mount finds the state before or after a change, whole.
 * Records are only appended; when a sector is full the next one in the ring is erased and takes
 * over, so that all wear alike. A patch's bytes lie in one piece within a sector and are used where
 * they lie: a pointer is good until the next call that may write.
 *
 * Functions return BK_RC_OK or another bk_rc (bk_smp.h). Every change may answer BK_RC_READ_ONLY,
 * or BK_RC_IO when the flash fails; what the store held before, it then still holds.
 */
#ifndef BK_STORE_H
#define BK_STORE_H

#include <stdbool.h>

#include "bk_device_store.h"
#include "bk_flash.h"

/* Patches stored at once, those that only the previous set still needs included; at most 31.
 * 48 bytes of RAM each. */
#ifndef BK_STORE_MAX_PATCHES
#define BK_STORE_MAX_PATCHES 24
#endif

enum { BK_STORE_MAX_SECTORS = 16, BK_STORE_SECTOR_MIN = 4096 };

typedef bk_patch_id bk_store_id; /* names one patch's bytes for ever, over restarts too */
typedef bk_patch_set bk_store_set;

typedef struct {
    bk_smp_name name;
    bool listed;           /* false: removed or replaced, kept for the previous set alone */
    bk_store_id id;
    uint32_t at, size;     /* of its bytes, in flash->base */
} bk_store_patch;

/* Bytes on their way into flash, in whole grains (store/bk_store_log.h). */
typedef struct {
    uint32_t at, fill, crc;
    uint8_t buf[32];
} bk_store_stream;

/* An id of a set whose patch was found damaged stays in its set; bk_store_by_id then has NULL. */
typedef struct {
    const bk_flash *flash;
    bk_store_patch patches[BK_STORE_MAX_PATCHES + 1]; /* one more while one replaces another */
    uint32_t n_patches;
    uint32_t n_damaged;     /* patches that the last mount found damaged, and dropped */
    bk_store_set active, previous;
    uint32_t failed_starts; /* starts with this set that were counted and not settled */
    bool read_only;         /* no change can be made until the next mount */
    uint32_t generation;    /* of the head; so many sectors were opened, all in turn */
    /* From here on the store's own. */
    bool uploading;
    uint32_t upload_at, upload_size, upload_off;
    bk_store_stream upload;
    uint32_t next_id,
        newest; /* generation of any sector, the head's or of one that does not count */
    uint32_t state_at, sequences_at, sequences_bytes; /* in flash->base, of the newest state */
    uint32_t pos;                                     /* in the head sector; its end: closed */
    uint8_t ring[BK_STORE_MAX_SECTORS];               /* the next to be erased first, head last */
} bk_store;

/* Read what is there; blank or foreign sectors are taken over at the first change. BK_RC_IO: the
 * flash cannot hold a store or cannot be written; what could be read is there, read-only. */
int bk_store_mount(bk_store *s, const bk_flash *flash);

/* Largest patch that fits into a sector of this flash, in bytes. */
uint32_t bk_store_max_bytes(const bk_flash *flash);

/* A new patch's bytes go straight into flash, in order; nothing counts before the commit. begin
 * drops an upload that is open, and may take as long as some erases. Answers TOO_LARGE or NO_SPACE
 * before anything is written. append answers BAD_OFFSET beyond `size`, or when the upload had to
 * be dropped for the room that changes made meanwhile needed. */
int bk_store_begin(bk_store *s, const char *name, uint32_t size);
int bk_store_append(bk_store *s, const uint8_t *p, uint32_t n);
const uint8_t *bk_store_pending(const bk_store *s); /* [size] once all are appended; NULL */
void bk_store_abort(bk_store *s);

/* The pending bytes become the patch of that name, in place of an older one. When the older one is
 * active the new one takes its place in the active set, in the same record, and the set with the
 * older one becomes the previous. `sequence` is remembered per name when has_sequence, if it is
 * the highest. Whatever is answered, the upload is over. */
int bk_store_commit(bk_store *s, bool has_sequence, uint32_t sequence, bk_store_id *id);

/* Highest sequence number that a name has had, also after it was removed. */
bool bk_store_sequence(const bk_store *s, const char *name, uint32_t *sequence);

/* The listed patch of that name, or NULL; the patch of that id, listed or not, or NULL. */
const bk_store_patch *bk_store_find(const bk_store *s, const char *name);
const bk_store_patch *bk_store_by_id(const bk_store *s, bk_store_id id);
const uint8_t *bk_store_bytes(const bk_store *s, const bk_store_patch *p);

/* Are a patch's bytes those that were committed? mount has asked this of each. */
bool bk_store_intact(const bk_store *s, const bk_store_patch *p);

/* Record a new active set; the old one becomes the previous. Members that were removed or replaced
 * are listed again under their names. The set that is active already changes nothing.
 * NO_SUCH_PATCH, LIMIT; BAD_ARGUMENT for two of one name. */
int bk_store_use(bk_store *s, const bk_store_set *set);

/* The same for a set that gives way because it does not work: the previous set is then empty, so
 * that it does not come back by a rollback. */
int bk_store_give_way(bk_store *s, const bk_store_set *set);

/* Unlist a patch that is not active (else ACTIVE); forget also drops its sequence number. */
int bk_store_remove(bk_store *s, const char *name, bool forget);

/* Count a start with the active set, before it is loaded; settle once it has proved itself. */
int bk_store_count_start(bk_store *s);
int bk_store_settle(bk_store *s);

#endif
