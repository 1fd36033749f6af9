/* sim_flash.h: flash whose power can be cut at any erase and at any unit that is programmed.
 *
 * It enforces what real flash demands: nothing is programmed twice between two erases, nothing
 * into a sector whose erase did not end. What a cut interrupts is left untouched, done, as random
 * bytes, or weak: then it reads otherwise after every restart.
 */
#ifndef BK_TEST_SIM_FLASH_H
#define BK_TEST_SIM_FLASH_H

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "bk_flash.h"
#include "check.h"

enum {
    SIM_ERASED = 0,
    SIM_PROGRAMMED = 1,
    SIM_WEAK = 2,
    SIM_BYTES_MAX = 512 * 1024,
    SIM_WEAK_MAX = 8
};

typedef struct {
    bool there;
    uint32_t at;
    uint8_t wanted[32]; /* what it was to hold */
} sim_weak;

typedef struct {
    uint32_t erases[16];
    bool torn[16];        /* sectors whose erase was interrupted */
    sim_weak weak[SIM_WEAK_MAX];
    uint32_t weak_n;      /* so many there were; older ones stay as they last read */
    uint8_t mem[SIM_BYTES_MAX];
    uint8_t used[SIM_BYTES_MAX]; /* [bytes / unit] */
} sim_medium;

typedef struct {
    bk_flash flash;
    sim_medium m;
    uint64_t rng, ops;     /* erases and units programmed */
    int64_t left;          /* operations until the cut; -1: none */
    int64_t fail_at;       /* operations until one fails and says so; -1: none */
    uint32_t violations, weak_met;
    jmp_buf cut;
} sim;

static uint32_t sim_random(sim *f) {
    f->rng ^= f->rng << 13;
    f->rng ^= f->rng >> 7;
    f->rng ^= f->rng << 17;
    return (uint32_t)(f->rng >> 16);
}

static void sim_noise(sim *f, uint8_t *p, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) p[i] = (uint8_t)sim_random(f);
}

static bool sim_fails(sim *f) {
    f->ops++;
    if (f->fail_at < 0) return false;
    return f->fail_at-- == 0;
}

static bool sim_blank(const uint8_t *p, uint32_t n) {
    while (n > 0 && p[n - 1] == 0xff) n--;
    return n == 0;
}

/* How an interrupted unit or sector reads now: as before, as it was to be, or neither. */
static void sim_waver(sim *f, uint8_t *p, const uint8_t *wanted, uint32_t n) {
    switch (sim_random(f) % 3) {
    case 0: memset(p, 0xff, n); break;
    case 1: memcpy(p, wanted, n); break;
    default: sim_noise(f, p, n);
    }
}

static void sim_cut_program(sim *f, uint32_t at, const uint8_t *p) {
    uint32_t unit = f->flash.unit;
    uint8_t *used = &f->m.used[at / unit];
    uint32_t fate = sim_random(f) % 8;
    switch (*used == SIM_WEAK ? 7 : fate) {
    case 0: break;
    case 1:
        memcpy(f->m.mem + at, p, unit);
        *used = SIM_PROGRAMMED;
        break;
    case 2:
        sim_noise(f, f->m.mem + at, unit);
        *used = sim_blank(f->m.mem + at, unit) ? SIM_WEAK : SIM_PROGRAMMED;
        break;
    default: {
        sim_weak *weak = &f->m.weak[f->m.weak_n++ % SIM_WEAK_MAX];
        weak->there = true;
        weak->at = at;
        memcpy(weak->wanted, p, unit);
        *used = SIM_WEAK;
    }
    }
}

/* Units in from..to are weak no more. */
static void sim_firm(sim *f, uint32_t from, uint32_t to) {
    for (uint32_t i = 0; i < SIM_WEAK_MAX; i++)
        if (f->m.weak[i].at >= from && f->m.weak[i].at < to) f->m.weak[i].there = false;
}

static int sim_program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    sim *f = self;
    uint32_t unit = f->flash.unit;
    if (n == 0 || at % unit || n % unit || at + n > f->flash.n_sectors * f->flash.sector_bytes)
        f->violations++;
    for (; n; at += unit, p += unit, n -= unit) {
        uint8_t *used = &f->m.used[at / unit];
        if (*used == SIM_PROGRAMMED || f->m.torn[at / f->flash.sector_bytes]) f->violations++;
        if (f->left >= 0 && f->left-- == 0) {
            sim_cut_program(f, at, p);
            longjmp(f->cut, 1);
        }
        if (sim_fails(f)) {
            *used = SIM_PROGRAMMED;
            sim_waver(f, f->m.mem + at, p, unit);
            return -1;
        }
        if (*used == SIM_WEAK) { /* it read as blank, and cannot be told from that */
            f->weak_met++;
            sim_noise(f, f->m.mem + at, unit);
            sim_firm(f, at, at + unit);
            *used = sim_blank(f->m.mem + at, unit) ? SIM_WEAK : SIM_PROGRAMMED;
            return -1;
        }
        memcpy(f->m.mem + at, p, unit);
        *used = SIM_PROGRAMMED;
    }
    return 0;
}

/* Some of the sector's bytes are as they were, some are blank, some neither. */
static void sim_tear(sim *f, uint32_t sector) {
    uint8_t *p = f->m.mem + sector * f->flash.sector_bytes;
    uint32_t kind = sim_random(f) % 4;
    for (uint32_t i = 0; i < f->flash.sector_bytes; i += 8) {
        if (kind == 1 || (kind == 2 && sim_random(f) % 2)) memset(p + i, 0xff, 8);
        if (kind == 3) sim_noise(f, p + i, 8);
    }
}

static int sim_erase(void *self, uint32_t sector) {
    sim *f = self;
    uint32_t bytes = f->flash.sector_bytes;
    f->m.erases[sector]++;
    if (f->left >= 0 && f->left-- == 0) {
        f->m.torn[sector] = true;
        sim_tear(f, sector);
        longjmp(f->cut, 1);
    }
    if (sim_fails(f)) {
        sim_tear(f, sector);
        f->m.torn[sector] = true;
        return -1;
    }
    memset(f->m.mem + sector * bytes, 0xff, bytes);
    memset(f->m.used + sector * bytes / f->flash.unit, SIM_ERASED, bytes / f->flash.unit);
    f->m.torn[sector] = false;
    sim_firm(f, sector * bytes, (sector + 1) * bytes);
    return 0;
}

/* Power again: what is weak reads as it likes. A torn sector only loses more. */
static inline void sim_restart(sim *f) {
    f->left = -1;
    for (uint32_t i = 0; i < SIM_WEAK_MAX; i++) {
        const sim_weak *weak = &f->m.weak[i];
        if (weak->there) sim_waver(f, f->m.mem + weak->at, weak->wanted, f->flash.unit);
    }
    for (uint32_t i = 0; i < f->flash.n_sectors; i++)
        if (f->m.torn[i] && sim_random(f) % 2) sim_tear(f, i);
}

static void sim_init(sim *f, uint32_t sectors, uint32_t bytes, uint32_t unit, uint64_t seed) {
    memset(f, 0, sizeof *f);
    f->rng = seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
    f->left = f->fail_at = -1;
    f->flash = (bk_flash){f->m.mem, bytes, sectors, unit, sim_erase, sim_program, f};
    sim_noise(f, f->m.mem, sectors * bytes); /* as a used part comes */
    memset(f->m.used, SIM_PROGRAMMED, sizeof f->m.used);
}

/* Copy what a medium holds; media of one geometry. */
static inline void sim_copy(const sim *f, sim_medium *to, const sim_medium *from) {
    size_t n = (size_t)f->flash.n_sectors * f->flash.sector_bytes;
    memcpy(to, from, offsetof(sim_medium, mem));
    memcpy(to->mem, from->mem, n);
    memcpy(to->used, from->used, n / f->flash.unit);
}

#endif
