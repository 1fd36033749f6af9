/* flash.c: four sectors of bank 2 (RM0433, chapter 4). The program runs from bank 1, so it goes on
 * while bank 2 is busy. A unit is a flash word of 256 bits. */
#include "bk_chip.h"
#include "bk_cortex_m.h"

#define KEYR2 BK_REG(0x52002104)
#define CR2 BK_REG(0x5200210C)
#define SR2 BK_REG(0x52002110)
#define CCR2 BK_REG(0x52002114)

enum {
    FIRST_SECTOR = 4,
    N_SECTORS = 4,
    SECTOR_BYTES = 128 * 1024,
    UNIT = 32,
    LOCK = 1 << 0,
    PROGRAM = 1 << 1,
    ERASE = 1 << 2,
    BY_32_BITS = 2 << 4,
    START = 1 << 7, /* CR2 */
    QUEUED = 1 << 2,                                                                     /* SR2 */
    ERRORS = 0x07EF0000 /* SR2, CCR2: 16 to 26, of which 20 does not exist; 16 is the end */
};

static uint8_t *const base = (uint8_t *)0x08180000u;

static int settled(void) {
    while (SR2 & QUEUED) bk_port_feed_watchdog();
    bool bad = (SR2 & (uint32_t)ERRORS & ~(1u << 16)) != 0;
    CCR2 = ERRORS;
    return bad ? -1 : 0;
}

static void unlock(void) {
    if (CR2 & LOCK) {
        KEYR2 = 0x45670123;
        KEYR2 = 0xCDEF89AB;
    }
    CCR2 = ERRORS;
}

static int erase(void *self, uint32_t sector) {
    (void)self;
    if (sector >= N_SECTORS) return -1;
    unlock();
    CR2 = ERASE | BY_32_BITS | (FIRST_SECTOR + sector) << 8;
    CR2 |= START;
    bk_barrier();
    int rc = settled();
    CR2 = LOCK;
    return rc;
}

static int program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    int rc = 0;
    (void)self;
    if (at % UNIT || n % UNIT || at > N_SECTORS * SECTOR_BYTES || n > N_SECTORS * SECTOR_BYTES - at)
        return -1;
    unlock();
    CR2 = PROGRAM | BY_32_BITS;
    bk_barrier();
    for (uint32_t i = 0; i < n && !rc; i += 4) {
        const uint8_t *from = p + i;
        uint32_t word = from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
                        (uint32_t)from[3] << 24;
        *(volatile uint32_t *)(base + at + i) = word;
        if (i % UNIT == UNIT - 4) { /* the flash word is complete */
            bk_barrier();
            rc = settled();
        }
    }
    CR2 = LOCK;
    return rc;
}

const bk_flash bk_stm32h7_flash = {
    .base = (const uint8_t *)0x08180000u,
    .sector_bytes = SECTOR_BYTES,
    .n_sectors = N_SECTORS,
    .unit = UNIT,
    .erase = erase,
    .program = program,
    .self = NULL,
};
