/* board.c: STM32F405: weights in flash, so patches go through an overlay. */
#include "bk_chip.h"
#include "bk_cortex_m.h"
#include "bk_flash_ram.h"
#include "bk_flash_stm32f4.h"

/* An emulated part's flash cannot be written: it has as many sectors of the same size in RAM. */
#ifdef BK_EMULATED
static bk_flash_ram store;
static bk_board board = {.id = "netduinoplus2", .flash = &store.flash};
#else
static bk_board board = {.id = "stm32f405", .flash = &bk_flash_stm32f4};
#endif

const bk_board *bk_port_start(void) {
    uint32_t hz = bk_stm32f4_clocks();
#ifdef BK_EMULATED
    bk_flash_ram_init(&store, bk_link_store, 16384, 3, 4);
#else
    board.clock_hz = hz;
#endif
    return bk_start(&board, hz);
}
