/* board.c: STM32F405: weights in flash, so patches go through an overlay. */
#include "bk_chip.h"
#include "bk_cortex_m.h"
#include "bk_flash_ram.h"
#include "bk_flash_stm32f4.h"
#include "bk_port.h"

void bk_chip_early(void) {}

const bk_board *bk_port_start(void) {
#ifdef BK_EMULATED /* whose flash cannot be written: as many sectors of the same size in RAM */
    static bk_flash_ram store;
    bk_flash_ram_init(&store, bk_link_store, 16384, 3, 4);
#endif
    static bk_board board = {
#ifdef BK_EMULATED
        .id = "netduinoplus2",
        .flash = &store.flash,
#else
        .id = "stm32f405",
        .flash = &bk_flash_stm32f4,
#endif
#ifndef BK_SWITCHER
        .model = bk_link_model,
        .kernel = &bk_kernel_dsp,
        .ctx = BK_CTX,
#endif
        .memory = bk_link_memory,
    };
    uint32_t hz = bk_stm32f4_clocks();
    bk_clock_start(hz);
    bk_stm32f4_watchdog_start();
    bk_uart_start();
    board.model_bytes = (size_t)(bk_link_model_end - bk_link_model);
    board.memory_bytes = (size_t)(bk_link_memory_end - bk_link_memory);
#ifndef BK_EMULATED
    board.clock_hz = hz;
#endif
    return &board;
}
