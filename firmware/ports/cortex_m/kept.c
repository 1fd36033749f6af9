/* kept.c: RAM that a reset leaves alone, as flash sectors: where the emulator's flash is read-only
 * or absent. A power cut loses it. */
#include <string.h>

#include "bk_kept.h"
#include "bk_cortex_m.h"

enum { MAGIC = 0x4B455054 };

static uint32_t marker __attribute__((section(".store")));

static int erase(void *self, uint32_t sector) {
    const bk_flash *f = self;
    memset((uint8_t *)(uintptr_t)f->base + sector * f->sector_bytes, 0xff, f->sector_bytes);
    return 0;
}

static int program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    const bk_flash *f = self;
    memcpy((uint8_t *)(uintptr_t)f->base + at, p, n);
    return 0;
}

const bk_flash *bk_kept_flash(uint8_t *at, uint32_t sector_bytes, uint32_t n_sectors) {
    static bk_flash flash;
    flash = (bk_flash){at, sector_bytes, n_sectors, 4, erase, program, &flash};
    if (marker != MAGIC) memset(at, 0xff, sector_bytes * n_sectors);
    marker = MAGIC;
    return &flash;
}
