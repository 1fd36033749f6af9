/* bk_layout.c: the kernels' layouts by name. */
#include "bk_layout.h"

#define ROW(id, name, needs, tile, tables, panel, own) {name, tile, tables, panel, own},
static const bk_layout layouts[] = {BK_LAYOUTS(ROW)};

const bk_layout *bk_layout_of(const char *kernel) {
    for (uint32_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (strcmp(layouts[i].kernel, kernel) == 0) return &layouts[i];
    return NULL;
}

static uint64_t round64(uint64_t n) { return (n + 63) & ~(uint64_t)63; }

uint64_t bk_layout_packed_bytes(const bk_layout *l, uint32_t rows, uint32_t cols) {
    if (!l->tile) return 0;
    uint32_t tiles = rows / l->tile + (rows % l->tile != 0);
    return round64((uint64_t)tiles * l->tile * bk_q1_row_bytes(cols));
}

uint64_t bk_layout_act_bytes(const bk_layout *l, uint32_t cols) {
    uint32_t with_tables = l->panel && cols > l->panel ? l->panel : cols;
    uint64_t tables = (uint64_t)(with_tables / BK_Q1_COLS) * l->tables;
    return bk_act_plain_bytes(cols) + round64(l->own + tables);
}
