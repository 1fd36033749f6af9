/* board.c: how every board starts, and what the linker script decides about it. */
#include "bk_chip.h"
#include "bk_cortex_m.h"

const bk_board *bk_start(bk_board *board, uint32_t core_hz) {
    bk_clock_start(core_hz);
    bk_chip_watchdog_start();
    bk_chip_uart_start();
#ifndef BK_SWITCHER
    board->model = bk_link_model;
    board->model_bytes = (size_t)(bk_link_model_end - bk_link_model);
    board->kernel = &BK_CHIP_KERNEL;
    board->ctx = BK_CTX;
#endif
    board->memory = bk_link_memory;
    board->memory_bytes = (size_t)(bk_link_memory_end - bk_link_memory);
    return board;
}
