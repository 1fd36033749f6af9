/* bk_rp2.h: what RP2040 and RP2350 share: their peripherals are alike, at other addresses and with
 * other bit numbers, which a chip's bk_chip.h gives. Names as in the two data sheets.
 */
#ifndef BK_RP2_H
#define BK_RP2_H

#include "bk_cortex_m.h"

enum { BK_RP2_SECTOR_BYTES = 16384, BK_RP2_SECTORS = 4, BK_RP2_UNIT = 16 };

/* Every register has aliases that set or clear the bits written. */
static inline void bk_rp2_set(uint32_t reg, uint32_t bits) { BK_REG(reg + 0x2000) = bits; }
static inline void bk_rp2_clear(uint32_t reg, uint32_t bits) { BK_REG(reg + 0x3000) = bits; }

/* A half word of the boot ROM, which begins at address 0: the compiler need not know that. */
static inline uint32_t bk_rp2_rom_half(uintptr_t at) {
    __asm volatile("" : "+r"(at));
    return *(const volatile uint16_t *)at;
}

/* The core from its 12 MHz crystal; returns its clock in Hz. */
uint32_t bk_rp2_clocks(void);

/* Sectors at the end of the flash that the linker script leaves to the store. */
extern const bk_flash bk_rp2_flash;

#endif
