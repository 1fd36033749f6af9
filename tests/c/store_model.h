/* store_model.h: what a store promises, as a few arrays; and random changes to one.
 *
 * A patch's bytes follow from its name and its version, so that a store can be compared with the
 * model without remembering what was pushed.
 */
#ifndef BK_TEST_STORE_MODEL_H
#define BK_TEST_STORE_MODEL_H

#include "bk_store.h"
#include "sim_flash.h"

enum { NAMES = 6, SET_MAX = 3 };

static const char *const names[NAMES] = {
    "a", "arith", "units.2", "home-control", "abcdefghijklmnopqrstuvwxyz012345", "x_1"};

typedef struct {
    uint32_t n;
    struct {
        uint32_t name, version;
    } of[BK_MAX_ACTIVE];
} model_set;

typedef struct {
    uint32_t listed[NAMES];   /* version; 0: none */
    int64_t sequence[NAMES];  /* -1: none */
    model_set active, previous;
    uint32_t starts;
} model;

typedef enum {
    PUSH,
    BREAK_OFF,
    USE,
    GIVE_WAY,
    ROLLBACK,
    OFF,
    REMOVE,
    START,
    SETTLE,
    BUSY_PUSH,
    N_VERBS
} verb;

typedef struct {
    verb verb;
    uint32_t name, version, size;
    bool flag;             /* PUSH: with a sequence number; REMOVE: forget; BREAK_OFF: say so */
    uint32_t n, members[SET_MAX];
} step;

static uint32_t size_of(const sim *f, uint32_t name, uint32_t version) {
    uint32_t most = bk_store_max_bytes(&f->flash);
    uint32_t range = most / 4 < 700 ? most / 4 : 700;
    return version % 16 == 7 ? most : 1 + (name * 7919u + version * 104729u) % range;
}

static uint32_t sequence_of(uint32_t version) { return version * 37 % 101; }

static void fill(uint8_t *p, uint32_t n, uint32_t name, uint32_t version) {
    uint32_t x = name * 0x9e3779b9u + version * 0x85ebca6bu + 1;
    for (uint32_t i = 0; i < n; i++, x = x * 1664525u + 1013904223u) p[i] = (uint8_t)(x >> 24);
    for (uint32_t i = 0; i < 8 && i < n; i++)
        p[i] = (uint8_t)((i < 4 ? name : version) >> 8 * (i % 4));
}

static void model_init(model *m) {
    memset(m, 0, sizeof *m);
    for (uint32_t i = 0; i < NAMES; i++) m->sequence[i] = -1;
}

static bool sets_equal(const model_set *a, const model_set *b) {
    if (a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->of[i].name != b->of[i].name || a->of[i].version != b->of[i].version) return false;
    return true;
}

static bool in_model_set(const model_set *set, uint32_t name) {
    for (uint32_t i = 0; i < set->n; i++)
        if (set->of[i].name == name) return true;
    return false;
}

static void model_switch(model *m, const model_set *wanted, bool give_way) {
    model_set set = *wanted;
    if (!give_way && sets_equal(&set, &m->active)) return;
    m->previous = m->active;
    if (give_way) m->previous.n = 0;
    m->active = set;
    m->starts = 0;
    for (uint32_t i = 0; i < set.n; i++) m->listed[set.of[i].name] = set.of[i].version;
}

static void model_push(model *m, const step *s) {
    if (in_model_set(&m->active, s->name)) {
        m->previous = m->active;
        for (uint32_t i = 0; i < m->active.n; i++)
            if (m->active.of[i].name == s->name) m->active.of[i].version = s->version;
        m->starts = 0;
    }
    m->listed[s->name] = s->version;
    int64_t sequence = sequence_of(s->version);
    if (s->flag && sequence > m->sequence[s->name]) m->sequence[s->name] = sequence;
}

static bool members_of(const model *m, const step *s, model_set *set) {
    set->n = s->n;
    for (uint32_t i = 0; i < s->n; i++) {
        set->of[i].name = s->members[i];
        set->of[i].version = m->listed[s->members[i]];
        if (!m->listed[s->members[i]]) return false;
    }
    return true;
}

/* The state after a step, and what has to be answered when the flash has room. */
static int model_step(model *m, const step *s) {
    model_set set = {0};
    switch (s->verb) {
    case PUSH: model_push(m, s); return BK_RC_OK;
    case BUSY_PUSH:
        m->starts++;
        model_push(m, s);
        return BK_RC_OK;
    case USE:
    case GIVE_WAY:
        if (!members_of(m, s, &set)) return BK_RC_NO_SUCH_PATCH;
        model_switch(m, &set, s->verb == GIVE_WAY);
        return BK_RC_OK;
    case ROLLBACK: model_switch(m, &m->previous, false); return BK_RC_OK;
    case OFF: model_switch(m, &set, false); return BK_RC_OK;
    case REMOVE:
        if (!m->listed[s->name]) return BK_RC_NO_SUCH_PATCH;
        if (in_model_set(&m->active, s->name)) return BK_RC_ACTIVE;
        m->listed[s->name] = 0;
        if (s->flag) m->sequence[s->name] = -1;
        return BK_RC_OK;
    case START: m->starts++; return BK_RC_OK;
    case SETTLE: m->starts = 0; return BK_RC_OK;
    default: return BK_RC_OK;
    }
}

/* ---- the same on a store ------------------------------------------------------------------- */

/* Up to `until` bytes, in pieces. */
static int append(bk_store *s, const step *t, const uint8_t *bytes, uint32_t from, uint32_t until) {
    int rc = BK_RC_OK;
    for (uint32_t i = t->version; from < until && !rc; i++) {
        uint32_t n = until - from, most = 1 + i * 101u % 200;
        if (n > most) n = most;
        rc = bk_store_append(s, bytes + from, n);
        from += n;
    }
    return rc;
}

static int upload(bk_store *s, const step *t) {
    static uint8_t bytes[128 * 1024];
    uint32_t middle = t->size / 2;
    int rc = bk_store_begin(s, names[t->name], t->size);
    fill(bytes, t->size, t->name, t->version);
    if (!rc) rc = append(s, t, bytes, 0, middle);
    if (rc || t->verb == BREAK_OFF) return rc;
    CHECK(!bk_store_pending(s));
    if (t->verb == BUSY_PUSH) rc = bk_store_count_start(s);
    if (!rc) rc = append(s, t, bytes, middle, t->size);
    if (!rc) CHECK(memcmp(bk_store_pending(s), bytes, t->size) == 0);
    return rc;
}

static bk_store_set set_of(const bk_store *s, const step *t, bool *there) {
    bk_store_set set = {.n = t->n};
    *there = true;
    for (uint32_t i = 0; i < t->n; i++) {
        const bk_store_patch *p = bk_store_find(s, names[t->members[i]]);
        *there = *there && p;
        set.ids[i] = p ? p->id : 0;
    }
    return set;
}

static int store_step(bk_store *s, const step *t) {
    bool there;
    int rc;
    bk_store_set set = set_of(s, t, &there), none = {0};
    switch (t->verb) {
    case PUSH:
    case BUSY_PUSH:
        rc = upload(s, t);
        return rc ? rc : bk_store_commit(s, t->flag, sequence_of(t->version), NULL);
    case BREAK_OFF:
        rc = upload(s, t);
        if (t->flag) bk_store_abort(s);
        return rc;
    case USE: return bk_store_use(s, &set);
    case GIVE_WAY: return bk_store_give_way(s, &set);
    case ROLLBACK: return bk_store_use(s, &s->previous);
    case OFF: return bk_store_use(s, &none);
    case REMOVE: return bk_store_remove(s, names[t->name], t->flag);
    case START: return bk_store_count_start(s);
    default: return bk_store_settle(s);
    }
}

static bool holds(const bk_store *s, const bk_store_patch *p, uint32_t name, uint32_t version) {
    static uint8_t bytes[128 * 1024];
    if (!p || strcmp(p->name, names[name])) return false;
    if (p->size != size_of(s->flash->self, name, version)) return false;
    fill(bytes, p->size, name, version);
    return memcmp(bytes, bk_store_bytes(s, p), p->size) == 0 && bk_store_intact(s, p);
}

static bool set_holds(const bk_store *s, const bk_store_set *set, const model_set *m) {
    if (set->n != m->n) return false;
    for (uint32_t i = 0; i < m->n; i++)
        if (!holds(s, bk_store_by_id(s, set->ids[i]), m->of[i].name, m->of[i].version))
            return false;
    return true;
}

/* Is the store exactly what the model says? */
static bool agrees(const bk_store *s, const model *m) {
    uint32_t n = 0, listed = 0, sequence;
    for (uint32_t i = 0; i < NAMES; i++) {
        bool has = bk_store_sequence(s, names[i], &sequence);
        if (has != (m->sequence[i] >= 0) || (has && sequence != m->sequence[i])) return false;
        if (!m->listed[i]) continue;
        n++;
        if (!holds(s, bk_store_find(s, names[i]), i, m->listed[i])) return false;
    }
    for (uint32_t i = 0; i < s->n_patches; i++) listed += s->patches[i].listed;
    return n == listed && set_holds(s, &s->active, &m->active) &&
           set_holds(s, &s->previous, &m->previous) && s->failed_starts == m->starts &&
           s->n_damaged == 0 && !s->read_only;
}

static step random_step(sim *f, uint32_t number) {
    static const verb weights[] = {PUSH,   PUSH,   PUSH,     PUSH,     BREAK_OFF, USE,
                                   USE,    USE,    GIVE_WAY, ROLLBACK, ROLLBACK,  OFF,
                                   REMOVE, REMOVE, START,    SETTLE,   BUSY_PUSH};
    step s = {.verb = weights[sim_random(f) % (sizeof weights / sizeof *weights)]};
    s.name = sim_random(f) % NAMES;
    s.version = number + 1;
    s.size = size_of(f, s.name, s.version);
    s.flag = sim_random(f) % 2;
    if (s.verb != USE && s.verb != GIVE_WAY) return s;
    s.n = sim_random(f) % (SET_MAX + 1);
    for (uint32_t i = 0, first = sim_random(f); i < s.n; i++) s.members[i] = (first + i) % NAMES;
    return s;
}

#endif
