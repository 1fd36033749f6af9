/* flash.c: the store's sectors in the QSPI flash that the program runs from, through the functions
 * of the boot ROM. While the flash is busy nothing may be read from it: the code that waits lies in
 * RAM, with interrupts off. A page of 256 bytes may be programmed in parts: bytes of ones change
 * nothing.
 */
#include <string.h>

#include "bk_chip.h"
#include "bk_rp2.h"

#define IN_RAM __attribute__((noinline, long_call, section(".ramfunc")))
#define CODE(a, b) ((uint32_t)(a) | (uint32_t)(b) << 8)

enum { PAGE = 256, ERASE_BLOCK = 65536, ERASE_BLOCK_COMMAND = 0xd8 };

#define FLASH_AT 0x10000000u

typedef void (*rom_call)(void);
typedef void (*rom_erase)(uint32_t at, size_t n, uint32_t block, uint8_t command);
typedef void (*rom_program)(uint32_t at, const uint8_t *p, size_t n);

typedef struct {
    rom_call connect, leave_xip, flush, enter_xip;
    rom_erase erase;
    rom_program program;
} rom;

static rom look_up(void) {
    return (rom){
        .connect = (rom_call)BK_CHIP_ROM_LOOK_UP(CODE('I', 'F')),
        .leave_xip = (rom_call)BK_CHIP_ROM_LOOK_UP(CODE('E', 'X')),
        .flush = (rom_call)BK_CHIP_ROM_LOOK_UP(CODE('F', 'C')),
        .enter_xip = (rom_call)BK_CHIP_ROM_LOOK_UP(CODE('C', 'X')),
        .erase = (rom_erase)BK_CHIP_ROM_LOOK_UP(CODE('R', 'E')),
        .program = (rom_program)BK_CHIP_ROM_LOOK_UP(CODE('R', 'P')),
    };
}

/* page: [PAGE] in RAM, or NULL: erase n bytes. */
static IN_RAM void change(const rom *r, uint32_t at, const uint8_t *page, uint32_t n) {
    __asm volatile("cpsid i" ::: "memory");
    r->connect();
    r->leave_xip();
    if (page) r->program(at, page, PAGE);
    else r->erase(at, n, ERASE_BLOCK, ERASE_BLOCK_COMMAND);
    r->flush();
    r->enter_xip();
    __asm volatile("cpsie i" ::: "memory");
}

static uint32_t store_at(void) { return (uint32_t)(uintptr_t)bk_link_store - FLASH_AT; }

static int erase(void *self, uint32_t sector) {
    (void)self;
    if (sector >= BK_RP2_SECTORS) return -1;
    rom r = look_up();
    bk_port_feed_watchdog();
    change(&r, store_at() + sector * BK_RP2_SECTOR_BYTES, NULL, BK_RP2_SECTOR_BYTES);
    return 0;
}

static int program(void *self, uint32_t at, const uint8_t *p, uint32_t n) {
    static uint8_t page[PAGE];
    (void)self;
    if (at > BK_RP2_SECTORS * BK_RP2_SECTOR_BYTES || n > BK_RP2_SECTORS * BK_RP2_SECTOR_BYTES - at)
        return -1;
    rom r = look_up();
    while (n) {
        uint32_t in_page = at % PAGE;
        uint32_t m = n < PAGE - in_page ? n : PAGE - in_page;
        memset(page, 0xff, PAGE);
        memcpy(page + in_page, p, m);
        change(&r, store_at() + at - in_page, page, 0);
        at += m, p += m, n -= m;
    }
    return 0;
}

const bk_flash bk_rp2_flash = {
    .base = bk_link_store,
    .sector_bytes = BK_RP2_SECTOR_BYTES,
    .n_sectors = BK_RP2_SECTORS,
    .unit = BK_RP2_UNIT,
    .erase = erase,
    .program = program,
    .self = NULL,
};
