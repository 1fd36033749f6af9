/* bk_active.c: switch, probe, record; and restore at start. */
#include "bk_active.h"

#include <string.h>

#include "bk_error.h"
#include "bk_health.h"
#include "bk_refusal.h"

enum { MAX_STARTS = 2 }; /* of a set that the device did not survive; then it is not loaded again */

/* ---- sets --------------------------------------------------------------------------------- */

static bool in_set(const bk_patch_set *set, bk_patch_id id) {
    for (uint32_t i = 0; i < set->n; i++)
        if (set->ids[i] == id) return true;
    return false;
}

static bool same_set(const bk_patch_set *a, const bk_patch_set *b) {
    return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof a->ids[0]) == 0;
}

static void rename_in(bk_patch_set *set, bk_patch_id from, bk_patch_id to) {
    for (uint32_t i = 0; i < set->n; i++)
        if (set->ids[i] == from) set->ids[i] = to;
}

bool bk_active_holds(const bk_active *a, bk_patch_id id) { return in_set(&a->set, id); }

void bk_active_name(const bk_active *a, bk_patch_id id, bk_smp_name name) {
    bk_stored found;
    if (id == BK_PATCH_PENDING) memcpy(name, a->pending, sizeof a->pending);
    else if (a->store->by_id(a->store->self, id, &found) == BK_RC_OK)
        memcpy(name, found.name, sizeof found.name);
    else memcpy(name, "?", 2);
}

static void say_set(const bk_active *a, const bk_patch_set *set, bk_say *s) {
    for (uint32_t i = 0; i < set->n; i++) {
        bk_smp_name name;
        bk_active_name(a, set->ids[i], name);
        if (i) bk_say_text(s, " ");
        bk_say_text(s, name);
    }
    if (!set->n) bk_say_text(s, "the empty set");
}

/* ---- sentences ---------------------------------------------------------------------------- */

typedef struct {
    char text[BK_SMP_DETAIL_MAX + 1];
    bk_say say;
} sentence;

static bk_say *begin(sentence *s) {
    bk_say_start(&s->say, s->text, sizeof s->text);
    return &s->say;
}

static void note(const bk_active *a, const char *text) { a->port->log(a->port->self, text); }

/* What the store says about its last failure, or else something about what was tried. */
static int store_failed(const bk_active *a, int rc, const char *otherwise, bk_say *why) {
    const char *detail = a->store->detail ? a->store->detail(a->store->self) : NULL;
    if (rc) bk_say_text(why, detail && detail[0] ? detail : otherwise);
    return rc;
}

static void note_store(const bk_active *a, int rc, const char *otherwise) {
    sentence s;
    if (store_failed(a, rc, otherwise, begin(&s))) note(a, s.text);
}

/* Start anew from what the store holds: nothing else brings weights and store in step. */
static void give_up(const bk_active *a, const char *why) {
    note(a, why);
    a->port->reset(a->port->self, true);
}

/* ---- loading ------------------------------------------------------------------------------ */

static bk_loaded *find_loaded(bk_active *a, bk_patch_id id) {
    for (uint32_t i = 0; i < sizeof a->loaded / sizeof a->loaded[0]; i++)
        if (a->loaded[i].id == id) return &a->loaded[i];
    return NULL;
}

/* A place for one more: what neither runs nor is to run is not needed. */
static bk_loaded *make_room(bk_active *a) {
    bk_loaded *l = find_loaded(a, 0);
    for (uint32_t i = 0; !l; i++) {
        bk_patch_id id = a->loaded[i].id;
        if (!in_set(&a->set, id) && !(a->loading && in_set(a->loading, id))) l = &a->loaded[i];
    }
    l->id = 0;
    return l;
}

void bk_active_drop_pending(bk_active *a) {
    bk_loaded *l = find_loaded(a, BK_PATCH_PENDING);
    if (l) l->id = 0;
    if (a->session->forget) a->session->forget(a->session->self, BK_PATCH_PENDING);
}

/* `runs`: it does, or did before the switch that is under way. */
static int read_file(const bk_active *a, bk_patch_id id, bool runs, bk_span *file, bk_say *why) {
    const bk_device_store *s = a->store;
    int rc = id == BK_PATCH_PENDING ? s->pending(s->self, &file->p, &file->n)
             : runs && s->kept      ? s->kept(s->self, id, &file->p, &file->n)
                                    : s->bytes(s->self, id, &file->p, &file->n);
    if (rc || id == BK_PATCH_PENDING || !s->intact || s->intact(s->self, id))
        return store_failed(a, rc, "the file is gone", why);
    bk_say_text(why, "the file is damaged");
    return BK_RC_MALFORMED;
}

static int decode(bk_active *a, bk_patch_id id, const char *name, bk_span payload,
                  const bk_patch **patch, bk_say *why) {
    bk_loaded *l = find_loaded(a, id);
    if (!l) {
        l = make_room(a);
        int error = bk_patch_parse(payload.p, payload.n, &l->patch);
        if (error) return bk_refusal(name, error, NULL, payload, why);
        l->id = id;
    }
    bk_patch_move(&l->patch, payload.p);
    *patch = &l->patch;
    return BK_RC_OK;
}

/* `admitted`: whether it may be here was asked before. */
static int load(bk_active *a, bk_patch_id id, bool admitted, const bk_patch **patch, bk_say *why) {
    bk_smp_name name;
    bk_span file, payload;
    bk_active_name(a, id, name);
    int rc = read_file(a, id, admitted, &file, why);
    if (rc) return rc;
    if (admitted) {
        int error = bk_gate_reopen(file.p, file.n, &payload);
        if (error) return bk_refusal(name, error, NULL, file, why);
    } else {
        rc = bk_gate_open(a->trust, a->port, name, file.p, file.n, &payload, why);
        if (rc) return rc;
    }
    return decode(a, id, name, payload, patch, why);
}

int bk_active_load(bk_active *a, bk_patch_id id, const bk_patch **patch, bk_say *why) {
    return load(a, id, false, patch, why);
}

/* What runs was let in when it began to run, an upload when all its bytes were there. */
static bool is_admitted(const bk_active *a, bk_patch_id id) {
    return id == BK_PATCH_PENDING || bk_active_holds(a, id);
}

static int load_set(bk_active *a, const bk_patch_set *set, bool admitted, bk_members *m,
                    bk_say *why) {
    int rc = BK_RC_OK;
    m->set = *set;
    for (uint32_t i = 0; i < set->n && !rc; i++)
        rc = load(a, set->ids[i], admitted || is_admitted(a, set->ids[i]), &m->patches[i], why);
    return rc;
}

void bk_active_running(bk_active *a, bk_members *running) {
    sentence ignored;
    bk_session_about about;
    memset(running, 0, sizeof *running);
    running->set = a->set;
    a->session->about(a->session->self, &about);
    if (about.wants_running && load_set(a, &a->set, true, running, begin(&ignored)))
        give_up(a, "the active set is damaged: the device starts anew");
}

/* ---- switching ---------------------------------------------------------------------------- */

int bk_active_check(bk_active *a, const char *name, const bk_patch *patch, bk_say *why) {
    bk_members running;
    bk_active_running(a, &running);
    int error = a->session->check(a->session->self, &running, patch);
    return bk_refusal(name, error, patch, patch->whole, why);
}

/* A set was refused: which of its patches, and why? */
static int blame(bk_active *a, const bk_members *m, int error, bk_say *why) {
    bk_smp_name name = "the set";
    for (uint32_t i = 0; i < m->set.n; i++) {
        bk_active_name(a, m->set.ids[i], name);
        int rc = m->patches[i] ? bk_active_check(a, name, m->patches[i], why) : BK_RC_OK;
        if (rc) return rc;
    }
    return bk_refusal(name, error, NULL, (bk_span){NULL, 0}, why);
}

/* Switch, all or nothing; nothing of the store changes. */
static int switch_to(bk_active *a, const bk_patch_set *wanted, bool admitted, uint64_t *ns,
                     bk_say *why) {
    const bk_device_session *s = a->session;
    bk_members was, now = {.set = *wanted};
    int rc = BK_RC_OK;
    if (!s->ready || !s->ready(s->self, wanted, &a->probes)) {
        rc = load_set(a, wanted, admitted, &now, why);
        a->probes = false;
        for (uint32_t i = 0; i < wanted->n && !rc; i++) a->probes |= now.patches[i]->n_canaries > 0;
    }
    if (rc) return rc;
    bk_active_running(a, &was);
    rc = s->use(s->self, &was, &now, ns, why);
    return rc < 0 ? blame(a, &now, rc, why) : rc;
}

static int apply(bk_active *a, const bk_patch_set *wanted, bool admitted, uint64_t *ns,
                 bk_say *why) {
    a->loading = wanted;
    int rc = switch_to(a, wanted, admitted, ns, why);
    a->loading = NULL;
    if (!rc) a->set = *wanted;
    return rc;
}

/* What the set's own probes find wrong. */
static int ailment(bk_active *a, bk_say *why) {
    bk_session_about about;
    bk_members m;
    a->session->about(a->session->self, &about);
    if (!about.runs || !a->probes) return BK_RC_OK;
    int rc = load_set(a, &a->set, true, &m, why);
    bk_health h;
    bk_health_start(&h, a);
    for (uint32_t i = 0; i < a->set.n && !rc; i++) {
        bk_smp_name name;
        bk_active_name(a, a->set.ids[i], name);
        rc = bk_health_ask(&h, name, m.patches[i], why);
    }
    if (!rc) bk_health_note(&h);
    return rc;
}

/* To a set that ran already. */
static void go_back(bk_active *a, const bk_patch_set *before) {
    sentence why;
    uint64_t ns;
    if (apply(a, before, true, &ns, begin(&why)))
        give_up(a, "the set from before cannot be switched back: the device starts anew");
}

/* Switch and probe; on a failure the set from before is back. */
static int try_set(bk_active *a, const bk_patch_set *wanted, uint64_t *ns, bk_say *why) {
    bk_patch_set before = a->set;
    int rc = apply(a, wanted, false, ns, why);
    if (rc) return rc;
    rc = ailment(a, why);
    if (rc) go_back(a, &before);
    return rc;
}

/* ---- changes ------------------------------------------------------------------------------ */

static const char unrecorded[] = "the set cannot be recorded; the one from before is active";

int bk_active_use(bk_active *a, const bk_patch_set *wanted, uint64_t *ns, bk_say *why) {
    bk_patch_set before = a->set;
    *ns = 0;
    if (same_set(wanted, &before)) return BK_RC_OK;
    int rc = try_set(a, wanted, ns, why);
    if (rc) return rc;
    rc = store_failed(a, a->store->use(a->store->self, wanted, false), unrecorded, why);
    if (rc) go_back(a, &before);
    return rc;
}

static int commit(bk_active *a, const bk_patch *patch, const char *otherwise, bk_patch_id *id,
                  bk_say *why) {
    const bk_device_store *s = a->store;
    int rc = store_failed(a, s->commit(s->self, patch->has_sequence, patch->sequence, id),
                          otherwise, why);
    bk_loaded *l = find_loaded(a, BK_PATCH_PENDING);
    bk_loaded *old = rc ? NULL : find_loaded(a, *id);
    if (l) l->id = rc || old ? 0 : *id;
    if (a->session->forget) a->session->forget(a->session->self, BK_PATCH_PENDING);
    return rc;
}

/* A failed commit ends the upload, and taking its flips back would need its bytes: so the set from
 * before runs while the store changes. */
static int replace(bk_active *a, bk_patch_id old, const bk_patch *patch, bk_say *why) {
    bk_patch_set before = a->set, wanted = a->set;
    bk_patch_id id = 0;
    uint64_t ns;
    bk_patch sequence = *patch;
    rename_in(&wanted, old, BK_PATCH_PENDING);
    int rc = try_set(a, &wanted, &ns, why);
    if (rc) return rc;
    go_back(a, &before);
    rc = commit(a, &sequence, unrecorded, &id, why);
    if (rc) return rc;
    rename_in(&wanted, BK_PATCH_PENDING, id);
    go_back(a, &wanted);
    return BK_RC_OK;
}

int bk_active_store(bk_active *a, const bk_patch *patch, bk_say *why) {
    bk_patch_id id;
    for (uint32_t i = 0; i < a->set.n; i++) {
        bk_smp_name name;
        bk_active_name(a, a->set.ids[i], name);
        if (bk_name_order(name, a->pending) == 0) return replace(a, a->set.ids[i], patch, why);
    }
    return commit(a, patch, "the patch cannot be stored", &id, why);
}

/* ---- at start ----------------------------------------------------------------------------- */

/* Those of a set that fit this device; a sentence about each of the others. */
static bk_patch_set fitting(bk_active *a, const bk_patch_set *wanted) {
    bk_patch_set set = {0};
    for (uint32_t i = 0; i < wanted->n; i++) {
        sentence why, told;
        bk_smp_name name;
        const bk_patch *patch;
        bk_active_name(a, wanted->ids[i], name);
        int rc = bk_active_load(a, wanted->ids[i], &patch, begin(&why));
        if (!rc) rc = bk_active_check(a, name, patch, &why.say);
        if (!rc) {
            set.ids[set.n++] = wanted->ids[i];
            continue;
        }
        bk_say *s = begin(&told);
        bk_say_text(s, name);
        bk_say_text(s, " stays inactive: ");
        bk_say_text(s, why.text);
        note(a, told.text);
    }
    return set;
}

/* One token has to come out. */
static bool speaks(bk_active *a, bk_say *why) {
    const bk_device_session *s = a->session;
    bk_session_about about;
    bk_ticket ticket;
    uint32_t tokens;
    s->about(s->self, &about);
    if (!about.runs || !a->set.n) return true;
    if (s->begin(s->self, "a", 1, 1, true, &ticket, &tokens)) {
        bk_say_text(why, "no token came out");
        return false;
    }
    bk_piece piece;
    do s->poll(s->self, ticket, true, a->piece, a->piece_bytes, &piece, why);
    while (!piece.done);
    return piece.rc == BK_RC_OK;
}

/* Load a set as one that may not be survived; false when it is not healthy. */
static bool started(bk_active *a, const bk_patch_set *set, bool gave_way) {
    const bk_device_store *s = a->store;
    bk_store_sets sets;
    uint64_t ns;
    sentence why, told;
    int rc = BK_RC_OK;
    s->sets(s->self, &sets);
    if (!same_set(set, &sets.active)) rc = s->use(s->self, set, gave_way);
    if (!rc && set->n) rc = s->count_start(s->self);
    note_store(a, rc, "the store takes no changes: this start is not counted");
    if (try_set(a, set, &ns, begin(&why)) || !speaks(a, &why.say)) {
        bk_say *say = begin(&told);
        say_set(a, set, say);
        bk_say_text(say, " does not run: ");
        bk_say_text(say, why.text);
        note(a, told.text);
        return false;
    }
    s->sets(s->self, &sets);
    if (sets.failed_starts)
        note_store(a, s->settle(s->self),
                   "the store takes no changes: the good start is not noted");
    return true;
}

static void note_deadly(bk_active *a, const bk_store_sets *sets) {
    sentence told;
    bk_say *s = begin(&told);
    say_set(a, &sets->active, s);
    bk_say_text(s, " did not survive ");
    bk_say_uint(s, sets->failed_starts);
    bk_say_text(s, " starts: not loaded again");
    note(a, told.text);
}

void bk_active_restore(bk_active *a) {
    bk_store_sets recorded;
    bk_patch_set none = {0};
    a->store->sets(a->store->self, &recorded);
    if (recorded.failed_starts >= MAX_STARTS) {
        note_deadly(a, &recorded);
    } else {
        bk_patch_set set = fitting(a, &recorded.active);
        if (started(a, &set, false)) return;
    }
    if (!same_set(&recorded.previous, &recorded.active)) {
        bk_patch_set set = fitting(a, &recorded.previous);
        if (set.n == recorded.previous.n && started(a, &set, true)) return;
    }
    (void)started(a, &none, true);
}
