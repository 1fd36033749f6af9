/* board.c: Nucleo-H743ZI: weights in flash, so patches go through an overlay. The data cache stays
 * off: the store is read while it is written. Untested on hardware. */
#include "bk_chip.h"
#include "bk_cortex_m.h"

const bk_board *bk_port_start(void) {
    static bk_board board = {.id = "nucleo-h743zi", .flash = &bk_stm32h7_flash};
    board.clock_hz = bk_stm32h7_clocks();
    return bk_start(&board, board.clock_hz);
}
