/* active.c: switch, probe, record; and restore at start. */
#include "bk_active.h"

#include <string.h>

#include "bk_console.h"
#include "bk_error.h"
#include "bk_health.h"
#ifdef BK_SWITCHER
#include "bk_switcher.h"
#endif

enum { MAX_STARTS = 2 }; /* of a set that the device did not survive; then it is not loaded again */

typedef const bk_patch *members[BK_MAX_ACTIVE];

/* ---- sets --------------------------------------------------------------------------------- */

static bool same_set(const bk_store_set *a, const bk_store_set *b) {
    return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof a->ids[0]) == 0;
}

bool bk_active_holds(const bk_active *a, bk_store_id id) {
    for (uint32_t i = 0; i < a->set.n; i++)
        if (a->set.ids[i] == id) return true;
    return false;
}

const char *bk_active_name(const bk_active *a, bk_store_id id) {
    if (id == BK_ACTIVE_PENDING) return a->pending;
    const bk_store_patch *p = bk_store_by_id(a->store, id);
    return p ? p->name : "?";
}

static void say_set(const bk_active *a, const bk_store_set *set, bk_say *s) {
    for (uint32_t i = 0; i < set->n; i++) {
        if (i) bk_say_text(s, " ");
        bk_say_text(s, bk_active_name(a, set->ids[i]));
    }
    if (!set->n) bk_say_text(s, "the empty set");
}

/* ---- the operator ------------------------------------------------------------------------- */

static bk_say start_note(bk_active *a) {
    bk_say s;
    bk_say_start(&s, a->note, sizeof a->note);
    return s;
}

static void show_note(const bk_active *a) {
    bk_console_put("note: ");
    bk_console_put(a->note);
    bk_console_put("\n");
}

void bk_active_note(bk_active *a, const char *text) {
    bk_say s = start_note(a);
    bk_say_text(&s, text);
    show_note(a);
}

/* ---- loading ------------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    const uint8_t *bytes; /* NULL: they are gone */
    uint32_t n;
} file;

static file find_file(const bk_active *a, bk_store_id id) {
    const bk_store_patch *p = bk_store_by_id(a->store, id);
    if (id == BK_ACTIVE_PENDING)
        return (file){a->pending, bk_store_pending(a->store), a->pending_bytes};
    return p ? (file){p->name, bk_store_bytes(a->store, p), p->size} : (file){"?", NULL, 0};
}

int bk_active_load(bk_active *a, bk_store_id id, bk_patch *patch, bk_say *why) {
    file f = find_file(a, id);
    if (!f.bytes) {
        bk_say_text(why, "the file of ");
        bk_say_text(why, f.name);
        bk_say_text(why, " is gone");
        return BK_RC_IO;
    }
    char text[BK_SMP_DETAIL_MAX + 1];
    bk_say warning;
    bk_say_start(&warning, text, sizeof text);
    int rc = bk_gate_open(f.name, f.bytes, f.n, patch, why, &warning);
    if (warning.n) bk_active_note(a, text);
    return rc;
}

static int load_set(bk_active *a, const bk_store_set *set, bk_patch *patches, bk_say *why) {
    for (uint32_t i = 0; i < set->n; i++) {
        int rc = bk_active_load(a, set->ids[i], &patches[i], why);
        if (rc) return rc;
    }
    return BK_RC_OK;
}

static void point_at(members m, const bk_patch *patches) {
    for (uint32_t i = 0; i < BK_MAX_ACTIVE; i++) m[i] = &patches[i];
}

/* Start anew from what the store holds: nothing else brings weights and store in step. */
static _Noreturn void give_up(bk_active *a, const char *why) {
    bk_active_note(a, why);
    bk_port_reset();
}

#ifdef BK_SWITCHER

/* ---- no inference: the set is another part's --------------------------------------------- */

void bk_active_undress(bk_active *a) { (void)a; }
void bk_active_dress(bk_active *a) { (void)a; }

int bk_active_check(bk_active *a, const char *name, const bk_patch *patch, bk_say *why) {
    const uint8_t *id = bk_switcher_model_id();
    (void)a;
    if (!patch->model_id) return bk_gate_refusal(name, patch, BK_ERR_PATCH_UNBOUND, why);
    if (!id || memcmp(id, patch->model_id, 32) == 0) return BK_RC_OK;
    return bk_gate_refusal(name, patch, BK_ERR_PATCH_MODEL, why);
}

static int apply(bk_active *a, const bk_store_set *wanted, bk_say *why) {
    members m;
    int rc = load_set(a, wanted, a->now, why);
    for (uint32_t i = 0; i < wanted->n && !rc; i++)
        rc = bk_active_check(a, bk_active_name(a, wanted->ids[i]), &a->now[i], why);
    point_at(m, a->now);
    if (!rc) rc = bk_switcher_use(m, wanted->n);
    if (!rc) a->set = *wanted;
    return rc;
}

static int ailment(bk_active *a, bk_say *why) {
    (void)a, (void)why;
    return BK_RC_OK;
}

static bool speaks(bk_active *a) {
    (void)a;
    return true;
}

#else

/* ---- in place ----------------------------------------------------------------------------- */

/* A set that was let in before: its signatures are not asked again. */
static int reload(const bk_active *a, const bk_store_set *set, bk_patch *patches) {
    int rc = BK_OK;
    for (uint32_t i = 0; i < set->n && !rc; i++) {
        file f = find_file(a, set->ids[i]);
        rc = f.bytes ? bk_gate_reopen(f.bytes, f.n, &patches[i]) : BK_ERR_MISSING;
    }
    return rc;
}

static bool in_place(const bk_active *a) { return a->session->model.writable; }

static void unload(bk_active *a, bool on) {
    members m;
    if (!in_place(a) || !a->set.n) return;
    int rc = reload(a, &a->set, a->was);
    point_at(m, a->was);
    bk_model *model = &a->session->model;
    if (!rc) {
        rc = on ? bk_patch_swap(model, NULL, 0, m, a->set.n, true)
                : bk_patch_swap(model, m, a->set.n, NULL, 0, true);
    }
    if (rc) give_up(a, "the active set cannot be taken off the weights: the device starts anew");
}

void bk_active_undress(bk_active *a) { unload(a, false); }
void bk_active_dress(bk_active *a) { unload(a, true); }

static int check_pristine(bk_active *a, const char *name, const bk_patch *patch, bk_say *why) {
    int error = bk_patch_check(patch, &a->session->model, false);
    return bk_gate_refusal(name, patch, error, why);
}

int bk_active_check(bk_active *a, const char *name, const bk_patch *patch, bk_say *why) {
    if (!a->session->known) return BK_RC_OK;
    bk_active_undress(a);
    int rc = check_pristine(a, name, patch, why);
    bk_active_dress(a);
    return rc;
}

static int check_each(bk_active *a, const bk_store_set *set, bk_say *why) {
    for (uint32_t i = 0; i < set->n; i++) {
        int rc = check_pristine(a, bk_active_name(a, set->ids[i]), &a->now[i], why);
        if (rc) return rc;
    }
    return BK_RC_OK;
}

static int apply_in_place(bk_active *a, const bk_store_set *wanted, bk_say *why) {
    members was, now;
    int rc = load_set(a, wanted, a->now, why);
    if (rc) return rc;
    if (reload(a, &a->set, a->was))
        give_up(a, "the active set is damaged: the device starts anew without it");
    point_at(was, a->was);
    point_at(now, a->now);
    int error = bk_patch_swap(&a->session->model, was, a->set.n, now, wanted->n, false);
    if (!error) return BK_RC_OK;
    bk_active_undress(a);
    rc = check_each(a, wanted, why); /* finds which one, and says so */
    bk_active_dress(a);
    return rc ? rc : bk_gate_refusal(bk_active_name(a, wanted->ids[0]), a->now, error, why);
}

/* ---- overlay ------------------------------------------------------------------------------ */

static bk_active_slot *find_slot(bk_active *a, const bk_store_set *wanted) {
    for (uint32_t i = 0; i < 2; i++)
        if (a->slots[i].bytes && same_set(&a->slots[i].set, wanted)) return &a->slots[i];
    return NULL;
}

static int refuse_size(const bk_active *a, size_t bytes, bk_say *why) {
    bk_say_text(why, "the set needs ");
    bk_say_uint(why, (uint32_t)bytes);
    bk_say_text(why, " bytes of memory, this device has ");
    bk_say_uint(why, (uint32_t)a->session->overlay_bytes);
    return BK_RC_LIMIT;
}

/* Build into the slot that was not used last; the other one stays as long as both fit. Nothing
 * can fail from the point where something is overwritten: all was checked and counted. */
static int build(bk_active *a, const bk_store_set *wanted, bk_say *why) {
    members now;
    size_t bytes;
    bk_session *s = a->session;
    int rc = load_set(a, wanted, a->now, why);
    if (!rc) rc = check_each(a, wanted, why);
    if (rc) return rc;
    point_at(now, a->now);
    int error = bk_overlay_bytes(now, wanted->n, &s->model, &bytes);
    if (error) return bk_gate_refusal(bk_active_name(a, wanted->ids[0]), &a->now[0], error, why);
    bytes = (bytes + 7) & ~(size_t)7;
    if (bytes > s->overlay_bytes) return refuse_size(a, bytes, why);
    bk_active_slot *other = &a->slots[a->slot], *slot = &a->slots[1 - a->slot];
    if (other->bytes + bytes > s->overlay_bytes) other->bytes = 0;
    uint8_t *mem = a->slot ? s->overlay : s->overlay + s->overlay_bytes - bytes;
    *slot = (bk_active_slot){.set = *wanted, .bytes = bytes};
    error = bk_overlay_build(&slot->overlay, now, wanted->n, &s->model, mem, bytes);
    if (error) give_up(a, "an overlay cannot be built: the device starts anew");
    for (uint32_t i = 0; i < wanted->n; i++) slot->probes |= a->now[i].n_canaries > 0;
    return BK_RC_OK;
}

static int apply_overlay(bk_active *a, const bk_store_set *wanted, bk_say *why) {
    bk_state *state = &a->session->state;
    if (!wanted->n) {
        state->overlay = NULL;
        return BK_RC_OK;
    }
    bk_active_slot *slot = find_slot(a, wanted);
    if (!slot) {
        int rc = build(a, wanted, why);
        if (rc) return rc;
        slot = find_slot(a, wanted);
    }
    a->slot = (uint8_t)(slot - a->slots);
    state->overlay = &slot->overlay;
    return BK_RC_OK;
}

/* ---- both --------------------------------------------------------------------------------- */

/* Switch, all or nothing; nothing of the store changes. */
static int apply(bk_active *a, const bk_store_set *wanted, bk_say *why) {
    int rc = BK_RC_OK;
    if (in_place(a)) rc = apply_in_place(a, wanted, why);
    else if (a->session->runs) rc = apply_overlay(a, wanted, why);
    if (rc) return rc;
    a->set = *wanted;
    bk_session_forget(a->session);
    return BK_RC_OK;
}

/* What the set's own probes find wrong. */
static int ailment(bk_active *a, bk_say *why) {
    bk_session *s = a->session;
    const bk_active_slot *slot = in_place(a) ? NULL : find_slot(a, &a->set);
    if (!s->runs || (slot && !slot->probes)) return BK_RC_OK;
    bk_health h;
    bk_health_start(&h);
    if (reload(a, &a->set, a->now)) return BK_RC_IO;
    for (uint32_t i = 0; i < a->set.n; i++) {
        const char *name = bk_active_name(a, a->set.ids[i]);
        int rc = bk_health_ask(&h, s, name, &a->now[i], why);
        if (rc) return rc;
    }
    if (h.asked < h.all) {
        bk_say n = start_note(a);
        bk_say_uint(&n, h.asked);
        bk_say_text(&n, " of ");
        bk_say_uint(&n, h.all);
        bk_say_text(&n, " probes were asked in the time there is");
        show_note(a);
    }
    return BK_RC_OK;
}

/* One token has to come out. */
static bool speaks(bk_active *a) {
    bk_session *s = a->session;
    if (!s->runs || !a->set.n) return true;
    int32_t n = bk_talk_start(s, &s->talks[1], "a", 1, 1);
    while (!s->talks[1].done) (void)bk_talk_step(s, &s->talks[1], s->out);
    return n > 0;
}

#endif

/* ---- changes ------------------------------------------------------------------------------ */

/* To a set that ran already. */
static void go_back(bk_active *a, const bk_store_set *before) {
    char text[BK_SMP_DETAIL_MAX + 1];
    bk_say ignored;
    bk_say_start(&ignored, text, sizeof text);
    if (apply(a, before, &ignored))
        give_up(a, "the set from before cannot be switched back: the device starts anew");
}

/* Switch and probe; on a failure the set from before is back. */
static int try_set(bk_active *a, const bk_store_set *wanted, uint64_t *ns, bk_say *why) {
    bk_store_set before = a->set;
    uint64_t start = bk_port_ns();
    int rc = apply(a, wanted, why);
    *ns = bk_port_ns() - start;
    if (rc) return rc;
    rc = ailment(a, why);
    if (rc) go_back(a, &before);
    return rc;
}

static int refuse_change(int rc, bk_say *why) {
    if (rc) bk_say_text(why, "the set cannot be recorded; the one from before is active");
    return rc;
}

int bk_active_use(bk_active *a, const bk_store_set *wanted, uint64_t *ns, bk_say *why) {
    bk_store_set before = a->set;
    *ns = 0;
    if (same_set(wanted, &before)) return BK_RC_OK;
    int rc = try_set(a, wanted, ns, why);
    if (rc) return rc;
    rc = bk_store_use(a->store, wanted);
    if (rc) go_back(a, &before);
    return refuse_change(rc, why);
}

static void rename_pending(bk_store_set *set, bk_store_id id) {
    for (uint32_t i = 0; i < set->n; i++)
        if (set->ids[i] == BK_ACTIVE_PENDING) set->ids[i] = id;
}

/* The pending upload has an id now; or it is gone (0), and the next one is another. */
static void settle_pending(bk_active *a, bk_store_set *wanted, bk_store_id id) {
    rename_pending(wanted, id);
#ifdef BK_SWITCHER
    (void)a;
#else
    for (uint32_t i = 0; i < 2; i++) rename_pending(&a->slots[i].set, id);
#endif
}

int bk_active_replace(bk_active *a, bk_store_id old, bool has_sequence, uint32_t sequence,
                      bk_say *why) {
    bk_store_set before = a->set, wanted = a->set;
    bk_store_id id = 0;
    uint64_t ns;
    for (uint32_t i = 0; i < wanted.n; i++)
        if (wanted.ids[i] == old) wanted.ids[i] = BK_ACTIVE_PENDING;
    int rc = try_set(a, &wanted, &ns, why);
    if (!rc) {
        /* a failed commit ends the upload, and taking its flips back would need its bytes */
        go_back(a, &before);
        rc = refuse_change(bk_store_commit(a->store, has_sequence, sequence, &id), why);
    }
    settle_pending(a, &wanted, rc ? 0 : id);
    if (!rc) go_back(a, &wanted);
    return rc;
}

/* ---- at start ----------------------------------------------------------------------------- */

/* Those of a set that fit this device; a sentence about each of the others. */
static bk_store_set fitting(bk_active *a, const bk_store_set *wanted) {
    bk_store_set set = {0};
    for (uint32_t i = 0; i < wanted->n; i++) {
        char text[BK_SMP_DETAIL_MAX + 1];
        bk_say why;
        bk_say_start(&why, text, sizeof text);
        const char *name = bk_active_name(a, wanted->ids[i]);
        int rc = bk_active_load(a, wanted->ids[i], &a->now[0], &why);
        if (!rc) rc = bk_active_check(a, name, &a->now[0], &why);
        if (!rc) {
            set.ids[set.n++] = wanted->ids[i];
            continue;
        }
        bk_say s = start_note(a);
        bk_say_text(&s, name);
        bk_say_text(&s, " stays inactive: ");
        bk_say_text(&s, text);
        show_note(a);
    }
    return set;
}

/* Load a set as one that may not be survived; false when it is not healthy. */
static bool started(bk_active *a, const bk_store_set *set, bool gave_way) {
    uint64_t ns;
    int rc = BK_RC_OK;
    if (!same_set(set, &a->store->active)) {
        rc = gave_way ? bk_store_give_way(a->store, set) : bk_store_use(a->store, set);
    }
    if (!rc && set->n) rc = bk_store_count_start(a->store);
    if (rc) bk_active_note(a, "the store takes no changes: this start is not counted");
    char text[BK_SMP_DETAIL_MAX + 1];
    bk_say why;
    bk_say_start(&why, text, sizeof text);
    rc = try_set(a, set, &ns, &why);
    if (rc || !speaks(a)) {
        bk_say s = start_note(a);
        say_set(a, set, &s);
        bk_say_text(&s, " does not run: ");
        bk_say_text(&s, rc ? text : "no token came out");
        show_note(a);
        return false;
    }
    if (a->store->failed_starts && bk_store_settle(a->store))
        bk_active_note(a, "the store takes no changes: the good start is not noted");
    return true;
}

static void note_deadly(bk_active *a, const bk_store_set *set) {
    bk_say s = start_note(a);
    say_set(a, set, &s);
    bk_say_text(&s, " did not survive ");
    bk_say_uint(&s, a->store->failed_starts);
    bk_say_text(&s, " starts: not loaded again");
    show_note(a);
}

void bk_active_restore(bk_active *a) {
    bk_store_set recorded = a->store->active, none = {0};
    bk_store_set previous = a->store->previous;
    if (a->store->failed_starts >= MAX_STARTS) {
        note_deadly(a, &recorded);
    } else {
        bk_store_set set = fitting(a, &recorded);
        if (started(a, &set, false)) return;
    }
    if (!same_set(&previous, &recorded)) {
        bk_store_set set = fitting(a, &previous);
        if (set.n == previous.n && started(a, &set, true)) return;
    }
    (void)started(a, &none, true);
}
