/* test_store_cuts.c: the microcontroller's store (firmware/store), its power cut everywhere.
 *
 *   test_store_cuts                 the tests
 *   test_store_cuts SEED STEPS      a random life of so many steps on every geometry, cut at every
 *                                   operation of every step; says how many cuts that were
 */
#include <stdbool.h>
#include <stddef.h>

#include "sim_flash.h"
#include "store_model.h"

typedef struct {
    uint32_t sectors, bytes, unit;
} geometry;

static sim flash;
static bk_store store;

/* ---- cuts everywhere ----------------------------------------------------------------------- */

static uint64_t cuts, restarts, refused, weak_met;

typedef struct {
    model states[3];
    uint32_t n;
} allowed;

/* Start as after a power cut. The state found is one of those allowed, and stays it. */
static model restart(const allowed *a) {
    for (uint32_t again = 0; again < 2; again++) {
        restarts++;
        sim_restart(&flash);
        CHECK(bk_store_mount(&store, &flash.flash) == BK_RC_OK);
    }
    for (uint32_t i = 0; i < a->n; i++)
        if (agrees(&store, &a->states[i])) return a->states[i];
    CHECK(!"a state that is allowed");
    return a->states[0];
}

/* Mount, if so told, and take a step, if there is one, with a cut after `at` operations; false when
 * they do not take so many. */
static bool cut_at(bool mount, const step *t, uint32_t at) {
    if (setjmp(flash.cut)) {
        cuts++;
        return true;
    }
    flash.left = at;
    if (mount) CHECK(bk_store_mount(&store, &flash.flash) == BK_RC_OK);
    if (t) (void)store_step(&store, t);
    flash.left = -1;
    return false;
}

static allowed states_of(const model *before, const step *t, int rc) {
    allowed a = {{*before, *before, *before}, 1};
    if (rc) return a;
    model_step(&a.states[1], t);
    a.n = 2;
    if (t->verb == BUSY_PUSH) a.states[a.n++].starts++;
    return a;
}

/* After a cut: cut again a few times; then take the step, unless it has happened. Returns what
 * the store then holds. */
static model recover(const allowed *a, const step *t, int rc) {
    const uint64_t met = flash.weak_met;
    for (uint32_t more = sim_random(&flash) % 3; more > 0; more--) {
        (void)restart(a);
        bool happened = !agrees(&store, &a->states[0]);
        if (!cut_at(true, NULL, sim_random(&flash) % 20) && !happened)
            (void)cut_at(true, t, sim_random(&flash) % 60);
    }
    model found = restart(a);
    if (agrees(&store, &a->states[0])) {
        int got = store_step(&store, t);
        if (got == BK_RC_IO && met != flash.weak_met) got = store_step(&store, t);
        CHECK(got == rc);
        if (!rc) model_step(&found, t);
        CHECK(agrees(&store, &found));
    }
    return restart(&(allowed){{found}, 1});
}

/* One step: cut at every operation, each from the same start; then done. Returns its answer. */
static int everywhere(model *m, const step *t, uint32_t stride) {
    static sim_medium medium;
    const bk_store before = store;
    const uint64_t ops = flash.ops;
    sim_copy(&flash, &medium, &flash.m);
    int rc = store_step(&store, t);
    const uint32_t n = (uint32_t)(flash.ops - ops);
    const allowed a = states_of(m, t, rc);
    model last = *m;
    for (uint32_t at = sim_random(&flash) % stride; at < n; at += stride) {
        sim_copy(&flash, &flash.m, &medium);
        store = before;
        CHECK(cut_at(false, t, at));
        last = recover(&a, t, rc);
        if (check_failures) return rc;
    }
    if (n > stride && sim_random(&flash) % 2) { /* go on from what the last cut left */
        *m = last;
    } else {
        sim_copy(&flash, &flash.m, &medium);
        store = before;
        CHECK(store_step(&store, t) == rc);
        if (!rc) model_step(m, t);
    }
    CHECK(agrees(&store, m));
    return rc;
}

static uint32_t live_bytes(void) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < store.n_patches; i++) n += store.patches[i].size;
    return n;
}

/* Only a store that is full may refuse what the model does. */
static void judge(const model *m, const step *t, int rc) {
    model after = *m;
    int expected = model_step(&after, t);
    if (rc == expected) return;
    refused++;
    CHECK(rc == BK_RC_NO_SPACE && t->verb != REMOVE && t->verb != OFF && t->verb != USE);
    CHECK(live_bytes() + t->size >
          (flash.flash.n_sectors - 1) * bk_store_max_bytes(&flash.flash) / 2);
}

static void life(geometry g, uint64_t seed, uint32_t steps, uint32_t stride) {
    model m;
    model_init(&m);
    sim_init(&flash, g.sectors, g.bytes, g.unit, seed);
    CHECK(bk_store_mount(&store, &flash.flash) == BK_RC_OK);
    for (uint32_t i = 0; i < steps && !check_failures; i++) {
        step t = random_step(&flash, i);
        const model before = m;
        const bool whole = sim_random(&flash) % 4;
        judge(&before, &t, everywhere(&m, &t, stride));
        if (!whole) restart(&(allowed){{m}, 1});
    }
    CHECK(flash.violations == 0);
    weak_met += flash.weak_met;
    if (check_failures)
        fprintf(stderr, "life %u x %u, unit %u, seed %llu\n", g.sectors, g.bytes, g.unit,
                (unsigned long long)seed);
}

static const struct {
    geometry of;
    uint32_t stride, stride_by_hand;
} places[] = {
    {{2, 4096, 1}, 6, 1},  {{3, 4096, 4}, 1, 1},    {{4, 4096, 32}, 1, 1},
    {{2, 8192, 8}, 4, 1},  {{3, 16384, 4}, 20, 1},  {{5, 4096, 16}, 1, 1},
    {{16, 4096, 2}, 9, 1}, {{3, 32768, 32}, 12, 2}, {{2, 131072, 32}, 400, 100},
};
enum { PLACES = sizeof places / sizeof *places };

/* A cut at the first unit of a record: what it left weak is not programmed again. Only a second
 * cut can hide a unit so. */
static void hides_no_unit(geometry g, uint64_t seed) {
    const step start = {.verb = START};
    sim_init(&flash, g.sectors, g.bytes, g.unit, seed);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(bk_store_mount(&store, &flash.flash) == BK_RC_OK);
        CHECK(bk_store_count_start(&store) == BK_RC_OK);
    }
    CHECK(cut_at(false, &start, 0));
    sim_restart(&flash);
    CHECK(bk_store_mount(&store, &flash.flash) == BK_RC_OK);
    CHECK(bk_store_count_start(&store) == BK_RC_OK && flash.weak_met == 0);
}

static void report(void) {
    printf("%llu cuts, %llu restarts, %llu steps refused for room, %llu weak units met again\n",
           (unsigned long long)cuts, (unsigned long long)restarts, (unsigned long long)refused,
           (unsigned long long)weak_met);
}

static void test_cuts(void) {
    for (uint32_t i = 0; i < PLACES; i++) life(places[i].of, i + 1, 60, places[i].stride);
    CHECK(cuts > 15000 && refused > 0 && weak_met > 0);
}

int main(int argc, char **argv) {
    if (argc > 2) {
        uint64_t seed = strtoull(argv[1], NULL, 10);
        for (uint32_t i = 0; i < PLACES; i++)
            life(places[i].of, seed, (uint32_t)atoi(argv[2]), places[i].stride_by_hand);
    } else {
        for (uint32_t i = 0; i < PLACES * 40; i++) hides_no_unit(places[i % PLACES].of, i + 1);
        test_cuts();
    }
    report();
    return CHECK_RESULT();
}
