/* board.c: MPS2 with AN500: weights in RAM, so patches are XORed where they lie. */
#include "bk_chip.h"
#include "bk_cmsdk.h"
#include "bk_flash_ram.h"

enum { SECTOR_BYTES = 16384, N_SECTORS = 8 };

void bk_port_feed_watchdog(void) { bk_cmsdk_watchdog_feed(); }

const bk_board *bk_port_start(void) {
    static bk_flash_ram store;
    static bk_board board = {.id = "mps2-an500", .writable = true, .flash = &store.flash};
    bk_clock_start(BK_CHIP_HZ);
    bk_cmsdk_watchdog_start(BK_CHIP_HZ, BK_WATCHDOG_S);
    bk_uart_start();
    bk_flash_ram_init(&store, bk_link_store, SECTOR_BYTES, N_SECTORS, 4);
    bk_place(&board);
    return &board;
}
