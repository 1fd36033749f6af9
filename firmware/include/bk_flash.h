/* bk_flash.h: the sectors that a store lives in: a part's flash, or RAM that behaves like it.
 *
 * Erased bytes read 0xff. A unit is programmed once between two erases; an erase or a program that
 * a power cut interrupts leaves its sector or unit in any state. Reading needs no call. A port
 * makes one sector of several small erase blocks when patches are to be larger than those.
 */
#ifndef BK_FLASH_H
#define BK_FLASH_H

#include <stdint.h>

typedef struct {
    const uint8_t *base;   /* [n_sectors * sector_bytes], memory-mapped */
    uint32_t sector_bytes; /* a multiple of 64, at least BK_STORE_SECTOR_MIN (bk_store.h) */
    uint32_t n_sectors;    /* 2 to BK_STORE_MAX_SECTORS */
    uint32_t unit; /* bytes that are programmed at once, aligned: a power of two, at most 32 */
    /* 0, or any other number for a failure. */
    int (*erase)(void *self, uint32_t sector);
    /* n bytes at offset `at` of base; both multiples of unit. p lies in RAM, at any address. What
     * was programmed is seen at once by reads (a port with a data cache sees to it). */
    int (*program)(void *self, uint32_t at, const uint8_t *p, uint32_t n);
    void *self;
} bk_flash;

#endif
