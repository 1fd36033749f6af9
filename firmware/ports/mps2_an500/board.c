/* board.c: MPS2 with AN500: weights in RAM, so patches are XORed where they lie. */
#include "bk_chip.h"
#include "bk_cmsdk.h"
#include "bk_flash_ram.h"
#include "bk_port.h"

enum { SECTOR_BYTES = 16384, N_SECTORS = 8, WATCHDOG_S = 30 /* an emulator may be slow */ };

void bk_chip_early(void) {}

void bk_port_feed_watchdog(void) { bk_cmsdk_watchdog_feed(); }

const bk_board *bk_port_start(void) {
    static bk_flash_ram store;
    static bk_board board = {
        .id = "mps2-an500",
        .model = bk_link_model,
        .writable = true,
        .kernel = &bk_kernel_dsp,
        .memory = bk_link_memory,
        .ctx = BK_CTX,
        .flash = &store.flash,
    };
    bk_clock_start(BK_CHIP_HZ);
    bk_cmsdk_watchdog_start(BK_CHIP_HZ, WATCHDOG_S);
    bk_uart_start();
    bk_flash_ram_init(&store, bk_link_store, SECTOR_BYTES, N_SECTORS, 4);
    board.model_bytes = (size_t)(bk_link_model_end - bk_link_model);
    board.memory_bytes = (size_t)(bk_link_memory_end - bk_link_memory);
    return &board;
}
