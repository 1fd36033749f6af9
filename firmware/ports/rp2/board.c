/* board.c: a Raspberry Pi Pico or Pico 2: weights in flash, so patches go through an overlay.
 * Untested on hardware. */
#include "bk_chip.h"
#include "bk_rp2.h"

const bk_board *bk_port_start(void) {
    static bk_board board = {.id = BK_CHIP_ID, .flash = &bk_rp2_flash};
    board.clock_hz = bk_rp2_clocks();
    return bk_start(&board, board.clock_hz);
}
