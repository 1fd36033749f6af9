/* bk_flash_ram.h: flash sectors in RAM, for parts whose flash cannot be written (emulators).
 *
 * The region lies where a reset leaves it alone (.noinit), so that a store in it outlasts a reset
 * though not a power cut. It is as strict as flash: a unit that is not erased is not programmed.
 */
#ifndef BK_FLASH_RAM_H
#define BK_FLASH_RAM_H

#include "bk_flash.h"

typedef struct {
    bk_flash flash;
    uint8_t *bytes; /* [n_sectors * sector_bytes] */
} bk_flash_ram;

/* Changes nothing in the region. unit: as in bk_flash. */
void bk_flash_ram_init(bk_flash_ram *r, uint8_t *bytes, uint32_t sector_bytes, uint32_t n_sectors,
                       uint32_t unit);

#endif
