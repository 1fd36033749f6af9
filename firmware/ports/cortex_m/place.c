/* place.c: what the linker script decides about a board. */
#include "bk_chip.h"
#include "bk_cortex_m.h"

void bk_place(bk_board *board) {
#ifndef BK_SWITCHER
    board->model = bk_link_model;
    board->model_bytes = (size_t)(bk_link_model_end - bk_link_model);
    board->kernel = &BK_CHIP_KERNEL;
    board->ctx = BK_CTX;
#endif
    board->memory = bk_link_memory;
    board->memory_bytes = (size_t)(bk_link_memory_end - bk_link_memory);
}
