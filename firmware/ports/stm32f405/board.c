/* board.c: STM32F405: weights in flash, so patches go through an overlay. */
#include "bk_chip.h"
#include "bk_cortex_m.h"
#include "bk_kept.h"
#include "bk_port.h"

#ifndef BK_CTX
#define BK_CTX 48
#endif

void bk_chip_early(void) {}

const bk_board *bk_port_start(void) {
    static bk_board board = {
#ifdef BK_EMULATED
        .id = "netduinoplus2",
#else
        .id = "stm32f405",
#endif
#ifndef BK_SWITCHER
        .model = bk_link_model,
        .kernel = &bk_kernel_scalar,
        .ctx = BK_CTX,
#endif
        .memory = bk_link_memory,
    };
    uint32_t hz = bk_stm32f4_clocks();
    bk_clock_start(hz);
    bk_stm32f4_watchdog_start();
    bk_uart_start();
    board.flash = bk_kept_flash(bk_link_store, 16384, 3);
    board.model_bytes = (size_t)(bk_link_model_end - bk_link_model);
    board.memory_bytes = (size_t)(bk_link_memory_end - bk_link_memory);
#ifndef BK_EMULATED
    board.clock_hz = hz;
#endif
    return &board;
}
