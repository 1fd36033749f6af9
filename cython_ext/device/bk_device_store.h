/* bk_device_store.h: what a device needs of a store: patches, the active set and what preceded it.
 *
 * A port fills the struct; every callback gets `self`. Those that return int return a bk_rc; the
 * sentence about one that is not BK_RC_OK is asked of `detail` at once. A change is all or nothing,
 * also under a power cut; it may answer READ_ONLY, or IO when the medium fails, and what the store
 * held before, it then still holds.
 */
#ifndef BK_DEVICE_STORE_H
#define BK_DEVICE_STORE_H

#include "bk_smp.h"

/* Names one patch's bytes for as long as the device runs; 0 is none. */
typedef uint32_t bk_patch_id;

/* The id of the upload that is not committed yet. */
#define BK_PATCH_PENDING UINT32_MAX

typedef struct {
    uint32_t n;
    bk_patch_id ids[BK_MAX_ACTIVE]; /* in the order in which they were given */
} bk_patch_set;

typedef struct {
    bk_smp_name name;
    bk_patch_id id;
    uint32_t size; /* bytes */
} bk_stored;

typedef struct {
    bk_patch_set active, previous;
    uint32_t failed_starts; /* starts with this set that were counted and not settled */
} bk_store_sets;

/* What the operator allows; the store's medium may take less. */
typedef struct {
    uint32_t patches;     /* stored at once */
    uint32_t patch_bytes; /* of one */
    uint64_t total_bytes; /* of all; what only the previous set still needs does not count */
} bk_quota;

typedef struct {
    void *self;
    void (*quota)(void *self, bk_quota *quota);
    /* The stored patch at `index` in the order of names, or of that name, or of that id, of which
     * only the previous set may still need the bytes. NO_SUCH_PATCH. */
    int (*at)(void *self, uint32_t index, bk_stored *found);
    int (*find)(void *self, const char *name, bk_stored *found);
    int (*by_id)(void *self, bk_patch_id id, bk_stored *found);
    /* A patch's bytes, good until the next call that may change the store. */
    int (*bytes)(void *self, bk_patch_id id, const uint8_t **p, size_t *n);
    /* The same of a patch that runs, whatever became of its file since. NULL: bytes has them. */
    int (*kept)(void *self, bk_patch_id id, const uint8_t **p, size_t *n);
    /* Are they those that were committed? NULL: bytes has made sure. */
    bool (*intact)(void *self, bk_patch_id id);
    void (*sets)(void *self, bk_store_sets *sets);
    /* Highest sequence number that a name has had, also after it was removed. */
    bool (*sequence)(void *self, const char *name, uint32_t *sequence);
    /* A patch's bytes on their way in, in order: nothing counts before the commit. begin drops an
     * upload that is open. */
    int (*begin)(void *self, const char *name, uint32_t size);
    int (*append)(void *self, const uint8_t *p, size_t n);
    void (*abort)(void *self);
    /* All bytes of the upload, whole; commit makes them the patch of that name, in the place of an
     * older one, also in the active set, in the same change; the set with the older one is then the
     * previous. Whatever commit answers, the upload is over. */
    int (*pending)(void *self, const uint8_t **p, size_t *n);
    int (*commit)(void *self, bool has_sequence, uint32_t sequence, bk_patch_id *id);
    /* A new active set; the old one becomes the previous, or, for a set that gives way because it
     * does not work, none does. Members that were removed or replaced are stored again. */
    int (*use)(void *self, const bk_patch_set *set, bool gave_way);
    /* Unlist a patch that is not active; forget also drops its sequence number. */
    int (*remove)(void *self, const char *name, bool forget);
    /* Count a start with the active set, before it is loaded; settle once it has proved itself. */
    int (*count_start)(void *self);
    int (*settle)(void *self);
    const char *(*detail)(void *self); /* NULL: there are no sentences */
} bk_device_store;

#endif
