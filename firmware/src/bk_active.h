/* bk_active.h: the active set: weights, store and health in step, whatever fails.
 *
 * The order of every change: the weights or the overlay switch first, all or nothing; then the
 * patches' own probes are asked; then the store records the set. When one of these fails, all is
 * as before. At start it is the other way round: the store says what to load, counts the start,
 * and forgets the count once the set has answered.
 */
#ifndef BK_ACTIVE_H
#define BK_ACTIVE_H

#include "bk_gate.h"
#include "bk_session.h"

#ifndef BK_SWITCHER
/* An overlay that was built. Switching to a set whose overlay is still there is a pointer swap. */
typedef struct {
    bk_store_set set;
    bk_overlay overlay;
    size_t bytes; /* 0: nothing is here */
    bool probes;  /* the set's patches carry some */
} bk_active_slot;
#endif

/* The id of the upload that is not committed yet. */
#define BK_ACTIVE_PENDING UINT32_MAX

typedef struct {
    bk_store *store;
    const bk_board *board;
    bk_store_set set;                                /* what runs */
    bk_patch was[BK_MAX_ACTIVE], now[BK_MAX_ACTIVE]; /* decoded, for the time of a switch */
    bk_smp_name pending;                             /* of the upload */
    uint32_t pending_bytes;
    char note[BK_SMP_DETAIL_MAX + 1]; /* the last sentence for the operator */
#ifndef BK_SWITCHER
    bk_session *session;
    bk_active_slot slots[2]; /* 0 grows from the low end of the overlay's memory, 1 from the high */
    uint8_t slot;            /* the one used last */
#endif
} bk_active;

/* At start: the recorded set, without what no longer fits; never an obstacle. A set that was not
 * survived twice, or that fails its own probes, gives way to the one before it, and that one, if
 * need be, to none. */
void bk_active_restore(bk_active *a);

/* Switch to a set, probe it, record it. *ns is the time of the switch itself, 0 when the set is
 * active already. Returns a bk_rc, and a sentence when it is not BK_RC_OK. */
int bk_active_use(bk_active *a, const bk_store_set *wanted, uint64_t *ns, bk_say *why);

/* Store the pending upload under the name that an active patch has: it takes that one's place. */
int bk_active_replace(bk_active *a, bk_store_id old, bool has_sequence, uint32_t sequence,
                      bk_say *why);

/* Is this patch, decoded from a file, fit for this device? Changes nothing. */
int bk_active_check(bk_active *a, const char *name, const bk_patch *patch, bk_say *why);

/* Decode a stored patch, or the pending one. */
int bk_active_load(bk_active *a, bk_store_id id, bk_patch *patch, bk_say *why);

/* Between these two the weights are as in the file, without in-place flips. */
void bk_active_undress(bk_active *a);
void bk_active_dress(bk_active *a);

/* Tell the operator: on the console, and in info until the next start. */
void bk_active_note(bk_active *a, const char *text);

bool bk_active_holds(const bk_active *a, bk_store_id id);
const char *bk_active_name(const bk_active *a, bk_store_id id);

#endif
