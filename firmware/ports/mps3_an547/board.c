/* board.c: MPS3 with AN547. The weights lie in RAM, but only a loader can bring them back after a
 * reset, so they are never written: patches go through an overlay. */
#include "bk_chip.h"
#include "bk_cmsdk.h"
#include "bk_flash_ram.h"
#include "bk_port.h"

enum { SECTOR_BYTES = 16384, N_SECTORS = 4, SLOW_HZ = 32768, WATCHDOG_S = 30 /* an emulator may be slow */ };

void bk_chip_early(void) {}

void bk_port_feed_watchdog(void) { bk_cmsdk_watchdog_feed(); }

const bk_board *bk_port_start(void) {
    static bk_flash_ram store;
    static bk_board board = {
        .id = "mps3-an547",
        .model = bk_link_model,
        .writable = false,
        .kernel = &bk_kernel_scalar,
        .memory = bk_link_memory,
        .ctx = BK_CTX,
        .flash = &store.flash,
    };
    bk_clock_start(BK_CHIP_HZ);
    bk_cmsdk_watchdog_start(SLOW_HZ, WATCHDOG_S);
    bk_uart_start();
    bk_flash_ram_init(&store, bk_link_store, SECTOR_BYTES, N_SECTORS, 4);
    board.model_bytes = (size_t)(bk_link_model_end - bk_link_model);
    board.memory_bytes = (size_t)(bk_link_memory_end - bk_link_memory);
    return &board;
}
