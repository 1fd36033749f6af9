/* bk_kept.h: a store in RAM that a reset leaves alone. */
#ifndef BK_KEPT_H
#define BK_KEPT_H

#include "bk_flash.h"

/* Sectors at `at`, erased when the board has just got its power. */
const bk_flash *bk_kept_flash(uint8_t *at, uint32_t sector_bytes, uint32_t n_sectors);

#endif
