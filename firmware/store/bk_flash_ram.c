/* bk_flash_ram.c: flash sectors in RAM. */
#include "bk_flash_ram.h"

#include <string.h>

static int erase(void *self, uint32_t sector) {
    bk_flash_ram *r = self;
    if (sector >= r->flash.n_sectors) return -1;
    memset(r->bytes + sector * r->flash.sector_bytes, 0xff, r->flash.sector_bytes);
    return 0;
}

static int program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    bk_flash_ram *r = self;
    uint32_t total = r->flash.n_sectors * r->flash.sector_bytes;
    if (at > total || n > total - at || at % r->flash.unit || n % r->flash.unit) return -1;
    for (uint32_t i = 0; i < n; i++)
        if (r->bytes[at + i] != 0xff) return -1;
    memcpy(r->bytes + at, p, n);
    return 0;
}

void bk_flash_ram_init(bk_flash_ram *r, uint8_t *bytes, uint32_t sector_bytes, uint32_t n_sectors,
                       uint32_t unit) {
    r->flash = (bk_flash){bytes, sector_bytes, n_sectors, unit, erase, program, r};
    r->bytes = bytes;
}
