/* test_flash_store.c: what the microcontroller's store (firmware/store) promises, on simulated
 * flash: room, wear, uploads, sets, sequence numbers; flash that fails, and flash that holds other
 * things. Power cuts are in test_store_cuts.c. */
#include <stdbool.h>
#include <stddef.h>

#include "bk_flash_ram.h"
#include "bk_store_log.h"
#include "sim_flash.h"
#include "store_model.h"

_Static_assert(sizeof(bk_store) < 2560, "a store's RAM");

static sim flash;
static bk_store store;

static void fresh(uint32_t sectors, uint32_t bytes, uint32_t unit) {
    sim_init(&flash, sectors, bytes, unit, 1);
    CHECK(bk_store_mount(&store, &flash.flash) == BK_RC_OK);
}

static void remount(void) { CHECK(bk_store_mount(&store, &flash.flash) == BK_RC_OK); }

static int push(const char *name, const uint8_t *p, uint32_t n, bk_store_id *id) {
    int rc = bk_store_begin(&store, name, n);
    if (!rc) rc = bk_store_append(&store, p, n);
    return rc ? rc : bk_store_commit(&store, false, 0, id);
}

static int push_numbered(const char *name, uint32_t sequence) {
    int rc = bk_store_begin(&store, name, 1);
    if (!rc) rc = bk_store_append(&store, (const uint8_t *)"x", 1);
    return rc ? rc : bk_store_commit(&store, true, sequence, NULL);
}

static int use(uint32_t n, const bk_store_id *ids) {
    bk_store_set set = {.n = n};
    for (uint32_t i = 0; i < n && i < BK_MAX_ACTIVE; i++) set.ids[i] = ids[i];
    return bk_store_use(&store, &set);
}

/* The listed patch of that name holds these bytes. */
static bool has(const char *name, const void *bytes, uint32_t n) {
    const bk_store_patch *p = bk_store_find(&store, name);
    return p && p->size == n && memcmp(bk_store_bytes(&store, p), bytes, n) == 0;
}

/* ---- uploads ------------------------------------------------------------------------------- */

static void test_uploads(void) {
    static uint8_t bytes[20000];
    uint32_t most = 0;
    fresh(3, 16384, 4);
    most = bk_store_max_bytes(&flash.flash);
    CHECK(most > 12000 && most < 16384);
    for (uint32_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
    CHECK(bk_store_begin(&store, "a", 0) == BK_RC_MALFORMED);
    CHECK(bk_store_begin(&store, "", 5) == BK_RC_BAD_NAME);
    CHECK(bk_store_begin(&store, "abcdefghijklmnopqrstuvwxyz0123456", 5) == BK_RC_BAD_NAME);
    CHECK(bk_store_begin(&store, "a", most + 1) == BK_RC_TOO_LARGE && flash.ops == 0);
    CHECK(bk_store_append(&store, bytes, 1) == BK_RC_BAD_OFFSET);
    CHECK(bk_store_commit(&store, false, 0, NULL) == BK_RC_BAD_OFFSET);

    CHECK(bk_store_begin(&store, "a", 10) == BK_RC_OK);
    CHECK(bk_store_append(&store, bytes, 7) == BK_RC_OK && !bk_store_pending(&store));
    CHECK(bk_store_append(&store, bytes, 4) == BK_RC_BAD_OFFSET);
    CHECK(bk_store_append(&store, bytes + 7, 3) == BK_RC_OK);
    CHECK(memcmp(bk_store_pending(&store), bytes, 10) == 0 && !bk_store_find(&store, "a"));
    remount();
    CHECK(!bk_store_find(&store, "a") && !bk_store_pending(&store));

    bk_store_id first = 0, second = 0;
    CHECK(push("a", bytes, 10, &first) == BK_RC_OK && has("a", bytes, 10));
    CHECK(push("a", bytes, most, &second) == BK_RC_OK && has("a", bytes, most));
    CHECK(first != 0 && second != first && !bk_store_by_id(&store, first));
    CHECK(bk_store_begin(&store, "a", 5) == BK_RC_OK);
    bk_store_abort(&store);
    CHECK(bk_store_append(&store, bytes, 5) == BK_RC_BAD_OFFSET && has("a", bytes, most));
    remount();
    CHECK(has("a", bytes, most) && bk_store_find(&store, "a")->id == second);
}

/* Changes made during an upload may need its sector; the upload is then dropped, never mixed up. */
static void test_displaced_upload(void) {
    fresh(2, 4096, 8);
    CHECK(push("a", (const uint8_t *)"first", 5, NULL) == BK_RC_OK);
    CHECK(bk_store_begin(&store, "b", 6) == BK_RC_OK);
    CHECK(bk_store_append(&store, (const uint8_t *)"secon", 5) == BK_RC_OK);
    for (uint32_t i = 0; i < 100; i++) CHECK(bk_store_count_start(&store) == BK_RC_OK);
    CHECK(bk_store_append(&store, (const uint8_t *)"d", 1) == BK_RC_BAD_OFFSET);
    CHECK(bk_store_commit(&store, false, 0, NULL) == BK_RC_BAD_OFFSET);
    CHECK(has("a", "first", 5) && store.failed_starts == 100 && flash.violations == 0);
    CHECK(push("b", (const uint8_t *)"second", 6, NULL) == BK_RC_OK && has("b", "second", 6));
}

/* ---- sets ---------------------------------------------------------------------------------- */

static void test_rollback_gives_the_very_bytes(void) {
    bk_store_id a1, a2, b1, ids[2];
    fresh(3, 4096, 4);
    CHECK(push("a", (const uint8_t *)"a1", 2, &a1) == BK_RC_OK);
    CHECK(push("b", (const uint8_t *)"b1", 2, &b1) == BK_RC_OK);
    ids[0] = b1;
    ids[1] = a1;
    CHECK(use(2, ids) == BK_RC_OK && bk_store_count_start(&store) == BK_RC_OK);
    CHECK(push("a", (const uint8_t *)"a two", 5, &a2) == BK_RC_OK);
    CHECK(store.active.n == 2 && store.active.ids[0] == b1 && store.active.ids[1] == a2);
    CHECK(store.previous.ids[0] == b1 && store.previous.ids[1] == a1);
    CHECK(store.failed_starts == 0 && has("a", "a two", 5));
    CHECK(!bk_store_by_id(&store, a1)->listed);
    CHECK(bk_store_remove(&store, "b", true) == BK_RC_ACTIVE);
    CHECK(bk_store_use(&store, &store.previous) == BK_RC_OK && has("a", "a1", 2));
    CHECK(use(0, NULL) == BK_RC_OK && bk_store_remove(&store, "a", true) == BK_RC_OK);
    CHECK(!bk_store_find(&store, "a") && bk_store_by_id(&store, a1));
    remount();
    CHECK(bk_store_use(&store, &store.previous) == BK_RC_OK);
    CHECK(has("a", "a1", 2) && store.active.ids[0] == b1 && !bk_store_by_id(&store, a2));
}

static void test_sets_are_checked(void) {
    bk_store_id a1, a2, many[BK_MAX_ACTIVE + 1] = {0};
    fresh(3, 4096, 4);
    CHECK(push("a", (const uint8_t *)"1", 1, &a1) == BK_RC_OK);
    CHECK(use(1, &a1) == BK_RC_OK);
    CHECK(push("a", (const uint8_t *)"2", 1, &a2) == BK_RC_OK);
    uint64_t ops = flash.ops;
    CHECK(use(2, (bk_store_id[]){a1, a2}) == BK_RC_BAD_ARGUMENT);
    CHECK(use(2, (bk_store_id[]){a1, a1}) == BK_RC_BAD_ARGUMENT);
    CHECK(use(1, (bk_store_id[]){a2 + 1}) == BK_RC_NO_SUCH_PATCH);
    CHECK(use(BK_MAX_ACTIVE + 1, many) == BK_RC_LIMIT);
    CHECK(use(1, &a2) == BK_RC_OK); /* it is */
    CHECK(bk_store_settle(&store) == BK_RC_OK);
    CHECK(bk_store_remove(&store, "b", true) == BK_RC_NO_SUCH_PATCH);
    CHECK(flash.ops == ops);
    CHECK(bk_store_give_way(&store, &store.previous) == BK_RC_OK && store.previous.n == 0);
    CHECK(has("a", "1", 1) && !bk_store_by_id(&store, a2));
}

static void test_starts_are_counted(void) {
    bk_store_id a;
    fresh(2, 4096, 4);
    CHECK(push("a", (const uint8_t *)"1", 1, &a) == BK_RC_OK && use(1, &a) == BK_RC_OK);
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK(bk_store_count_start(&store) == BK_RC_OK);
        remount();
        CHECK(store.failed_starts == i);
    }
    CHECK(push("b", (const uint8_t *)"1", 1, NULL) == BK_RC_OK && store.failed_starts == 3);
    CHECK(bk_store_settle(&store) == BK_RC_OK);
    remount();
    CHECK(store.failed_starts == 0);
}

/* ---- sequence numbers ---------------------------------------------------------------------- */

static void test_sequences(void) {
    uint32_t n = 0;
    char name[33] = "abcdefghijklmnopqrstuvwxyz000000";
    fresh(2, 4096, 4);
    CHECK(!bk_store_sequence(&store, "a", &n));
    CHECK(push_numbered("a", 7) == BK_RC_OK && push_numbered("ab", 0xffffffff) == BK_RC_OK);
    CHECK(push_numbered("a", 5) == BK_RC_OK);
    CHECK(bk_store_sequence(&store, "a", &n) && n == 7);
    CHECK(bk_store_remove(&store, "a", false) == BK_RC_OK);
    remount();
    CHECK(bk_store_sequence(&store, "a", &n) && n == 7);
    CHECK(bk_store_sequence(&store, "ab", &n) && n == 0xffffffff);
    CHECK(bk_store_remove(&store, "ab", true) == BK_RC_OK);
    CHECK(!bk_store_sequence(&store, "ab", &n));
    int rc = BK_RC_OK;
    uint32_t names_kept = 0;
    for (; !rc && names_kept < 100; names_kept++) {
        name[31] = (char)('a' + names_kept % 26);
        name[30] = (char)('a' + names_kept / 26);
        rc = push_numbered(name, names_kept);
        if (!rc) CHECK(bk_store_remove(&store, name, false) == BK_RC_OK);
    }
    CHECK(rc == BK_RC_NO_SPACE && names_kept > 6 && !bk_store_find(&store, name));
    CHECK(push("c", (const uint8_t *)"1", 1, NULL) == BK_RC_OK);
    CHECK(bk_store_sequence(&store, "a", &n) && n == 7);
    remount();
    CHECK(bk_store_sequence(&store, "a", &n) && n == 7 && has("c", "1", 1));
}

/* ---- room and wear ------------------------------------------------------------------------- */

static uint8_t filling[128 * 1024];

/* Push patches of `size` until no more fit; returns how many. */
static uint32_t fill_up(uint32_t size) {
    char name[8];
    uint32_t n = 0;
    for (;; n++) {
        snprintf(name, sizeof name, "p%u", n);
        fill(filling, size, n, size);
        uint64_t ops = flash.ops;
        int rc = push(name, filling, size, NULL);
        if (rc) {
            CHECK(rc == BK_RC_NO_SPACE && flash.ops == ops);
            return n;
        }
    }
}

static void test_full(uint32_t sectors, uint32_t bytes, uint32_t unit, uint32_t size) {
    bk_store_id first;
    fresh(sectors, bytes, unit);
    uint32_t n = fill_up(size), most = bk_store_max_bytes(&flash.flash);
    uint32_t room = (sectors - 1) * (most / (size + 64)) * 3 / 4;
    CHECK(n >= (room < BK_STORE_MAX_PATCHES ? room : BK_STORE_MAX_PATCHES));
    CHECK(n >= sectors - 1 && n <= BK_STORE_MAX_PATCHES);
    /* A store that is full changes its sets, and its mind, for ever. */
    first = bk_store_find(&store, "p0")->id;
    for (uint32_t i = 0; i < 300; i++) {
        CHECK(use(i % 2, &first) == BK_RC_OK);
        CHECK(bk_store_count_start(&store) == BK_RC_OK);
        if (i % 50 == 0) remount();
    }
    CHECK(use(0, NULL) == BK_RC_OK && push("new", filling, size, NULL) == BK_RC_NO_SPACE);
    CHECK(bk_store_remove(&store, "p0", true) == BK_RC_OK);
    if (n > 1) { /* the previous set has p0 until another takes its place */
        CHECK(push("new", filling, size, NULL) == BK_RC_NO_SPACE);
        first = bk_store_find(&store, "p1")->id;
        CHECK(use(1, &first) == BK_RC_OK && push("new", filling, size, NULL) == BK_RC_OK);
        CHECK(push("more", filling, size, NULL) == BK_RC_NO_SPACE && has("new", filling, size));
    }
    CHECK(flash.violations == 0);
}

/* No sector is erased more often than another, patches that never change notwithstanding. */
static void test_wear(uint32_t sectors, uint32_t bytes, uint32_t unit) {
    bk_store_id ids[2];
    uint32_t least = UINT32_MAX, most = 0;
    fresh(sectors, bytes, unit);
    for (uint32_t i = 0; i < 6; i++) {
        char name[] = {'s', (char)('0' + i), 0};
        CHECK(push(name, (const uint8_t *)name, 2, NULL) == BK_RC_OK);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        uint8_t data[300] = {(uint8_t)i};
        CHECK(push("a", data, 100 + i % 200, &ids[i % 2]) == BK_RC_OK);
        CHECK(use(i % 3 != 0, &ids[i % 2]) == BK_RC_OK);
        if (i % 7 == 0) remount();
    }
    for (uint32_t i = 0; i < sectors; i++) {
        if (flash.m.erases[i] < least) least = flash.m.erases[i];
        if (flash.m.erases[i] > most) most = flash.m.erases[i];
    }
    CHECK(most - least <= 1 && flash.violations == 0 && has("s3", "s3", 2));
    CHECK(store.generation <= sectors * most && store.generation + sectors > sectors * most);
    /* About what was written, and never twice that: 32 sets of 350 bytes and two states. */
    CHECK((uint64_t)store.generation * bytes < 2000ull * (2 * 300 + 4 * 200 + 16 * unit));
}

/* Starting costs no erase of its own, as long as no power is cut. */
static void test_starts_are_cheap(void) {
    bk_store_id a;
    fresh(3, 16384, 4);
    CHECK(push("a", (const uint8_t *)"1", 1, &a) == BK_RC_OK && use(1, &a) == BK_RC_OK);
    for (uint32_t i = 0; i < 1000; i++) {
        remount();
        CHECK(bk_store_count_start(&store) == BK_RC_OK && bk_store_settle(&store) == BK_RC_OK);
    }
    CHECK(store.generation <= 1 + 1000 * 200 / 16384);
    uint64_t ops = flash.ops;
    for (uint32_t i = 0; i < 10; i++) remount();
    CHECK(flash.ops == ops);
}

/* ---- flash that fails ---------------------------------------------------------------------- */

/* Every operation of a life fails once, saying so: the change is made or not, and the next is. */
static void test_failing_operations(void) {
    for (uint32_t at = 0; at < 2500; at += 3) {
        model m;
        model_init(&m);
        sim_init(&flash, 3, 4096, 8, at + 1);
        remount();
        flash.fail_at = at;
        for (uint32_t i = 0; i < 30; i++) {
            step t = random_step(&flash, i);
            model after = m;
            int expected = model_step(&after, &t), rc = store_step(&store, &t);
            bool displaced = t.verb == BUSY_PUSH && rc == BK_RC_BAD_OFFSET;
            CHECK(rc == expected || rc == BK_RC_IO || rc == BK_RC_NO_SPACE || displaced);
            if (!rc) m = after;
            else if (t.verb == BUSY_PUSH && store.failed_starts != m.starts) m.starts++;
            CHECK(agrees(&store, &m));
            if (i % 8 == 7) remount();
        }
        CHECK(agrees(&store, &m) && flash.violations == 0);
        if (check_failures) return;
    }
}

static int dead_erase(void *self, uint32_t sector) { return (void)self, (void)sector, -1; }
static int dead_program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    return (void)self, (void)at, (void)p, (void)n, -1;
}

static void test_dead_flash_is_still_read(void) {
    bk_store_id a;
    fresh(3, 4096, 4);
    CHECK(push("a", (const uint8_t *)"one", 3, &a) == BK_RC_OK && use(1, &a) == BK_RC_OK);
    flash.flash.erase = dead_erase;
    flash.flash.program = dead_program;
    CHECK(use(0, NULL) == BK_RC_IO && store.read_only && store.active.n == 1);
    CHECK(use(0, NULL) == BK_RC_READ_ONLY && bk_store_begin(&store, "b", 1) == BK_RC_READ_ONLY);
    CHECK(bk_store_count_start(&store) == BK_RC_READ_ONLY);
    CHECK(bk_store_remove(&store, "a", true) == BK_RC_READ_ONLY);
    remount();
    CHECK(has("a", "one", 3) && store.active.n == 1);
    flash.flash.erase = sim_erase;
    flash.flash.program = sim_program;
    CHECK(use(0, NULL) == BK_RC_OK && store.active.n == 0);
}

/* ---- flash that holds other things --------------------------------------------------------- */

static void test_unusable_geometry(void) {
    static const bk_flash bad[] = {
        {.sector_bytes = 4096, .n_sectors = 1, .unit = 4},
        {.sector_bytes = 4096, .n_sectors = 17, .unit = 4},
        {.sector_bytes = 4096, .n_sectors = 2, .unit = 0},
        {.sector_bytes = 4096, .n_sectors = 2, .unit = 12},
        {.sector_bytes = 4096, .n_sectors = 2, .unit = 64},
        {.sector_bytes = 2048, .n_sectors = 2, .unit = 4},
        {.sector_bytes = 5000, .n_sectors = 2, .unit = 4},
    };
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(bk_store_mount(&store, &bad[i]) == BK_RC_IO && store.read_only);
        CHECK(bk_store_begin(&store, "a", 1) == BK_RC_READ_ONLY && store.n_patches == 0);
    }
}

static void test_one_bad_patch(void) {
    bk_store_id a, b, ids[2];
    fresh(3, 4096, 4);
    CHECK(push("a", (const uint8_t *)"aaaa", 4, &a) == BK_RC_OK);
    CHECK(push("b", (const uint8_t *)"bbbb", 4, &b) == BK_RC_OK);
    ids[0] = a;
    ids[1] = b;
    CHECK(use(2, ids) == BK_RC_OK);
    flash.m.mem[bk_store_find(&store, "a")->at + 2] ^= 4;
    CHECK(!bk_store_intact(&store, bk_store_find(&store, "a")));
    CHECK(bk_store_intact(&store, bk_store_find(&store, "b")));
    for (uint32_t i = 0; i < 60; i++) CHECK(bk_store_count_start(&store) == BK_RC_OK);
    remount(); /* moved meanwhile, and not taken for good by that */
    CHECK(store.n_damaged == 1 && !bk_store_find(&store, "a") && has("b", "bbbb", 4));
    CHECK(store.active.n == 2 && store.active.ids[0] == a && !bk_store_by_id(&store, a));
    CHECK(use(1, &b) == BK_RC_OK && bk_store_use(&store, &store.previous) == BK_RC_NO_SUCH_PATCH);
    CHECK(push("a", (const uint8_t *)"new", 3, NULL) == BK_RC_OK && has("a", "new", 3));
    remount();
    CHECK(store.n_damaged == 0 && has("a", "new", 3) && has("b", "bbbb", 4));
}

/* A record counts only in the place and the sector that it was written to. */
static void test_heads_are_bound(void) {
    bk_log_head head = {BK_LOG_STATE, 1, 40}, read;
    fresh(3, 4096, 4);
    CHECK(bk_store_count_start(&store) == BK_RC_OK && bk_log_erase(&flash.flash, 2) == 0);
    CHECK(bk_log_write_head(&flash.flash, 2 * 4096 + 64, 9, head) == BK_RC_OK);
    CHECK(bk_log_read_head(&flash.flash, 2 * 4096 + 64, 9, &read) && read.length == 40);
    CHECK(!bk_log_read_head(&flash.flash, 2 * 4096 + 64, 10, &read));
    memcpy(flash.m.mem + 2 * 4096 + 128, flash.m.mem + 2 * 4096 + 64, 16);
    CHECK(!bk_log_read_head(&flash.flash, 2 * 4096 + 128, 9, &read));
}

static void scribble(uint32_t bytes) {
    uint32_t at = sim_random(&flash) % bytes, n = 1u << sim_random(&flash) % 12;
    switch (sim_random(&flash) % 4) {
    case 0: flash.m.mem[at] ^= (uint8_t)(1u << sim_random(&flash) % 8); break;
    case 1: sim_noise(&flash, flash.m.mem + at, n < bytes - at ? n : bytes - at); break;
    case 2: memset(flash.m.mem + at, 0xff, n < bytes - at ? n : bytes - at); break;
    default: {
        uint32_t from = sim_random(&flash) % bytes, most = bytes - (at > from ? at : from);
        memmove(flash.m.mem + at, flash.m.mem + from, n < most ? n : most);
    }
    }
}

/* Whatever flash holds, mount returns, and then the store works or is read-only. */
static void test_scribbled_flash(uint32_t rounds) {
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t unit = 1u << round % 6, sectors = 2 + round % 4, bytes = sectors * 4096;
        sim_init(&flash, sectors, 4096, unit, round + 1);
        remount();
        for (uint32_t i = 0; i < 12; i++) {
            step t = random_step(&flash, i);
            (void)store_step(&store, &t);
        }
        for (uint32_t i = sim_random(&flash) % 6; i < 6; i++) scribble(bytes);
        /* In memory that ends where the flash does, so that the sanitizer sees a read beyond. */
        uint8_t *exact = malloc(bytes);
        bk_flash_ram ram;
        memcpy(exact, flash.m.mem, bytes);
        bk_flash_ram_init(&ram, exact, 4096, sectors, unit);
        int rc = bk_store_mount(&store, &ram.flash);
        CHECK(rc == BK_RC_OK || store.read_only);
        rc = push("probe", (const uint8_t *)"probe", 5, NULL);
        if (rc == BK_RC_IO) rc = push("probe", (const uint8_t *)"probe", 5, NULL);
        CHECK(rc == BK_RC_OK || rc == BK_RC_NO_SPACE || rc == BK_RC_READ_ONLY);
        if (!rc) CHECK(bk_store_mount(&store, &ram.flash) == BK_RC_OK && has("probe", "probe", 5));
        free(exact);
    }
}

static void test_ram_is_as_strict_as_flash(void) {
    static uint8_t bytes[2 * 4096];
    bk_flash_ram ram;
    bk_flash_ram_init(&ram, bytes, 4096, 2, 4);
    const bk_flash *f = &ram.flash;
    CHECK(f->program(f->self, 0, (const uint8_t *)"four", 4) != 0);
    CHECK(f->erase(f->self, 0) == 0 && f->erase(f->self, 2) != 0 && bytes[4096] == 0);
    CHECK(f->program(f->self, 4, (const uint8_t *)"four", 4) == 0 && bytes[4] == 'f');
    CHECK(f->program(f->self, 4, (const uint8_t *)"four", 4) != 0);
    CHECK(f->program(f->self, 2, (const uint8_t *)"four", 4) != 0);
    CHECK(f->program(f->self, 8192, (const uint8_t *)"four", 4) != 0);
}

int main(int argc, char **argv) {
    test_uploads();
    test_displaced_upload();
    test_rollback_gives_the_very_bytes();
    test_sets_are_checked();
    test_starts_are_counted();
    test_sequences();
    test_full(2, 4096, 4, 300);
    test_full(3, 16384, 4, 2000);
    test_full(3, 16384, 4, 700);
    test_full(16, 4096, 32, 100);
    test_full(4, 4096, 8, 1100);
    test_full(2, 131072, 32, 40000);
    test_wear(2, 4096, 4);
    test_wear(3, 16384, 4);
    test_wear(16, 4096, 32);
    test_starts_are_cheap();
    test_failing_operations();
    test_dead_flash_is_still_read();
    test_unusable_geometry();
    test_one_bad_patch();
    test_heads_are_bound();
    test_scribbled_flash(argc > 1 ? (uint32_t)atoi(argv[1]) : 3000);
    test_ram_is_as_strict_as_flash();
    return CHECK_RESULT();
}
