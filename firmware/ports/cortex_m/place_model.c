/* place_model.c: the model that the linker script places; a switcher is linked without it. */
#include "bk_chip.h"
#include "bk_cortex_m.h"

void bk_place_model(bk_board *board) {
    board->model = bk_link_model;
    board->model_bytes = (size_t)(bk_link_model_end - bk_link_model);
    board->kernel = &BK_CHIP_KERNEL;
    board->ctx = BK_CTX;
}
