/* bk_flash_stm32f4.c: erase and program sectors 1 to 3, to RM0090. Untested on hardware. */
#include "bk_flash_stm32f4.h"

#include <stddef.h>

#include "bk_bytes.h"

#if defined(__arm__)

enum {
    FIRST_SECTOR = 1,
    N_SECTORS = 3,
    SECTOR_BYTES = 16 * 1024,
    UNIT = 4, /* PSIZE x32 */
};

#define SECTORS_AT 0x08004000u
#define REGISTERS_AT 0x40023c00u

typedef struct {
    volatile uint32_t acr, keyr, optkeyr, sr, cr, optcr;
} flash_registers;

static flash_registers *registers(void) { return (flash_registers *)REGISTERS_AT; }

#define KEY1 0x45670123u
#define KEY2 0xcdef89abu
#define ACR_DCEN (1u << 10)
#define ACR_DCRST (1u << 12)
#define SR_ERRORS (1u << 1 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7) /* OP WRP PGA PGP PGS */
#define SR_BSY (1u << 16)
#define CR_PG (1u << 0)
#define CR_SER (1u << 1)
#define CR_SECTOR(n) ((uint32_t)(n) << 3)
#define CR_PSIZE_32 (2u << 8)
#define CR_STRT (1u << 16)
#define CR_LOCK (1u << 31)

static int settled(flash_registers *r) {
    while (r->sr & SR_BSY) {
    }
    return r->sr & SR_ERRORS ? -1 : 0;
}

static int unlock(flash_registers *r) {
    if (r->cr & CR_LOCK) {
        r->keyr = KEY1;
        r->keyr = KEY2;
    }
    while (r->sr & SR_BSY) {
    }
    r->sr = SR_ERRORS; /* written as ones to clear */
    return r->cr & CR_LOCK ? -1 : 0;
}

/* The data cache may hold what was there before; it is emptied only while it is off. */
static void lock(flash_registers *r) {
    uint32_t acr = r->acr;
    r->cr = CR_LOCK;
    r->acr = acr & ~ACR_DCEN;
    r->acr = (acr & ~ACR_DCEN) | ACR_DCRST;
    r->acr = acr & ~ACR_DCEN;
    r->acr = acr;
    __asm volatile("dsb; isb" ::: "memory");
}

static int erase(void *self, uint32_t sector) {
    flash_registers *r = registers();
    (void)self;
    if (sector >= N_SECTORS || unlock(r)) return -1;
    r->cr = CR_PSIZE_32 | CR_SER | CR_SECTOR(FIRST_SECTOR + sector);
    r->cr |= CR_STRT;
    int rc = settled(r);
    lock(r);
    return rc;
}

static int program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    flash_registers *r = registers();
    int rc = 0;
    (void)self;
    if (at % UNIT || n % UNIT || at > N_SECTORS * SECTOR_BYTES ||
        n > N_SECTORS * SECTOR_BYTES - at || unlock(r))
        return -1;
    r->cr = CR_PSIZE_32 | CR_PG;
    for (uint32_t i = 0; i < n && !rc; i += UNIT) {
        *(volatile uint32_t *)(SECTORS_AT + at + i) = bk_load32_le(p + i);
        rc = settled(r);
    }
    lock(r);
    return rc;
}

const bk_flash bk_flash_stm32f4 = {
    .base = (const uint8_t *)SECTORS_AT,
    .sector_bytes = SECTOR_BYTES,
    .n_sectors = N_SECTORS,
    .unit = UNIT,
    .erase = erase,
    .program = program,
    .self = NULL,
};

#endif
