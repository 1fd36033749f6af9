/* place.c: the memory that the linker script gives a board, and its model, if there is one. */
#include "bk_cortex_m.h"

__attribute__((weak)) void bk_place_model(bk_board *board) { (void)board; }

void bk_place(bk_board *board) {
    bk_place_model(board);
    board->memory = bk_link_memory;
    board->memory_bytes = (size_t)(bk_link_memory_end - bk_link_memory);
}
