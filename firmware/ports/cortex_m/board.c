/* board.c: how every board starts, and what the linker script decides about it. */
#include "bk_chip.h"
#include "bk_cortex_m.h"

__attribute__((weak)) void bk_place_model(bk_board *board) { (void)board; }

const bk_board *bk_start(bk_board *board, uint32_t core_hz) {
    bk_clock_start(core_hz);
    bk_chip_watchdog_start();
    bk_chip_uart_start();
    bk_place_model(board);
    board->memory = bk_link_memory;
    board->memory_bytes = (size_t)(bk_link_memory_end - bk_link_memory);
    return board;
}
