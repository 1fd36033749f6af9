/* bk_rows.c: walks the rows of several flip streams as one ordered list. */
#include "bk_patch.h"

void bk_rows_start(bk_rows *rows, bk_flips *streams, const bk_patch *const *patches, uint32_t n) {
    *rows = (bk_rows){streams, 0, 0, 0};
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t kind = 0; kind < BK_N_FLIP_KINDS; kind++) {
            const bk_span *span = &patches[i]->flips[kind];
            bk_flips *f = &streams[rows->n];
            if (span->p && bk_flips_open(f, span->p, span->n, (bk_flip_kind)kind) == BK_OK &&
                bk_flips_next(f) == 1)
                rows->n++;
        }
}

static bool before(const bk_flips *a, const bk_flips *b) {
    return a->section < b->section || (a->section == b->section && a->row < b->row);
}

static bool here(const bk_rows *rows, const bk_flips *f) {
    return f->section == rows->section && f->row == rows->row;
}

bool bk_rows_next(bk_rows *rows) {
    const bk_flips *least = rows->streams;
    if (rows->n == 0) return false;
    for (uint32_t i = 1; i < rows->n; i++)
        if (before(&rows->streams[i], least)) least = &rows->streams[i];
    rows->section = least->section;
    rows->row = least->row;
    return true;
}

bool bk_rows_fine(const bk_rows *rows) {
    for (uint32_t i = 0; i < rows->n; i++)
        if (rows->streams[i].kind != BK_FLIP_ROWS && here(rows, &rows->streams[i])) return true;
    return false;
}

static void flip_groups(const bk_row_sink *sink, uint32_t row, uint32_t first, uint32_t end) {
    for (uint32_t g = first; g < end; g++)
        if (sink->blocks) bk_q1_flip_group(sink->blocks, g);
        else if (sink->packed) sink->kernel->flip_group(sink->packed, row, g);
}

static void flip_bit(const bk_row_sink *sink, uint32_t row, uint32_t col) {
    if (sink->blocks) bk_q1_flip_bit(sink->blocks, col);
    else if (sink->packed) sink->kernel->flip_bit(sink->packed, row, col);
}

static int take_one(const bk_flips *f, const bk_row_sink *sink, uint32_t cols) {
    uint32_t groups = cols / BK_Q1_COLS;
    if (f->kind == BK_FLIP_ROWS) {
        flip_groups(sink, f->row, 0, groups);
        return 1;
    }
    if (f->col >= (f->kind == BK_FLIP_GROUPS ? groups : cols)) return BK_ERR_PATCH_RANGE;
    if (f->kind == BK_FLIP_GROUPS) flip_groups(sink, f->row, f->col, f->col + 1);
    else flip_bit(sink, f->row, f->col);
    return 0;
}

int bk_rows_take(bk_rows *rows, bk_row_sink sink, uint32_t cols) {
    int odd = 0;
    for (uint32_t i = 0; i < rows->n;) {
        bk_flips *f = &rows->streams[i];
        if (!here(rows, f)) {
            i++;
            continue;
        }
        int rc = take_one(f, &sink, cols);
        if (rc < 0) return rc;
        odd ^= rc;
        if (bk_flips_next(f) != 1) /* spent: the last stream takes its place */
            *f = rows->streams[--rows->n];
    }
    return odd;
}

const bk_mat *bk_rows_mat(const bk_rows *rows, const bk_model *model) {
    uint32_t layer = rows->section / BK_N_PROJ;
    if (layer >= model->n_layers) return NULL;
    const bk_mat *w = &model->layers[layer].proj[rows->section % BK_N_PROJ];
    return w->type == BK_TYPE_Q1_0 && rows->row < w->rows ? w : NULL;
}
