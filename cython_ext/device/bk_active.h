/* bk_active.h: the active set: weights, store and health in step, whatever fails.
 *
 * The order of every change: the session switches first, all or nothing; then the patches' own
 * probes are asked; then the store records the set. When one of these fails, all is as before. At
 * start it is the other way round: the store says what to load, counts the start, and forgets the
 * count once the set has answered.
 */
#ifndef BK_ACTIVE_H
#define BK_ACTIVE_H

#include "bk_device_port.h"
#include "bk_device_session.h"
#include "bk_device_store.h"
#include "bk_signature_gate.h"

/* For all probes of a switch together, but the first is always asked to its end: a client waits
 * two seconds for the answer. */
#ifndef BK_PROBE_BUDGET_MS
#define BK_PROBE_BUDGET_MS 1500
#endif

/* A patch is decoded once: what is kept are views, set right when its bytes lie elsewhere. */
typedef struct {
    bk_patch_id id; /* 0: nothing is here */
    bk_patch patch;
} bk_loaded;

typedef struct {
    const bk_device_port *port;
    const bk_device_store *store;
    const bk_device_session *session;
    const bk_trust *trust;
    uint32_t probe_budget_ms;
    uint8_t *piece; /* [about.room] text of a probe's answer */
    size_t piece_bytes;
    bk_patch_set set;                         /* what runs */
    bool probes; /* may there be some in what was switched to last? */
    const bk_patch_set *loading; /* what is to run: its patches stay loaded too */
    bk_loaded loaded[2 * BK_MAX_ACTIVE]; /* of what runs and is to run; else of any */
    bk_smp_name pending; /* of the upload */
} bk_active;

/* At start: the recorded set, without what no longer fits; never an obstacle. A set that was not
 * survived twice, or that fails its own probes, gives way to the one before it, and that one, if
 * need be, to none. */
void bk_active_restore(bk_active *a);

/* Switch to a set, probe it, record it. *ns is the time of the switch itself, 0 when the set is
 * active already. Returns a bk_rc, and a sentence when it is not BK_RC_OK. */
int bk_active_use(bk_active *a, const bk_patch_set *wanted, uint64_t *ns, bk_say *why);

/* The pending upload becomes the patch of its name; where that one is active, the new bytes are
 * switched to, probed and recorded in one step. */
int bk_active_store(bk_active *a, const bk_patch *patch, bk_say *why);

/* A stored patch, or the pending one, let in and decoded; good until the next call. */
int bk_active_load(bk_active *a, bk_patch_id id, const bk_patch **patch, bk_say *why);

/* Is a decoded patch fit for this device? Changes nothing. */
int bk_active_check(bk_active *a, const char *name, const bk_patch *patch, bk_say *why);

/* An upload begins or is over: what was decoded of the one before is void. */
void bk_active_drop_pending(bk_active *a);

/* The active set with its patches, for a session that wants them. */
void bk_active_running(bk_active *a, bk_members *running);

bool bk_active_holds(const bk_active *a, bk_patch_id id);
void bk_active_name(const bk_active *a, bk_patch_id id, bk_smp_name name); /* "?": unknown */

#endif
