/* board.c: an emulated MPS board: the store in RAM, and whether the weights are written there. */
#include "bk_chip.h"
#include "bk_cmsdk.h"
#include "bk_flash_ram.h"

enum { SECTOR_BYTES = 16384 };

const bk_board *bk_port_start(void) {
    static bk_flash_ram store;
    static bk_board board = {.id = BK_CHIP_ID, .writable = BK_CHIP_WRITABLE, .flash = &store.flash};
    bk_flash_ram_init(&store, bk_link_store, SECTOR_BYTES, BK_CHIP_SECTORS, 4);
    return bk_start(&board, BK_CHIP_HZ);
}
