/* board.c: MPS3 with AN547. The weights lie in RAM, but only a loader can bring them back after a
 * reset, so they are never written: patches go through an overlay. */
#include "bk_chip.h"
#include "bk_cmsdk.h"
#include "bk_flash_ram.h"

enum { SECTOR_BYTES = 16384, N_SECTORS = 4, SLOW_HZ = 32768 };

void bk_port_feed_watchdog(void) { bk_cmsdk_watchdog_feed(); }

const bk_board *bk_port_start(void) {
    static bk_flash_ram store;
    static bk_board board = {.id = "mps3-an547", .writable = false, .flash = &store.flash};
    bk_clock_start(BK_CHIP_HZ);
    bk_cmsdk_watchdog_start(SLOW_HZ, BK_WATCHDOG_S);
    bk_uart_start();
    bk_flash_ram_init(&store, bk_link_store, SECTOR_BYTES, N_SECTORS, 4);
    bk_place(&board);
    return &board;
}
